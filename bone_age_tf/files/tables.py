"""CSV and Excel files as text: every cell a string, every row with its row number in a spreadsheet.

pandas reads them with all type inference switched off: no numbers, no dates, no "NA" that means "missing".
"""

import dataclasses
import io

import pandas as pd

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")
EXCEL_ERROR = "#ERROR"
"""The text of an Excel cell such as `#N/A`, which pandas gives as NaN."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first row names its columns."""

    name: str
    rows: pd.DataFrame
    """Text of each row without blanks around it, in the columns that have a name. The index is the row
    number as a spreadsheet counts, the header being row 1; empty rows count, but are left out."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, each once."""
        return tuple(self.rows.columns)


def read_text_table(file: SourceFile) -> Table:
    """Read a CSV (comma, semicolon or tab; any line ends; with or without BOM) or Excel table.

    Cells beyond the named columns are ignored; missing ones are empty. Raises `InputDataError` where it is
    neither, is empty, or names a column twice.
    """
    read = _read_excel if file.suffix == ".xlsx" else _read_csv
    cells = read(file.read(), file.name)
    header = [] if cells.empty else cells.iloc[0].tolist()
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
    return Table(file.name, rows.loc[(rows != "").any(axis=1), [name for name in header if name]])


def _read_csv(content: bytes, name: str) -> pd.DataFrame:
    """Text of all cells, as many columns as the first row has."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
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
