"""Uncertainty of a predicted adult height, from the prediction interval of the bone age and from the method itself.

The bone age's interval goes through the table; the method's own error, which was published for expert readings, stands
beside it and is not added. Where the interval reaches a difference of one year from the chronological age,
the column is uncertain too: each column has its probability and its own heights. The step between
columns is up to 6 %, so that one height with one interval would hide it.
For research and education. Not a medical device.
"""

import dataclasses
import math
from collections.abc import Iterator

from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.growth.adult_height import (
    GREULICH_PYLE,
    AdultHeight,
    Child,
    child_of,
    predict_adult_height,
    without_other,
)
from bone_age_tf.growth.bayley_pinneau import COLUMNS, YEAR_MONTHS, Column, column_of, table_of
from bone_age_tf.growth.inputs import bone_age_of, number_of
from bone_age_tf.growth.published_errors import method_sd_cm
from bone_age_tf.growth.true_bone_age import Spread, probability_between, spread_of
from bone_age_tf.sex import Sex


@dataclasses.dataclass(frozen=True)
class ColumnHeight:
    """What one column of the table says for the part of the bone age's interval to which it applies."""

    column: str
    probability: float
    """That this column applies to the true bone age."""
    centimetres: float | None
    """At the bone age of this part that is nearest to the estimate: the estimate itself in its own column, a
    difference of one year in another. None where that is outside the table."""
    low_cm: float | None
    high_cm: float | None
    """Heights of the part that is inside the table; None where nothing is."""
    outside_probability: float
    """That this column applies and the true bone age is outside its rows: no adult height."""


@dataclasses.dataclass(frozen=True)
class AdultHeightInterval:
    """A predicted adult height with its uncertainty."""

    predicted: AdultHeight
    coverage: float
    """Of the bone age's interval; that of the heights is no lower, apart from `outside_probability`."""
    low_cm: float | None
    high_cm: float | None
    """Lowest and highest height of the bone ages of the interval, over all columns it touches. None where none has one."""
    columns: tuple[ColumnHeight, ...]
    """Those that the interval touches, in the order of `COLUMNS`; more than one where the column is uncertain. Their
    probabilities are of the whole distribution, so that their sum is below 1 if it reaches further columns."""
    outside_probability: float | None
    """That the true bone age is outside the table, so that it gives no adult height; None where no column can be chosen."""
    method_sd_cm: float | None
    """SD of the method's own error (`published_errors`): another error, which `low_cm` and `high_cm` do not contain."""


def predict_adult_height_interval(
    bone_age_months: float,
    chronological_age_months: float | None,
    height_cm: float,
    sex: Sex | str,
    *,
    low_months: float,
    high_months: float,
    coverage: float = 0.9,
    reading_method: str | None = GREULICH_PYLE,
) -> AdultHeightInterval:
    """Predict the adult height with the interval that follows from the bone age's, `low_months` to `high_months`.

    The probabilities take the true bone age as distributed about the estimate as the interval says (`true_bone_age`),
    as the verdict of `compare_with_age` does. For research and education; not a medical device.

    Raises as `predict_adult_height` does, and `ArgumentValueError` for an interval that does not hold the bone age.
    """
    asked = (bone_age_months, chronological_age_months, height_cm, sex)
    predicted = without_other(predict_adult_height(*asked, reading_method=reading_method))
    child = child_of(bone_age_months, chronological_age_months, height_cm, sex)
    low, high = _interval_of(child.bone_age, low_months, high_months, coverage)
    age = child.chronological_age
    if predicted.column is None or age is None:
        return AdultHeightInterval(predicted, coverage, None, None, (), None, None)
    spread = spread_of(child.bone_age, low, high, coverage)
    columns = tuple(_columns(child, age, (low, high), spread))
    return AdultHeightInterval(
        predicted,
        coverage,
        min((one.low_cm for one in columns if one.low_cm is not None), default=None),
        max((one.high_cm for one in columns if one.high_cm is not None), default=None),
        columns,
        _outside_probability(child, age, spread),
        method_sd_cm(age, child.sex),
    )


def _interval_of(
    bone_age: float, low_months: object, high_months: object, coverage: object
) -> tuple[float, float]:
    """The ends, checked."""
    low, high = bone_age_of(low_months, "low_months"), bone_age_of(high_months, "high_months")
    if not low <= bone_age <= high or low == high:
        raise ArgumentValueError(
            f"low_months, high_months: expected an interval that holds the bone age of {bone_age:g} months. "
            f"Received {low:g} to {high:g}. Without an interval, call predict_adult_height."
        )
    if not 0 < number_of("coverage", coverage) < 1:
        raise ArgumentValueError(
            f"coverage: expected a share between 0 and 1, as 0.9. Received {coverage}."
        )
    return low, high


def _columns(
    child: Child, age: float, interval: tuple[float, float], spread: Spread
) -> Iterator[ColumnHeight]:
    """Those that the interval touches."""
    touched = [COLUMNS.index(column_of(end, age)) for end in interval]
    for name in COLUMNS[touched[0] : touched[1] + 1]:
        column, (start, end) = table_of(child.sex)[name], _bone_ages(name, age)
        part = _clipped(start, interval), _clipped(end, interval)
        nearest = _clipped(child.bone_age, part)
        low, high = _heights(column, part, child.height)
        yield ColumnHeight(
            name,
            probability_between(child.bone_age, spread, start, end),
            column.adult_height(nearest, child.height) if column.covers(nearest) else None,
            low,
            high,
            _outside(child, column, (start, end), spread),
        )


def _clipped(months: float, limits: tuple[float, float]) -> float:
    return min(max(months, limits[0]), limits[1])


def _bone_ages(name: str, age: float) -> tuple[float, float]:
    """Bone ages from which and up to which a column applies at this chronological age."""
    limits = (-math.inf, age - YEAR_MONTHS, age + YEAR_MONTHS, math.inf)
    first = COLUMNS.index(name)
    return limits[first], limits[first + 1]


def _heights(
    column: Column, part: tuple[float, float], height: float
) -> tuple[float | None, float | None]:
    """Lowest and highest adult height of the bone ages that are inside the column: heights fall as they rise."""
    first, last = _inside(column, part)
    if first > last:
        return None, None
    return column.adult_height(last, height), column.adult_height(first, height)


def _inside(column: Column, part: tuple[float, float]) -> tuple[float, float]:
    """The part of these bone ages that the column covers."""
    last = math.inf if column.is_complete else column.last
    return max(part[0], column.first), min(part[1], last)


def _outside(child: Child, column: Column, part: tuple[float, float], spread: Spread) -> float:
    """Probability that the true bone age is in this part and not covered by the column."""
    inside = probability_between(child.bone_age, spread, *_inside(column, part))
    return max(probability_between(child.bone_age, spread, *part) - inside, 0.0)


def _outside_probability(child: Child, age: float, spread: Spread) -> float:
    """Over all columns, also those that the interval does not touch."""
    table = table_of(child.sex)
    return sum(_outside(child, table[name], _bone_ages(name, age), spread) for name in COLUMNS)
