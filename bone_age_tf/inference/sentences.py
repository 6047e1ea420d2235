"""Parts of a prediction in words."""

from collections.abc import Mapping

from bone_age_tf.config.choices import (
    INFANT,
    MATURE,
    NEAR_END_OF_SCALE,
    SEX_LOOKS_WRONG,
    TRAINED_ON,
)
from bone_age_tf.dicom.warnings import WARNINGS as HEADER_WARNINGS
from bone_age_tf.growth.wording import adult_height_sentences, target_height_sentence
from bone_age_tf.inference.prediction import Prediction

WARNINGS: Mapping[str, str] = {
    **{code: f"{text[0].upper()}{text[1:]}." for code, text in HEADER_WARNINGS.items()},
    SEX_LOOKS_WRONG: "The hand looks like one of the other sex. The estimate is for the sex given; check that it is correct.",
    TRAINED_ON: "The model was trained on this radiograph, so its estimate is closer to the label than for others.",
    INFANT: "Below two years of age or bone age, 2 SD is about as large as the error of a reading, so a comparison with the age is of little value.",
    NEAR_END_OF_SCALE: "The model was trained on few radiographs near this end of its scale. There it tends to read infants too old and mature hands too young.",
    MATURE: "The hand may be mature. The last growth plates close at about 17 years in girls and 18 in boys, and the atlas ends there: if they are closed, read it as mature, 17 years or more in a girl, 18 years or more in a boy.",
}
"""Code of the column `warning` -> a sentence."""


def warning_sentences(codes: str) -> list[str]:
    """The column `warning` in words."""
    return [WARNINGS[code] for code in codes.split()]


def growth_sentences(row: Prediction, coverage: float | None) -> list[str]:
    """Adult height and target height with their uncertainty, or why there is none; empty where no height was given."""
    if row.growth is None:
        return []
    heights = adult_height_sentences(row.growth, row.difference_months, coverage)
    return [*heights, *filter(None, [target_height_sentence(row.growth)])]


def plain_reason(reason: str) -> str:
    """A reason without its code."""
    return reason.partition(": ")[2] or reason


def reason_without_advice(reason: str) -> str:
    """The same for readers at a viewer, who have no command line: without what to type."""
    text = plain_reason(reason)
    return text.partition(":")[0] if "--" in text else text


def years(months: float) -> str:
    """Months as years and months: `10 y 3 m`."""
    whole, rest = divmod(round(months), 12)
    return f"{whole} y {rest} m"
