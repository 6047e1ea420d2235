"""What the report says in sentences."""

from bone_age_tf.config.choices import RESEARCH_ONLY, SD_SCORE_CONVENTION
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.inference.sentences import (
    growth_sentences,
    reason_without_advice,
    warning_sentences,
    years,
)

VERDICTS = {
    "delayed": "delayed (more than 2 SD below)",
    "average": "average (within 2 SD)",
    "advanced": "advanced (more than 2 SD above)",
}
SEXES = {"F": "a girl", "M": "a boy"}
UNKNOWN_SEX = "a child of unknown sex"


def conclusion_of(result: Result) -> str:
    """The bone age with its interval and its comparison, or why there is none."""
    row = result.prediction
    if row.bone_age_months is None:
        return f"Bone age not assessed: {reason_without_advice(row.reason)}."
    text = f"Bone age {_age(row.bone_age_months)}, estimated for {SEXES.get(row.sex, UNKNOWN_SEX)}."
    if row.bone_age_low_months is not None and row.bone_age_high_months is not None:
        coverage = "" if result.model.coverage is None else f"{percent(result.model.coverage)} "
        interval = f"{row.bone_age_low_months:.1f} to {row.bone_age_high_months:.1f} months"
        text += f" {coverage}prediction interval: {interval}."
    if row.chronological_age_months is not None:
        text += f" Chronological age {_age(row.chronological_age_months)}."
    if row.sd_score is not None:
        verdict = VERDICTS.get(row.verdict, "")
        text += f" SD score {row.sd_score:+.2f}: {verdict}. {SD_SCORE_CONVENTION}."
    return text


def remarks_of(result: Result) -> list[str]:
    """What a reader should know: the adult height where a height was given, the warnings, and that it is for research."""
    return [
        *growth_sentences(result.prediction, result.model.coverage),
        *warning_sentences(result.prediction.warning),
        f"{RESEARCH_ONLY} Preliminary, not verified by a reader.",
    ]


def percent(share: float) -> str:
    """A share as `90 %`."""
    return f"{100 * share:g} %"


def _age(months: float) -> str:
    return f"{years(months)} ({months:.1f} months)"
