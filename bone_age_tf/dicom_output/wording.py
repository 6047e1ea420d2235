"""The result in words, for the objects that show text on or below the radiograph."""

from typing import NamedTuple

from bone_age_tf import __version__
from bone_age_tf.config.choices import RESEARCH_ONLY, SD_SCORE_CONVENTION
from bone_age_tf.dicom_output.instance import side_of
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.growth.wording import METHOD
from bone_age_tf.inference.prediction import Prediction
from bone_age_tf.inference.sentences import reason_without_advice, warning_sentences, years

SEXES = {"F": "Female", "M": "Male"}
SIDES = {"L": "left hand", "R": "right hand", "": "side not stated"}
LEGEND = "Green: outline of what the model received."


class Wording(NamedTuple):
    """What a picture says."""

    headline: str
    months: str
    """Beside the headline; empty of a rejected radiograph."""
    rows: tuple[tuple[str, str], ...]
    """Label and value."""
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    """What the outline and the SD score are, which model, what it is for."""


def wording_of(result: Result) -> Wording:
    """All that a picture says of a result: neither a name nor a date."""
    row = result.prediction
    rows = (
        ("Reason", _capital(reason_without_advice(row.reason))),
        (interval_label(result), interval_of(row)),
        ("Chronological age", _months(row.chronological_age_months)),
        ("SD score", "" if row.sd_score is None else f"{row.sd_score:+.2f} ({row.verdict})"),
        ("Adult height", _adult_height(row)),
        ("Sex, side", f"{SEXES.get(row.sex, 'Sex unknown')}, {SIDES[side_of(result)]}"),
    )
    return Wording(
        headline=headline_of(row),
        months="" if row.bone_age_months is None else f"{row.bone_age_months:.1f} months",
        rows=tuple((label, value) for label, value in rows if value),
        warnings=tuple(warning_sentences(row.warning)),
        notes=_notes(result),
    )


def headline_of(row: Prediction) -> str:
    """`Bone age 10 years 1 month`, rounded to months; or that there is none."""
    if row.bone_age_months is None:
        return "No bone age: radiograph rejected"
    whole, rest = divmod(round(row.bone_age_months), 12)
    counts = [(n, unit) for n, unit in ((whole, "year"), (rest, "month")) if n] or [(0, "month")]
    return "Bone age " + " ".join(f"{n} {unit}{'' if n == 1 else 's'}" for n, unit in counts)


def interval_label(result: Result) -> str:
    """`90 % prediction interval`."""
    coverage = result.model.coverage
    share = "" if coverage is None else f"{100 * coverage:g} % "
    return f"{share}prediction interval"


def interval_of(row: Prediction) -> str:
    """`105.2 to 137.5 months (8 y 9 m to 11 y 6 m)`; empty without one."""
    low, high = row.bone_age_low_months, row.bone_age_high_months
    if low is None or high is None:
        return ""
    return f"{low:.1f} to {high:.1f} months ({years(low)} to {years(high)})"


def _months(months: float | None) -> str:
    return "" if months is None else f"{months:.1f} months ({years(months)})"


def _adult_height(row: Prediction) -> str:
    """`176.0 cm (171.6 to 183.5 cm)`; empty without one."""
    found = row.growth
    if found is None or found.adult_height_cm is None:
        return ""
    low, high = found.adult_height_low_cm, found.adult_height_high_cm
    between = "" if low is None or high is None else f" ({low:.1f} to {high:.1f} cm)"
    return f"{found.adult_height_cm:.1f} cm{between}, {METHOD}"


def _notes(result: Result) -> tuple[str, ...]:
    model = f"Model {result.model.name}, version {result.model.version}"
    notes = (
        LEGEND if result.outline is not None else "",
        f"SD score: {SD_SCORE_CONVENTION}." if result.prediction.sd_score is not None else "",
        f"{model} ({result.model.manifest_sha256[:12]}), by bone-age-tf {__version__}.",
        RESEARCH_ONLY,
    )
    return tuple(filter(None, notes))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
