"""CSV and Excel files as text: every cell a string, every row with its row number in a spreadsheet.

pandas reads them with all type inference switched off: no numbers, no dates, no "NA" that means "missing".
"""

import contextlib
import csv
import dataclasses
import io
import math
import re
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

import pandas as pd

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")
EXCEL_ERROR = "#ERROR"
"""The text of an Excel cell such as `#N/A`, which pandas gives as NaN."""
_UNNAMED = re.compile(r"Unnamed: \d+(_level_\d+)?")
"""What pandas calls a column without a name, and writes as its name."""
_ROWS_SEARCHED = 30
"""For a header below a title."""
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"
"""The first bytes of an `.xls` file."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first row names its columns."""

    name: str
    rows: pd.DataFrame
    """Text of each row without blanks around it, in the columns that have a name. The index is the row
    number as a spreadsheet counts, the header being row 1; empty rows count, but are left out."""
    has_nameless: bool = False
    """Whether a column that has cells was left out because it has no name."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, each once."""
        return tuple(self.rows.columns)


def read_text_table(file: SourceFile, known: Collection[str] = ()) -> Table:
    """Read a CSV (comma, semicolon or tab; any line ends; with or without BOM) or Excel table.

    Cells beyond the named columns are ignored; missing ones are empty. `known` are names of columns in lower case, by
    which a header below a title is found. Raises `InputDataError` where the file is no table, is empty, names a
    column twice, or has its header in another row than the first.
    """
    content = file.read()
    is_excel = file.suffix == ".xlsx"
    if content.startswith(_OLD_EXCEL):
        raise InputDataError(f"{file.name}: an old Excel table (.xls). Save it as .xlsx or CSV.")
    cells = _read_excel(content, file.name) if is_excel else _read_csv(content, file.name)
    header = [] if cells.empty else [_name(cell) for cell in cells.iloc[0]]
    if not {name.lower() for name in header} & set(known):
        _require_no_header_below(
            file.name, cells.to_numpy().tolist() if is_excel else _first_rows(content), known
        )
    if not any(header):
        raise InputDataError(
            f"{file.name}: expected the names of the columns in the first row. It is empty."
        )
    repeated = sorted({column for column in header if column and header.count(column) > 1})
    if repeated:
        raise InputDataError(
            f"{file.name}: two columns are named {', '.join(repeated)}; rename one."
        )
    rows = cells.iloc[1:].set_axis(header, axis="columns")
    rows.index = pd.RangeIndex(2, len(cells) + 1)
    nameless = rows.loc[:, [not name for name in header]]
    rows = rows.loc[(rows != "").any(axis=1), [name for name in header if name]]
    return Table(file.name, rows, has_nameless=bool((nameless != "").any(axis=None)))


def number_in(cell: str) -> float | None:
    """The number in a cell, with point or comma; None where there is none, or one too large such as 1e400."""
    if not re.fullmatch(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?", cell):
        return None
    number = float(cell.replace(",", "."))
    return number if math.isfinite(number) else None


def _name(header: str) -> str:
    """A column's name; empty where pandas made it up."""
    return "" if _UNNAMED.fullmatch(header) else header


def _require_no_header_below(
    table: str, rows: Sequence[Sequence[str]], known: Collection[str]
) -> None:
    """Raises `InputDataError` where the first row is a title or empty, and names of columns follow."""
    has_title = _cells_in([*rows, []][0]) < 2
    for number, row in enumerate(rows[1:_ROWS_SEARCHED], start=2):
        names = [_name(cell.strip()) for cell in row]
        found = len({name.lower() for name in names} & set(known))
        if found >= 2 or (has_title and _looks_like_header(names)):
            raise InputDataError(
                f"{table}: expected the names of the columns in the first row. They seem to be in row {number} "
                f"({', '.join(filter(None, names))}). Delete the rows above it, and blank rows with them."
            )


def _looks_like_header(names: Sequence[str]) -> bool:
    """Two or more texts, none of them a number."""
    texts = [name for name in names if name]
    return len(texts) >= 2 and not any(re.search(r"^[-+\d.,]+$", text) for text in texts)


def _cells_in(row: Iterable[str]) -> int:
    return sum(bool(cell.strip()) for cell in row)


def _first_rows(content: bytes) -> list[list[str]]:
    """The first rows with all of their cells, in the separator that divides most of them."""
    lines = io.StringIO(_decoded(content), newline=None)  # any line ends
    readings = []
    for separator in ",;\t":
        lines.seek(0)
        with contextlib.suppress(csv.Error):
            readings.append(list(islice(csv.reader(lines, delimiter=separator), _ROWS_SEARCHED)))
    return max(readings, key=lambda rows: sum(_cells_in(row) > 1 for row in rows), default=[])


def _decoded(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):  # Excel's "Unicode text"
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _read_csv(content: bytes, name: str) -> pd.DataFrame:
    """Text of all cells, as many columns as the first row has."""
    text = _decoded(content)
    separator = max(",;\t", key=text.split("\n", 1)[0].count)

    def read(**options: object) -> pd.DataFrame:
        return pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            index_col=False,
            dtype=str,
            na_filter=False,
            skip_blank_lines=False,
            **options,
        )

    try:
        width = read(nrows=1).shape[1]
        cells = read(names=range(width), usecols=range(width))  # longer rows are cut, not an error
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except pd.errors.ParserError as error:
        raise InputDataError(f"{name}: not a CSV table ({error}).") from error
    return cells.apply(lambda column: column.str.strip())


def _read_excel(content: bytes, name: str) -> pd.DataFrame:
    """Text of all cells of the first sheet."""
    try:
        cells = pd.read_excel(
            io.BytesIO(content), engine="openpyxl", header=None, dtype=object, na_filter=False
        )
    except Exception as error:  # openpyxl raises many kinds for damaged files
        kind = type(error).__name__
        raise InputDataError(f"{name}: not an Excel table ({kind}: {error}).") from error
    return cells.map(_excel_text)


def _excel_text(cell: object) -> str:
    """Numbers without a fraction are whole numbers by now (pandas), and empty cells empty text."""
    return EXCEL_ERROR if pd.isna(cell) else str(cell).strip()
