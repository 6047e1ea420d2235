"""Adult height and target height of one child, as the results of a radiograph hold them.

One flat record: its fields are columns of `predictions.csv`, lines of `predictions.jsonl` and the JSON of the web page.
Nothing here raises for what a person has entered: without a height there is a reason.
For research and education. Not a medical device.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from bone_age_tf.errors import ArgumentTypeError, ArgumentValueError
from bone_age_tf.growth.adult_height import (
    BELOW_TABLE,
    REASONS,
    SEX_UNKNOWN,
    predict_adult_height,
)
from bone_age_tf.growth.adult_height_interval import (
    AdultHeightInterval,
    predict_adult_height_interval,
)
from bone_age_tf.growth.inputs import (
    ADULT_CM,
    INFANT_CM,
    OLDEST_IN_YEARS,
    centimetres_of,
    read_height,
)
from bone_age_tf.growth.parental_height import DEFAULT_CONVENTION, mid_parental_height
from bone_age_tf.growth.published_errors import method_sd_cm
from bone_age_tf.sex import Sex, sex_from_label

NO_HEIGHT, BAD_HEIGHT, NO_BONE_AGE = "no_height", "bad_height", "no_bone_age"
BAD_INPUT = "bad_input"
ONE_PARENT = "one_parent"
ASSESSMENT_REASONS = {
    **REASONS,
    NO_HEIGHT: "the child's height was not given",
    BAD_HEIGHT: "the child's height was given, but cannot be used",
    NO_BONE_AGE: "there is no bone age",
    ONE_PARENT: "the heights of both parents are needed",
}
"""Code -> one line for a person; with `bad_input` the line says what was entered."""


@dataclasses.dataclass(frozen=True)
class Heights:
    """Heights of a child and its parents as they were given: centimetres, or the text of a cell or a field."""

    child: float | str | None = None
    """Standing, without shoes, at the time of the radiograph."""
    mother: float | str | None = None
    father: float | str | None = None

    @property
    def any(self) -> bool:
        """Whether one was given."""
        return not all(_is_empty(one) for one in (self.child, self.mother, self.father))

    def otherwise(self, other: "Heights") -> "Heights":
        """These, and the others where one is missing."""
        given = dataclasses.asdict(self).items()
        return Heights(**{n: getattr(other, n) if _is_empty(v) else v for n, v in given})


@dataclasses.dataclass(frozen=True)
class GrowthAssessment:
    """What is known of the adult height; None and empty where there is nothing. Lengths in cm."""

    height_cm: float | None = None
    mother_height_cm: float | None = None
    father_height_cm: float | None = None
    """As given, where they can be used."""
    adult_height_cm: float | None = None
    """By Bayley and Pinneau (`adult_height`)."""
    adult_height_low_cm: float | None = None
    adult_height_high_cm: float | None = None
    """Of the bone ages in the prediction interval, over all columns that it reaches (`adult_height_interval`)."""
    adult_height_column: str = ""
    """`delayed`, `average` or `accelerated`."""
    adult_height_reason: str = ""
    """Why there is no adult height: a code and its explanation, as `no_chronological_age: ...`."""
    adult_height_warning: str = ""
    """`far_delayed`, `far_accelerated`, or `near_one_year` with the height of the other column."""
    adult_height_method_sd_cm: float | None = None
    """Published SD of the method's own error, which is in no interval."""
    adult_height_outside_probability: float | None = None
    """That the true bone age is outside the table."""
    adult_height_delayed_probability: float | None = None
    """That this column applies; this and the next three for each column that the interval reaches."""
    adult_height_delayed_cm: float | None = None
    adult_height_delayed_low_cm: float | None = None
    adult_height_delayed_high_cm: float | None = None
    adult_height_average_probability: float | None = None
    adult_height_average_cm: float | None = None
    adult_height_average_low_cm: float | None = None
    adult_height_average_high_cm: float | None = None
    adult_height_accelerated_probability: float | None = None
    adult_height_accelerated_cm: float | None = None
    adult_height_accelerated_low_cm: float | None = None
    adult_height_accelerated_high_cm: float | None = None
    target_height_cm: float | None = None
    """Mid-parental height (`parental_height`)."""
    target_height_low_cm: float | None = None
    target_height_high_cm: float | None = None
    target_height_convention: str = ""
    target_height_reason: str = ""
    """Why there is no target height, of parents whose heights were given."""


GROWTH_COLUMNS = tuple(field.name for field in dataclasses.fields(GrowthAssessment))
GROWTH_TEXT = frozenset(
    field.name for field in dataclasses.fields(GrowthAssessment) if field.default == ""
)
"""Those of `GROWTH_COLUMNS` that are text; the others are numbers."""


def assess(  # noqa: PLR0913 - the facts of a child
    heights: Heights,
    *,
    bone_age_months: float | None,
    chronological_age_months: float | None,
    sex: str,
    low_months: float | None = None,
    high_months: float | None = None,
    coverage: float = 0.9,
    reading_method: str | None,
    is_estimated: bool = False,
) -> GrowthAssessment:
    """The assessment of a child; `sex` is F, M, unknown or empty. Low and high are the prediction interval of the bone age.

    `is_estimated`: the bone age is a model's, so that a small number is not one in years.
    """
    child = sex_from_label(sex) if sex else Sex.UNKNOWN
    found: dict[str, Any] = dict(_parents(heights, child))
    if _is_empty(heights.child):
        return GrowthAssessment(**found, adult_height_reason=reason_text(NO_HEIGHT))
    try:
        height = _height("height_cm", heights.child, INFANT_CM)
        if bone_age_months is None:
            reason = reason_text(NO_BONE_AGE)
            return GrowthAssessment(**found, height_cm=height, adult_height_reason=reason)
        if is_estimated and bone_age_months <= OLDEST_IN_YEARS:  # months all the same
            reason = reason_text(BELOW_TABLE)
            return GrowthAssessment(**found, height_cm=height, adult_height_reason=reason)
        given = (bone_age_months, chronological_age_months, height, child)
        interval = (low_months, high_months)
        found |= dict(_adult(given, interval, coverage, reading_method))
    except (ArgumentValueError, ArgumentTypeError) as error:
        return GrowthAssessment(**found, adult_height_reason=f"{BAD_INPUT}: {error}")
    return GrowthAssessment(**found, height_cm=height)


def _adult(
    given: tuple[float, float | None, float, Sex],
    interval: tuple[float | None, float | None],
    coverage: float,
    reading_method: str | None,
) -> Iterator[tuple[str, Any]]:
    """Fields of the adult height. Raises `ArgumentValueError`."""
    low, high = interval
    if low is None or high is None or not low < high:
        predicted = predict_adult_height(*given, reading_method=reading_method)
    else:
        found = predict_adult_height_interval(
            *given,
            low_months=min(low, given[0]),
            high_months=max(high, given[0]),
            coverage=coverage,
            reading_method=reading_method,
        )
        predicted = found.predicted
        yield from _spread(found)
    age = given[1]
    if predicted.column is not None and age is not None:
        yield "adult_height_method_sd_cm", method_sd_cm(age, given[3])
    if predicted.other is not None:
        yield f"adult_height_{predicted.other.column}_cm", predicted.other.centimetres
    yield "adult_height_cm", predicted.centimetres
    yield "adult_height_column", predicted.column or ""
    yield "adult_height_reason", reason_text(predicted.reason) if predicted.reason else ""
    yield "adult_height_warning", " ".join(predicted.warnings)


def _spread(found: AdultHeightInterval) -> Iterator[tuple[str, Any]]:
    yield "adult_height_low_cm", found.low_cm
    yield "adult_height_high_cm", found.high_cm
    yield "adult_height_outside_probability", found.outside_probability
    for one in found.columns:
        yield f"adult_height_{one.column}_probability", one.probability
        yield f"adult_height_{one.column}_cm", one.centimetres
        yield f"adult_height_{one.column}_low_cm", one.low_cm
        yield f"adult_height_{one.column}_high_cm", one.high_cm


def _parents(heights: Heights, child: Sex) -> Iterator[tuple[str, Any]]:
    """Fields of the parents' heights and of the target height."""
    given = {"mother_height_cm": heights.mother, "father_height_cm": heights.father}
    given = {name: height for name, height in given.items() if not _is_empty(height)}
    read: dict[str, float] = {}
    faults = []
    for name, height in given.items():
        try:
            read[name] = _height(name, height, ADULT_CM)
        except (ArgumentValueError, ArgumentTypeError) as error:
            faults.append(str(error))
    yield from read.items()
    if faults:
        yield "target_height_reason", f"{BAD_INPUT}: {' '.join(faults)}"
    elif len(given) == 1:
        yield "target_height_reason", reason_text(ONE_PARENT)
    elif given:
        yield from _target(read["father_height_cm"], read["mother_height_cm"], child)


def _target(father: float, mother: float, child: Sex) -> Iterator[tuple[str, Any]]:
    target = mid_parental_height(father, mother, child, convention=DEFAULT_CONVENTION)
    if target is None:
        yield "target_height_reason", reason_text(SEX_UNKNOWN)
        return
    yield "target_height_cm", target.centimetres
    yield "target_height_low_cm", target.low_cm
    yield "target_height_high_cm", target.high_cm
    yield "target_height_convention", target.convention


def _height(name: str, given: float | str | None, limits: tuple[float, float]) -> float:
    """A height in centimetres. Raises `ArgumentValueError` and `ArgumentTypeError`."""
    return centimetres_of(
        name, read_height(name, given) if isinstance(given, str) else given, limits
    )


def _is_empty(value: float | str | None) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def reason_text(code: str) -> str:
    """A key of `ASSESSMENT_REASONS` with its explanation, as tables have it."""
    return f"{code}: {ASSESSMENT_REASONS[code]}"
