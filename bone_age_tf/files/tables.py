"""CSV and Excel files as text: every cell a string, every row with the number a spreadsheet shows."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first row names its columns."""

    name: str
    columns: tuple[str, ...]
    rows: Mapping[int, Mapping[str, str]]
    """Row number as a spreadsheet counts, the header being row 1 -> column -> text."""


def read_text_table(file: SourceFile) -> Table:
    """Read a CSV (comma, semicolon or tab; any line ends; with or without BOM) or Excel table.

    Raises `InputDataError` where it is neither, is empty, or names a column twice.
    """
    read = _excel_rows if file.suffix == ".xlsx" else _csv_rows
    rows = read(file.read(), file.name)
    if not rows or not any(rows[0]):
        raise InputDataError(
            f"{file.name}: expected the names of the columns in the first row. It is empty."
        )
    header = rows[0]
    repeated = sorted({column for column in header if column and header.count(column) > 1})
    if repeated:
        raise InputDataError(
            f"{file.name}: two columns are named {', '.join(repeated)}; rename one."
        )
    return Table(file.name, tuple(header), _numbered(header, rows[1:]))


def _numbered(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[int, dict[str, str]]:
    """Rows by number, short ones filled up with empty cells, empty ones left out."""
    return {
        number: dict(zip(header, [*row, *[""] * len(header)], strict=False))
        for number, row in enumerate(rows, start=2)
        if any(row)
    }


def _csv_rows(content: bytes, name: str) -> list[list[str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        return [[cell.strip() for cell in row] for row in reader]
    except csv.Error as error:
        raise InputDataError(f"{name}: not a CSV table ({error}).") from error


def _excel_rows(content: bytes, name: str) -> list[list[str]]:
    from openpyxl import load_workbook  # slow to import, rarely needed

    try:
        workbook = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = workbook.worksheets[0]
        return [[_excel_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    except Exception as error:  # openpyxl raises many kinds for damaged files
        kind = type(error).__name__
        raise InputDataError(f"{name}: not an Excel table ({kind}: {error}).") from error


def _excel_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell).strip()
