"""Label tables: identifier, sex and bone age of each radiograph, with a list of all problems.

Known headers are recognised whatever their case; others are named by `LabelOptions`. Nothing is
guessed: a cell that cannot be read with certainty is a `Problem`.
"""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import IMAGE_SUFFIXES, SourceFile
from bone_age_tf.files.tables import Table, read_text_table
from bone_age_tf.record import MAX_BONE_AGE_MONTHS, Sex

ID_HEADERS = ("id", "image id", "case id", "image_id", "file", "filename", "file name")
AGE_HEADERS = (
    "boneage",
    "bone age (months)",
    "ground truth bone age (months)",
    "bone_age_months",
    "bone age",
    "bone_age",
)
CHRONOLOGICAL_AGE_HEADERS = ("chronological_age_months", "chronological age (months)")
SEX_HEADERS = ("male", "sex", "female", "gender")

_MALE = {"m", "male", "boy"}
_FEMALE = {"f", "female", "girl"}
_UNKNOWN = {"unknown", "u"}
_TRUE = {"true", "1", "1.0"}
_FALSE = {"false", "0", "0.0"}

MAX_AGE_IN_YEARS = 21.0
MAX_CHRONOLOGICAL_AGE_MONTHS = 360.0
HEADER_ROW = 1
"""Row of a problem that makes the whole table unusable."""


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """A problem in a table or file: where it is, and what to do."""

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
    chronological_age_months: float = math.nan
    """NaN where it was not requested or is empty."""


@dataclasses.dataclass(frozen=True)
class LabelTable:
    """A table and the names of its columns (None: no such column)."""

    table: Table
    id_column: str | None
    age_column: str | None
    sex_column: str | None
    chronological_age_column: str | None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.table.name

    @property
    def has_ids(self) -> bool:
        """Whether the column of the identifier is there."""
        return self.id_column in self.table.columns

    def ids(self) -> pd.Series:
        """Identifiers, without a file name's folder and ending; the index is the row number."""
        return self.table.rows[self.id_column].map(_identifier)


def read_table(file: SourceFile, options: LabelOptions) -> LabelTable:
    """Read a CSV or Excel table and find its columns."""
    table = read_text_table(file)
    return LabelTable(
        table,
        id_column=_find(table.columns, options.id_column, ID_HEADERS),
        age_column=_find(table.columns, options.age_column, AGE_HEADERS),
        sex_column=_find(table.columns, options.sex_column, SEX_HEADERS),
        chronological_age_column=_find(
            table.columns, options.chronological_age_column, CHRONOLOGICAL_AGE_HEADERS
        )
        if options.unlabelled
        else None,
    )


def parse_table(labels: LabelTable, options: LabelOptions) -> tuple[list[LabelRow], list[Problem]]:
    """The valid rows and all problems of a table. A row with a problem is not among the rows."""
    problems = list(_missing_columns(labels, options))
    if not labels.has_ids:
        return [], problems
    problems += _age_unit_problems(labels, options)
    problems += _duplicates(labels)
    rows = []
    cells_of = labels.table.rows.to_dict(orient="index")
    for number, identifier in labels.ids().items():
        outcome = _parse_row(labels, options, number, identifier, cells_of[number])
        if isinstance(outcome, LabelRow):
            rows.append(outcome)
        else:
            problems += outcome
    bad_rows = {problem.row for problem in problems}
    if HEADER_ROW in bad_rows:
        rows = []
    return [row for row in rows if row.row not in bad_rows], sorted(problems)


def rows_by_id(
    file: SourceFile, options: LabelOptions
) -> tuple[dict[str, LabelRow], dict[str, Problem]]:
    """The valid rows of a table by identifier, and the first problem of each of the others.

    Raises `InputDataError` where the table as a whole cannot be used.
    """
    rows, problems = parse_table(read_table(file, options), options)
    of_the_table = [problem for problem in problems if problem.row == HEADER_ROW]
    if of_the_table:
        raise InputDataError(f"The label table cannot be used.\n{summary(of_the_table)}")
    return {row.id: row for row in rows}, {p.id: p for p in reversed(problems)}


def parse_sex(header: str, cell: str) -> Sex | None:
    """The sex in a cell, None where it is empty or its spelling is unknown.

    `True` and `1` have a meaning only below a header that names the sex (`male`,
    `female`).
    """
    value = cell.strip().lower()
    header = header.strip().lower()
    if value in _UNKNOWN:
        return Sex.UNKNOWN
    is_yes, is_no = value in _TRUE, value in _FALSE
    if value in _MALE or (header == "male" and is_yes) or (header == "female" and is_no):
        return Sex.M
    if value in _FEMALE or (header == "female" and is_yes) or (header == "male" and is_no):
        return Sex.F
    return None


def problems_csv(problems: Sequence[Problem]) -> str:
    """All problems as CSV text: table, row, id, file, code, message."""
    names = [field.name for field in dataclasses.fields(Problem)]
    table = pd.DataFrame(map(dataclasses.astuple, problems), columns=names)
    return table.to_csv(index=False, lineterminator="\n")


def summary(problems: Sequence[Problem], most: int = 20) -> str:
    """The first problems, one per line, and the number of further ones."""
    lines = [
        f"  {_where(problem)}: {problem.message} [{problem.code}]" for problem in problems[:most]
    ]
    if len(problems) > most:
        lines.append(f"  ... and {len(problems) - most} more")
    return "\n".join(lines)


def _where(problem: Problem) -> str:
    row = f"row {problem.row}" if problem.row else ""
    identifier = f"id {problem.id}" if problem.id else ""
    return ", ".join(part for part in (problem.table, row, identifier, problem.file) if part)


def _find(columns: Iterable[str], named: str | None, known: Sequence[str]) -> str | None:
    if named is not None:
        return named
    by_header = {column.strip().lower(): column for column in columns}
    return next((by_header[header] for header in known if header in by_header), None)


def _missing_columns(labels: LabelTable, options: LabelOptions) -> Iterator[Problem]:
    wanted = [
        ("identifier", "--id-column", labels.id_column, ID_HEADERS, True),
        ("bone age", "--age-column", labels.age_column, AGE_HEADERS, not options.unlabelled),
        ("sex", "--sex-column", labels.sex_column, SEX_HEADERS, True),
        (
            "chronological age",
            "--chronological-age-column",
            labels.chronological_age_column,
            CHRONOLOGICAL_AGE_HEADERS,
            False,
        ),
        ("group", "--group-column", options.group_column, (), False),
        ("split", "--split-column", options.split_column, (), False),
    ]
    there = labels.table.columns
    for what, flag, column, known, is_required in wanted:
        if column in there or (column is None and not is_required):
            continue
        expected = repr(column) if column else f"one of {', '.join(known)}"
        message = (
            f"no column for the {what}: expected {expected}, received the columns "
            f"{', '.join(there)}; name it with {flag}"
        )
        yield Problem(labels.name, HEADER_ROW, "", "", "missing_column", message)


def _age_unit_problems(labels: LabelTable, options: LabelOptions) -> Iterator[Problem]:
    """One problem for each column of ages that is evidently in years and has no named unit."""
    for column, unit, flag in (
        (labels.age_column, options.age_unit, "--age-unit"),
        (
            labels.chronological_age_column,
            options.chronological_age_unit,
            "--chronological-age-unit",
        ),
    ):
        header = (column or "").lower()
        if header == "" or unit is not None or "month" in header:
            continue
        cells = labels.table.rows.get(column, ())
        numbers = [number for number in map(number_in, cells) if number is not None]
        is_small = len(numbers) >= 3 and max(numbers) <= MAX_AGE_IN_YEARS
        if is_small or "year" in header:
            message = (
                f"the column {column!r} is evidently in years (largest value "
                f"{max(numbers, default=0):g}); expected months. Pass {flag} years to convert, or "
                f"{flag} months if they are months"
            )
            yield Problem(labels.name, HEADER_ROW, "", "", "age_in_years", message)


def _duplicates(labels: LabelTable) -> Iterator[Problem]:
    """Every row that repeats an identifier; also the first row with it, if their contents differ."""
    ids, rows = labels.ids(), labels.table.rows
    repeated = ids[ids.ne("") & ids.duplicated(keep=False)]
    for identifier, same_id in repeated.groupby(repeated, sort=False):
        first, *others = same_id.index
        differing = [number for number in others if (rows.loc[number] != rows.loc[first]).any()]
        for number in others:
            content = "other content" if number in differing else "the same content"
            message = f"the identifier is already in row {first}, with {content}"
            yield Problem(labels.name, number, str(identifier), "", "duplicate_id", message)
        if differing:
            message = f"the identifier is repeated in row {differing[0]}, with other content"
            yield Problem(labels.name, first, str(identifier), "", "duplicate_id", message)


def _parse_row(
    labels: LabelTable,
    options: LabelOptions,
    number: int,
    identifier: str,
    cells: Mapping[str, str],
) -> LabelRow | list[Problem]:
    """The row, or all of its problems."""
    faults: list[tuple[str, str]] = []
    if not identifier:
        faults.append(("no_id", "the identifier is empty"))
    header = labels.sex_column or ""
    sex = parse_sex(header, cells.get(header, ""))
    if header in cells and not cells[header]:
        faults.append(("missing_sex", "the sex is empty; expected F, M or unknown"))
    elif header in cells and sex is None:
        message = (
            f"the sex {cells[header]!r} in column {header!r} is not known; expected F, M or unknown"
        )
        faults.append(("bad_sex", message))
    has_age = labels.age_column in cells
    age = _parse_age(cells[labels.age_column or ""], options) if has_age else math.nan
    if isinstance(age, str):
        faults.append(("bad_age", age))
    chronological = _parse_chronological_age(
        cells.get(labels.chronological_age_column or "", ""), options
    )
    if isinstance(chronological, str):
        faults.append(("bad_chronological_age", chronological))
    split = cells.get(options.split_column or "", "")
    if options.split_column in cells and not split.isidentifier():
        faults.append(("bad_split", f"the split {split!r} is not a name such as train or test"))
    if faults or sex is None or isinstance(age, str) or isinstance(chronological, str):
        return [Problem(labels.name, number, identifier, "", *fault) for fault in faults]
    group = cells.get(options.group_column or "", "")
    return LabelRow(identifier, sex, age, labels.name, number, group, split, chronological)


def _parse_age(cell: str, options: LabelOptions) -> float | str:
    """Months, NaN where no label is needed; or the problem."""
    expected = f"expected months between 0 and {MAX_BONE_AGE_MONTHS:g}"
    if not cell:
        missing = f"the bone age is empty (or a formula without a stored result); {expected}"
        return math.nan if options.unlabelled else missing
    number = number_in(cell)
    if number is None:
        return f"the bone age {cell!r} is not a number; {expected}"
    months = number * 12 if options.age_unit == "years" else number
    if not 0 <= months <= MAX_BONE_AGE_MONTHS:
        return f"the bone age {cell!r} is outside the range; {expected}"
    return months


def _parse_chronological_age(cell: str, options: LabelOptions) -> float | str:
    """Months, NaN where the cell is empty; or the problem."""
    number = number_in(cell) if cell else math.nan
    if number is not None and options.chronological_age_unit == "years":
        number *= 12
    if number is None or number < 0 or number > MAX_CHRONOLOGICAL_AGE_MONTHS:
        return (
            f"the chronological age {cell!r} is not usable; expected months between 0 and "
            f"{MAX_CHRONOLOGICAL_AGE_MONTHS:g}"
        )
    return number


def number_in(cell: str) -> float | None:
    """The number in a cell, with point or comma; None where there is none, or NaN."""
    if not re.fullmatch(r"[+-]?\d+([.,]\d*)?([eE][+-]?\d+)?", cell):
        return None
    return float(cell.replace(",", "."))


def _identifier(cell: str) -> str:
    path = PurePosixPath(cell.replace("\\", "/"))
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else cell
