"""Rows of label tables: identifier, sex and bone age of each radiograph, with a list of all problems.

Nothing is guessed: a cell that cannot be read with certainty is a `Problem`.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.data import sex_column
from bone_age_tf.data.height_columns import height_columns, height_unit_problems, heights_in
from bone_age_tf.data.label_table import (
    AGE_HEADERS,
    CHRONOLOGICAL_AGE_HEADERS,
    ID_HEADERS,
    LabelTable,
)
from bone_age_tf.data.problems import Problem
from bone_age_tf.data.sex_column import SexColumn
from bone_age_tf.files.tables import number_in
from bone_age_tf.record import MAX_BONE_AGE_MONTHS
from bone_age_tf.sex import Sex, sex_from_label

MAX_AGE_IN_YEARS = 21.0
MAX_CHRONOLOGICAL_AGE_MONTHS = 360.0
HEADER_ROW = 1
"""Row of a problem that makes the whole table unusable."""


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
    is_sex_told: bool = True
    """False where the table is silent and the sex is that of the options."""
    heights: tuple[float | str, float | str, float | str] = ("", "", "")
    """Of the child, its mother and its father: centimetres, or the cell where that has no number. They are checked where
    they are used: a radiograph has a bone age without them."""


def parse_table(
    labels: LabelTable, options: LabelOptions, header_sexes: Mapping[int, Sex] | None = None
) -> tuple[list[LabelRow], list[Problem]]:
    """The valid rows and all problems of a table. A row with a problem is not among the rows.

    `header_sexes` are those of rows whose file tells the sex itself: they go before `options.sex`. None: no file does,
    so that a column for the sex is required.
    """
    told = header_sexes or {}
    is_told = header_sexes is not None
    problems = list(_missing_columns(labels, options, is_sex_told=is_told))
    if not labels.has_ids:
        return [], problems
    problems += _age_unit_problems(labels, options)
    problems += height_unit_problems(labels, options)
    problems += _duplicates(labels)
    rows: list[LabelRow] = []
    sexes = labels.sexes(options)
    default = sex_from_label(options.sex) if options.sex else None
    if default is None and not is_told and labels.sex_column not in labels.table.columns:
        default = Sex.UNKNOWN  # one problem of the table, not one of each row
    cells_of = labels.table.rows.to_dict(orient="index")
    for number, identifier in labels.ids().items():
        given = told.get(number, default)
        outcome = _parse_row(labels, options, sexes, number, identifier, cells_of[number], given)
        if isinstance(outcome, LabelRow):
            rows.append(outcome)
        else:
            problems += outcome
    bad_rows = {problem.row for problem in problems}
    if HEADER_ROW in bad_rows:
        rows = []
    return [row for row in rows if row.row not in bad_rows], sorted(problems)


class SexAndAge(NamedTuple):
    """What a row tells, whether it can be used or not."""

    sex: Sex | None
    """None where it cannot be read."""
    bone_age_months: float
    """NaN where it cannot be read."""


def sexes_and_ages(labels: LabelTable, options: LabelOptions) -> list[SexAndAge]:
    """Of every row of a table, those with problems too."""
    sexes, rows = labels.sexes(options), labels.table.rows
    empty = pd.Series("", rows.index)
    found = []
    for cell, age in zip(
        rows.get(labels.sex_column, empty), rows.get(labels.age_column, empty), strict=True
    ):
        months = _parse_age(age, options)
        sex = sexes.sex_of(cell) if cell or options.sex is None else sex_from_label(options.sex)
        found.append(SexAndAge(sex, math.nan if isinstance(months, str) else months))
    return found


def _missing_columns(
    labels: LabelTable, options: LabelOptions, *, is_sex_told: bool
) -> Iterator[Problem]:
    needs_sex = options.sex is None and not is_sex_told
    wanted = [
        ("identifier", "--id-column", labels.id_column, ID_HEADERS, True),
        ("bone age", "--age-column", labels.age_column, AGE_HEADERS, not options.unlabelled),
        ("sex", "--sex-column", labels.sex_column, sex_column.HEADERS, needs_sex),
        (
            "chronological age",
            "--chronological-age-column",
            labels.chronological_age_column,
            CHRONOLOGICAL_AGE_HEADERS,
            False,
        ),
        *(
            (what, flag, column, known, False)
            for what, flag, column, known in height_columns(labels)
        ),
        ("group", "--group-column", labels.group_column, (), False),
        ("split", "--split-column", labels.split_column, (), False),
    ]
    there = labels.table.columns
    nameless = ". A column without a name is not read" if labels.table.has_nameless else ""
    for what, flag, column, known, is_required in wanted:
        if column in there or (column is None and not is_required):
            continue
        other = ", or give --sex for a table of one sex" if what == "sex" else ""
        expected = repr(column) if column else f"one of {', '.join(known)}"
        message = (
            f"no column for the {what}: expected {expected}, received the columns "
            f"{', '.join(there)}; name it with {flag}{other}{nameless}"
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
    sexes: SexColumn,
    number: int,
    identifier: str,
    cells: Mapping[str, str],
    given_sex: Sex | None,
) -> LabelRow | list[Problem]:
    """The row, or all of its problems. `given_sex` is that of a row whose cell is empty."""
    faults: list[tuple[str, str]] = []
    if not identifier:
        faults.append(("no_id", "the identifier is empty"))
    cell = cells.get(labels.sex_column or "", "")
    sex = sexes.sex_of(cell) if cell else given_sex
    if sex is None:
        faults.append(("bad_sex" if cell else "missing_sex", sexes.fault(cell)))
    has_age = labels.age_column in cells
    age = _parse_age(cells[labels.age_column or ""], options) if has_age else math.nan
    if isinstance(age, str):
        faults.append(("bad_age", age))
    chronological = _parse_chronological_age(
        cells.get(labels.chronological_age_column or "", ""), options
    )
    if isinstance(chronological, str):
        faults.append(("bad_chronological_age", chronological))
    split = cells.get(labels.split_column or "", "")
    if labels.split_column in cells and not split.isidentifier():
        faults.append(("bad_split", f"the split {split!r} is not a name such as train or test"))
    if faults or sex is None or isinstance(age, str) or isinstance(chronological, str):
        return [Problem(labels.name, number, identifier, "", *fault) for fault in faults]
    group = cells.get(labels.group_column or "", "")
    return LabelRow(
        *(identifier, sex, age, labels.name, number, group, split, chronological),
        is_sex_told=bool(cell),
        heights=heights_in(labels, cells, options),
    )


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
