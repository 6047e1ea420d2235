"""A growth assessment in sentences, the same in reports, on the web page, in DICOM and in FHIR."""

from typing import NamedTuple

from bone_age_tf.growth.adult_height import NEAR_ONE_YEAR, WARNINGS, near_sentence, why_column
from bone_age_tf.growth.assessment import NO_HEIGHT, GrowthAssessment
from bone_age_tf.growth.bayley_pinneau import ACCELERATED, AVERAGE, COLUMNS, DELAYED
from bone_age_tf.growth.parental_height import CONVENTIONS
from bone_age_tf.growth.published_errors import LATER_STUDIES

METHOD = "Bayley-Pinneau"
SHOWN_PROBABILITY = 0.005
"""Columns and risks below this would be shown as 0 %."""


class PossibleColumn(NamedTuple):
    """A column of the table that the interval of the bone age reaches."""

    name: str
    probability: float
    centimetres: float | None
    low_cm: float | None
    high_cm: float | None


def possible_columns(found: GrowthAssessment) -> list[PossibleColumn]:
    """Those with a probability to be shown: several where the interval reaches a difference of one year."""
    columns = [
        PossibleColumn(
            name,
            *(
                getattr(found, f"adult_height_{name}_{field}")
                for field in ("probability", "cm", "low_cm", "high_cm")
            ),
        )
        for name in COLUMNS
        if getattr(found, f"adult_height_{name}_probability") is not None
    ]
    return [one for one in columns if one.probability >= SHOWN_PROBABILITY]


def adult_height_sentences(
    found: GrowthAssessment, difference_months: float | None, coverage: float | None
) -> list[str]:
    """The adult height with its uncertainty, or why there is none. `coverage` is that of the bone age's interval."""
    if found.adult_height_reason.partition(":")[0] == NO_HEIGHT:
        return []
    sentences = [
        _height(found, coverage),
        column_sentence(found, difference_months),
        _columns(found),
        outside_sentence(found),
        *adult_height_warnings(found, difference_months),
        error_sentence(found),
    ]
    return [text for text in sentences if text]


def column_sentence(found: GrowthAssessment, difference_months: float | None) -> str:
    """Which column, and why."""
    if not found.adult_height_column or difference_months is None:
        return ""
    return why_column(found.adult_height_column, difference_months)


def outside_sentence(found: GrowthAssessment) -> str:
    """How probable it is that there is no height."""
    outside = found.adult_height_outside_probability
    if outside is None or outside < SHOWN_PROBABILITY:
        return ""
    share = _percent(outside)
    return f"With a probability of {share} the true bone age is outside the table, which then gives no height."


def adult_height_warnings(found: GrowthAssessment, difference_months: float | None) -> list[str]:
    """Where the bone age is more than two years off, or near one year and without an interval."""
    codes = found.adult_height_warning.split()
    sentences = [f"{WARNINGS[code][:1].upper()}{WARNINGS[code][1:]}." for code in codes]
    if NEAR_ONE_YEAR in codes and difference_months is not None:
        outer = ACCELERATED if difference_months > 0 else DELAYED
        name = outer if found.adult_height_column == AVERAGE else AVERAGE
        height = getattr(found, f"adult_height_{name}_cm")
        sentences[-1] += f" {near_sentence(name, difference_months, height)}"
    return sentences


def error_sentence(found: GrowthAssessment) -> str:
    """The errors that no interval has."""
    if found.adult_height_cm is None:
        return ""
    spread = found.adult_height_method_sd_cm
    own = (
        "no SD is published for this age"
        if spread is None
        else f"SD {spread:.1f} cm in healthy children"
    )
    return f"The method's own error is not in the interval ({own}); {LATER_STUDIES}."


def target_height_sentence(found: GrowthAssessment) -> str:
    """The mid-parental height with its range, or why there is none; empty without heights of parents."""
    if found.target_height_reason:
        return f"No target height: {plain(found.target_height_reason)}."
    if found.target_height_cm is None:
        return ""
    title = CONVENTIONS[found.target_height_convention].title
    text = f"Target height by the parents {found.target_height_cm:.1f} cm"
    if found.target_height_low_cm is not None and found.target_height_high_cm is not None:
        text += f", range {found.target_height_low_cm:.1f} to {found.target_height_high_cm:.1f} cm"
    return f"{text} ({title})."


def plain(reason: str) -> str:
    """A reason without its code and its full stop."""
    return reason.partition(": ")[2].rstrip(".")


def _height(found: GrowthAssessment, coverage: float | None) -> str:
    low, high = found.adult_height_low_cm, found.adult_height_high_cm
    between = "" if low is None or high is None else f"{low:.1f} to {high:.1f} cm"
    if found.adult_height_cm is None:
        text = f"No predicted adult height: {plain(found.adult_height_reason)}."
        return text + (f" Within the interval of the bone age: {between}." if between else "")
    share = "" if coverage is None else f"{100 * coverage:g} % "
    interval = f", {share}interval {between} by that of the bone age" if between else ""
    now = f"height now {found.height_cm:.1f} cm"
    return f"Predicted adult height {found.adult_height_cm:.1f} cm{interval} ({METHOD}; {now})."


def _columns(found: GrowthAssessment) -> str:
    columns = possible_columns(found)
    if len(columns) < 2:
        return ""
    said = (f"{one.name} {_percent(one.probability)} ({_cm(one.centimetres)})" for one in columns)
    return f"The column is uncertain, as the interval reaches a difference of one year: {', '.join(said)}."


def _cm(height: float | None) -> str:
    return "outside the table" if height is None else f"{height:.1f} cm"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"
