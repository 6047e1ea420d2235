"""Label tables: CSV or Excel -> rows of identifier, sex and bone age, with every problem listed.

Known headers are recognised whatever their case; others are named by `LabelOptions`. Nothing is
guessed: a cell that cannot be read with certainty is a `Problem`.
"""

import csv
import dataclasses
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.errors import InputDataError
from bone_age_tf.image_files import SourceFile
from bone_age_tf.record import MAX_BONE_AGE_MONTHS, Sex

TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx")

ID_HEADERS = ("id", "image id", "case id", "image_id", "file", "filename", "file name")
AGE_HEADERS = (
    "boneage",
    "bone age (months)",
    "ground truth bone age (months)",
    "bone_age_months",
    "bone age",
    "bone_age",
)
SEX_HEADERS = ("male", "sex", "female", "gender")

_MALE = {"m", "male", "boy"}
_FEMALE = {"f", "female", "girl"}
_UNKNOWN = {"unknown", "u"}
_TRUE = {"true", "1", "1.0"}
_FALSE = {"false", "0", "0.0"}

MAX_AGE_IN_YEARS = 21.0
HEADER_ROW = 1
"""Row of a problem that makes the whole table unusable."""


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, where it is, and what to do."""

    table: str
    """Name of the label table; empty where it is about a file without a row."""
    row: int
    """Row as a spreadsheet counts, the header being row 1; 0 where it is about no single row."""
    id: str
    file: str
    code: str
    """A stable name of the kind of problem."""
    message: str


@dataclasses.dataclass(frozen=True)
class LabelRow:
    """One valid row of a label table."""

    id: str
    sex: Sex
    bone_age_months: float
    """NaN where there is no label."""
    table: str
    row: int
    group: str = ""
    split: str = ""


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """A table as text, and which of its columns mean what."""

    name: str
    cells: pd.DataFrame
    """Every cell a string; the index is the row as a spreadsheet counts."""
    id_column: str | None
    age_column: str | None
    sex_column: str | None

    @property
    def ids(self) -> list[str]:
        """The identifiers in the order of the rows, without a file name's ending."""
        assert self.id_column is not None
        return [_identifier(cell) for cell in self.cells[self.id_column]]


def read_table(file: SourceFile, options: LabelOptions) -> LabelTable:
    """Read a CSV (comma, semicolon or tab; any line ends; with or without BOM) or Excel table."""
    content = file.read()
    cells = (
        _read_excel(content, file.name) if file.suffix == ".xlsx" else _read_csv(content, file.name)
    )
    return LabelTable(
        name=file.name,
        cells=cells,
        id_column=_find(cells.columns, options.id_column, ID_HEADERS),
        age_column=_find(cells.columns, options.age_column, AGE_HEADERS),
        sex_column=_find(cells.columns, options.sex_column, SEX_HEADERS),
    )


def parse_table(table: LabelTable, options: LabelOptions) -> tuple[list[LabelRow], list[Problem]]:
    """The valid rows and all problems of a table. A row with a problem is not among the rows."""
    problems = list(_missing_columns(table, options))
    if problems:
        return [], problems
    ages, age_problems = _parse_ages(table, options)
    problems += age_problems
    if any(problem.row == HEADER_ROW for problem in problems):
        return [], sorted(problems)
    problems += _duplicates(table)
    rows = []
    for position, (number, cells) in enumerate(table.cells.iterrows()):
        identifier = table.ids[position]
        sex = parse_sex(table.sex_column or "", cells[table.sex_column])
        if not identifier:
            problems.append(Problem(table.name, number, "", "", "no_id", "the identifier is empty"))
        if sex is None:
            problems.append(_bad_sex(table, number, identifier, cells[table.sex_column]))
        if sex is not None and ages[position] is not None:
            group = cells[options.group_column] if options.group_column else ""
            split = cells[options.split_column] if options.split_column else ""
            if options.split_column and not split.isidentifier():
                problems.append(_bad_split(table, number, identifier, split))
            rows.append(LabelRow(identifier, sex, ages[position], table.name, number, group, split))
    bad_rows = {problem.row for problem in problems}
    return [row for row in rows if row.row not in bad_rows], sorted(problems)


def parse_sex(header: str, cell: str) -> Sex | None:
    """The sex in a cell, None where it is empty or its spelling is unknown.

    `True` and `1` have a meaning only below a header that says which sex is meant (`male`,
    `female`).
    """
    value = cell.strip().lower()
    header = header.strip().lower()
    if value in _UNKNOWN:
        return Sex.UNKNOWN
    is_male = (
        value in _MALE
        or (header == "male" and value in _TRUE)
        or (header == "female" and value in _FALSE)
    )
    is_female = (
        value in _FEMALE
        or (header == "female" and value in _TRUE)
        or (header == "male" and value in _FALSE)
    )
    if is_male == is_female:
        return None
    return Sex.M if is_male else Sex.F


def problems_csv(problems: Sequence[Problem]) -> str:
    """All problems as CSV text: table, row, id, file, code, message."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([field.name for field in dataclasses.fields(Problem)])
    writer.writerows(dataclasses.astuple(problem) for problem in problems)
    return stream.getvalue()


def summary(problems: Sequence[Problem], most: int = 20) -> str:
    """The first problems, a line each, and how many more there are."""
    lines = []
    for problem in problems[:most]:
        where = ", ".join(
            part
            for part in (
                problem.table,
                f"row {problem.row}" if problem.row else "",
                f"id {problem.id}" if problem.id else "",
                problem.file,
            )
            if part
        )
        lines.append(f"  {where}: {problem.message} [{problem.code}]")
    if len(problems) > most:
        lines.append(f"  ... and {len(problems) - most} more")
    return "\n".join(lines)


def _read_csv(content: bytes, name: str) -> pd.DataFrame:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        ]
    except csv.Error as error:
        raise InputDataError(f"{name}: not a CSV table ({error}).") from error
    return _frame(rows, name)


def _read_excel(content: bytes, name: str) -> pd.DataFrame:
    from openpyxl import load_workbook  # slow to import, rarely needed

    try:
        sheet = load_workbook(io.BytesIO(content), read_only=True, data_only=True).worksheets[0]
        rows = [[_excel_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)]
    except Exception as error:  # openpyxl raises many kinds for damaged files
        raise InputDataError(
            f"{name}: not an Excel table ({type(error).__name__}: {error})."
        ) from error
    return _frame(rows, name)


def _excel_text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else str(cell).strip()


def _frame(rows: list[list[str]], name: str) -> pd.DataFrame:
    """Cells with the first row as header; short rows filled up, empty rows left out."""
    if not rows or not any(rows[0]):
        raise InputDataError(
            f"{name}: the first row must name the columns. Received: an empty table."
        )
    header = rows[0]
    repeated = sorted({column for column in header if column and header.count(column) > 1})
    if repeated:
        raise InputDataError(f"{name}: two columns are named {', '.join(repeated)}; rename one.")
    numbered = {
        number: (row + [""] * len(header))[: len(header)]
        for number, row in enumerate(rows[1:], start=2)
        if any(row)
    }
    return pd.DataFrame.from_dict(numbered, orient="index", columns=header, dtype=object)


def _find(columns: Iterable[str], named: str | None, known: Sequence[str]) -> str | None:
    if named is not None:
        return named
    by_header = {column.strip().lower(): column for column in columns}
    return next((by_header[header] for header in known if header in by_header), None)


def _missing_columns(table: LabelTable, options: LabelOptions) -> Iterator[Problem]:
    wanted = [
        ("identifier", "--id-column", table.id_column, ID_HEADERS, True),
        ("bone age", "--age-column", table.age_column, AGE_HEADERS, not options.unlabelled),
        ("sex", "--sex-column", table.sex_column, SEX_HEADERS, True),
        ("group", "--group-column", options.group_column, (), options.group_column is not None),
        ("split", "--split-column", options.split_column, (), options.split_column is not None),
    ]
    for what, flag, column, known, is_required in wanted:
        if column in table.cells.columns or (column is None and not is_required):
            continue
        expected = repr(column) if column else f"one of {', '.join(known)}"
        message = (
            f"no column for the {what}: expected {expected}, received the columns "
            f"{', '.join(table.cells.columns)}; name it with {flag}"
        )
        yield Problem(table.name, HEADER_ROW, "", "", "missing_column", message)


def _parse_ages(
    table: LabelTable, options: LabelOptions
) -> tuple[list[float | None], list[Problem]]:
    """Months of each row, None where there is a problem, NaN where no label is needed."""
    if table.age_column is None:
        return [math.nan] * len(table.cells), []
    ages: list[float | None] = []
    problems = []
    cells = table.cells[table.age_column]
    if options.age_unit is None and _is_in_years(table.age_column, cells):
        message = (
            f"the column {table.age_column!r} is evidently in years (no value above {MAX_AGE_IN_YEARS:g}); "
            "expected months. Say --age-unit years to convert, or --age-unit months if they are months"
        )
        problems.append(Problem(table.name, HEADER_ROW, "", "", "age_in_years", message))
    factor = 12.0 if options.age_unit == "years" else 1.0
    for number, identifier, cell in zip(table.cells.index, table.ids, cells, strict=True):
        age, message = _parse_age(cell, factor, options.unlabelled)
        ages.append(age)
        if message:
            problems.append(Problem(table.name, number, identifier, "", "bad_age", message))
    return ages, problems


def _parse_age(cell: str, factor: float, may_be_missing: bool) -> tuple[float | None, str]:
    if not cell and may_be_missing:
        return math.nan, ""
    expected = f"expected months between 0 and {MAX_BONE_AGE_MONTHS:g}"
    if not cell:
        return None, f"the bone age is empty (or a formula without a stored result); {expected}"
    number = cell.replace(",", ".") if re.fullmatch(r"\d+,\d+", cell) else cell
    try:
        age = float(number) * factor
    except ValueError:
        return None, f"the bone age {cell!r} is not a number; {expected}"
    if not 0 <= age <= MAX_BONE_AGE_MONTHS:
        return None, f"the bone age {cell!r} is outside the range; {expected}"
    return age, ""


def _is_in_years(header: str, cells: pd.Series) -> bool:
    if "year" in header.lower():
        return True
    numbers = pd.to_numeric(cells.str.replace(",", "."), errors="coerce").dropna()
    return len(numbers) >= 3 and numbers.max() <= MAX_AGE_IN_YEARS


def _duplicates(table: LabelTable) -> Iterator[Problem]:
    """Every row whose identifier stands above; and the first such row too, where they disagree."""
    first: dict[str, int] = {}
    contradicted = set()
    for number, identifier in zip(table.cells.index, table.ids, strict=True):
        if identifier and identifier in first:
            earlier = first[identifier]
            same = list(table.cells.loc[number]) == list(table.cells.loc[earlier])
            message = f"the identifier stands in row {earlier} already, {'with the same content' if same else 'with other content'}"
            yield Problem(table.name, number, identifier, "", "duplicate_id", message)
            if not same and earlier not in contradicted:
                contradicted.add(earlier)
                message = f"the identifier stands again in row {number}, with other content"
                yield Problem(table.name, earlier, identifier, "", "duplicate_id", message)
        else:
            first[identifier] = number


def _bad_sex(table: LabelTable, row: int, identifier: str, cell: str) -> Problem:
    if not cell:
        message = "the sex is empty; expected F, M or unknown"
        return Problem(table.name, row, identifier, "", "missing_sex", message)
    message = (
        f"the sex {cell!r} in column {table.sex_column!r} is not known; expected F, M or unknown"
    )
    return Problem(table.name, row, identifier, "", "bad_sex", message)


def _bad_split(table: LabelTable, row: int, identifier: str, cell: str) -> Problem:
    message = f"the split {cell!r} is not a name; expected letters, as in train, validation, test"
    return Problem(table.name, row, identifier, "", "bad_split", message)


def _identifier(cell: str) -> str:
    path = PurePosixPath(cell.replace("\\", "/"))
    return path.stem if path.suffix.lower() in (".png", ".jpg", ".jpeg") else cell
