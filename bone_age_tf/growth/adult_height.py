"""Adult height from bone age and height now, by Bayley and Pinneau (`bayley_pinneau` has table and source).

Adult height = height now x 100 / P, P being the percentage of the adult height at this bone age. Between the rows P
is interpolated linearly in months (the paper names no rule); outside the table there is no answer, except
after growth, in columns that end at 100 %. `adult_height_interval` has the uncertainty.
For research and education. Not a medical device.
"""

import dataclasses
import math
from typing import NamedTuple

from bone_age_tf.growth.bayley_pinneau import (
    ACCELERATED,
    AVERAGE,
    DELAYED,
    ROUNDING_MONTHS,
    YEAR_MONTHS,
    Column,
    column_of,
    table_of,
)
from bone_age_tf.growth.inputs import (
    MAX_AGE_MONTHS,
    age_of,
    bone_age_of,
    child_height_of,
    require_months,
    sex_of,
)
from bone_age_tf.sex import Sex

GREULICH_PYLE = "greulich_pyle"
"""Of `config.READING_METHODS`: the only one that the table is for."""

BELOW_TABLE, ABOVE_TABLE = "below_table", "above_table"
NO_CHRONOLOGICAL_AGE, SEX_UNKNOWN = "no_chronological_age", "sex_unknown"
NOT_GREULICH_PYLE = "not_greulich_pyle"
REASONS = {
    BELOW_TABLE: "the bone age is below the first row of the column; the authors call such predictions subject to large errors",
    ABOVE_TABLE: "the bone age is above the last row of the column, at which growth is not complete; nothing is extrapolated",
    NO_CHRONOLOGICAL_AGE: "without a chronological age the column of the table cannot be chosen",
    SEX_UNKNOWN: "girls and boys have different tables, and the sex is unknown",
    NOT_GREULICH_PYLE: "the table is for bone ages by Greulich and Pyle; others, such as Tanner-Whitehouse bone ages, give other heights",
}
"""Why there is no adult height -> one line for a person."""

FAR_DELAYED, FAR_ACCELERATED = "far_delayed", "far_accelerated"
NEAR_ONE_YEAR = "near_one_year"
NEAR_MONTHS = 6.0
"""Two readers of one radiograph differ by 5 to 7 months on average (docs/evaluation.md)."""
WARNINGS = {
    FAR_DELAYED: "the bone age is more than two years behind: the authors of the table expect a shorter adult height",
    FAR_ACCELERATED: "the bone age is more than two years ahead: the authors of the table expect a taller adult height",
    NEAR_ONE_YEAR: f"the difference of the ages is within {NEAR_MONTHS:g} months of one year, where the column of the table changes, and the bone age has no interval",
}
"""Warning -> one line for a person."""


class OtherColumn(NamedTuple):
    """The column on the other side of one year's difference, where a small error of the bone age leads to it."""

    column: str
    centimetres: float | None
    """Adult height by it, at one year's difference; None outside its rows."""


@dataclasses.dataclass(frozen=True)
class AdultHeight:
    """A predicted adult height, or why there is none."""

    centimetres: float | None
    column: str | None
    """`accelerated`, `average` or `delayed`; None where it cannot be chosen."""
    percentage: float | None
    """Of the adult height that is reached now."""
    difference_months: float | None
    """Bone age minus chronological age, which the column follows from."""
    is_complete: bool
    """Growth is complete: the adult height is the height now."""
    reason: str | None
    """Why there is no adult height: a key of `REASONS`."""
    explanation: str
    """The column and why it applies, and the reason, for a person."""
    warnings: tuple[str, ...] = ()
    """Keys of `WARNINGS`."""
    other: OtherColumn | None = None
    """With the warning `near_one_year`."""


def predict_adult_height(
    bone_age_months: float,
    chronological_age_months: float | None,
    height_cm: float,
    sex: Sex | str,
    *,
    reading_method: str | None = GREULICH_PYLE,
) -> AdultHeight:
    """Predict the adult height in centimetres by Bayley and Pinneau, 1952.

    `height_cm` is the standing height without shoes at the time of the radiograph; `sex` is F, M, unknown,
    or a usual word. No chronological age (None, NaN), an unknown sex, and bone ages that were not read by
    Greulich and Pyle (`reading_method`) give no answer, with the reason. For research and education; not a medical device.

    Raises `ArgumentValueError` where a number is impossible or evidently in another unit (metres, feet, inches, years),
    and `ArgumentTypeError` for what is no number.
    """
    child = child_of(bone_age_months, chronological_age_months, height_cm, sex)
    reason = _without_column(child, reading_method)
    if reason is not None or child.chronological_age is None:
        return _no_column(reason or NO_CHRONOLOGICAL_AGE)
    name = column_of(child.bone_age, child.chronological_age)
    column = table_of(child.sex)[name]
    difference = child.bone_age - child.chronological_age
    why = why_column(name, difference)
    if not column.covers(child.bone_age):
        reason = BELOW_TABLE if child.bone_age < column.first else ABOVE_TABLE
        text = f"{why} {_capital(REASONS[reason])} ({_rows(column)})."
        found = AdultHeight(None, name, None, difference, False, reason, text)
        return _with_other(found, child, child.chronological_age)
    percentage = column.percentage(child.bone_age)
    found = AdultHeight(
        column.adult_height(child.bone_age, child.height),
        name,
        percentage,
        difference,
        percentage == 100.0,
        None,
        why,
        _warnings(difference),
    )
    return _with_other(found, child, child.chronological_age)


@dataclasses.dataclass(frozen=True)
class Child:
    """What a prediction is made from, checked: months and centimetres."""

    bone_age: float
    chronological_age: float | None
    height: float
    sex: Sex


def child_of(
    bone_age_months: object, chronological_age_months: object, height_cm: object, sex: object
) -> Child:
    """The arguments of `predict_adult_height`, checked; raises what it does."""
    bone_age = bone_age_of(bone_age_months)
    age = None
    if not _is_missing(chronological_age_months):
        age = age_of("chronological_age_months", chronological_age_months, MAX_AGE_MONTHS)
    height = child_height_of(height_cm, bone_age)
    require_months(bone_age, age, height)
    return Child(bone_age, age, height, sex_of(sex))


def _is_missing(value: object) -> bool:
    """NaN is what an empty cell of a table becomes."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _without_column(child: Child, reading_method: str | None) -> str | None:
    if reading_method != GREULICH_PYLE:
        return NOT_GREULICH_PYLE
    if child.sex == Sex.UNKNOWN:
        return SEX_UNKNOWN
    return NO_CHRONOLOGICAL_AGE if child.chronological_age is None else None


def _no_column(reason: str) -> AdultHeight:
    text = f"No adult height: {REASONS[reason]}."
    return AdultHeight(None, None, None, None, False, reason, text)


def _warnings(difference: float) -> tuple[str, ...]:
    if abs(difference) <= 2 * YEAR_MONTHS + ROUNDING_MONTHS:
        return ()
    return (FAR_ACCELERATED,) if difference > 0 else (FAR_DELAYED,)


def _with_other(found: AdultHeight, child: Child, age: float) -> AdultHeight:
    """With the other column's answer, where the difference is near one year and one of the columns has an answer."""
    difference = child.bone_age - age
    months = math.copysign(YEAR_MONTHS, difference) - difference
    outer = ACCELERATED if difference > 0 else DELAYED
    if abs(months) > NEAR_MONTHS + ROUNDING_MONTHS:
        return found
    name = outer if found.column == AVERAGE else AVERAGE
    column, bone_age = table_of(child.sex)[name], child.bone_age + months
    height = column.adult_height(bone_age, child.height) if column.covers(bone_age) else None
    if height is None and found.centimetres is None:
        return found
    other = OtherColumn(name, height)
    return dataclasses.replace(found, warnings=(*found.warnings, NEAR_ONE_YEAR), other=other)


def without_other(found: AdultHeight) -> AdultHeight:
    """For a bone age with an interval, which says more exactly which columns it reaches."""
    warnings = tuple(one for one in found.warnings if one != NEAR_ONE_YEAR)
    return dataclasses.replace(found, warnings=warnings, other=None)


def near_sentence(column: str, difference: float, centimetres: float | None) -> str:
    """The other column's answer, for a person."""
    # Not rounded down: the column changes only then.
    months = max(math.ceil(abs(abs(difference) - YEAR_MONTHS) * 10 - ROUNDING_MONTHS), 1) / 10
    answer = "there would be no adult height"
    if centimetres is not None:
        answer = f"the adult height {centimetres:.1f} cm"
    is_higher = column == ACCELERATED or (column == AVERAGE and difference < 0)
    side = "higher" if is_higher else "lower"
    return f"With a bone age {months:.1f} months {side} the column would be {column} and {answer}."


def why_column(name: str, difference: float) -> str:
    """The column and why it applies, as a sentence."""
    # Not rounded up: 11.96 months are less than a year, and must not be shown as 12.0.
    months = math.floor(abs(difference) * 10 + ROUNDING_MONTHS * 10) / 10
    ages = f"the bone age is {months:.1f} months {'ahead of' if difference > 0 else 'behind'} the chronological age"
    if difference == 0:
        ages = "the bone age equals the chronological age"
    rule = "less than a year" if name == AVERAGE else "a year or more"
    return f"Column for {name} maturation: {ages}{', ' + rule if difference else ''}."


def _rows(column: Column) -> str:
    return f"rows of {column.first:g} to {column.last:g} months"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
