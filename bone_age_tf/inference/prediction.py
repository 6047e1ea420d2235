"""The prediction for one radiograph, without TensorFlow."""

import dataclasses
from typing import Any

from bone_age_tf.growth.assessment import GROWTH_COLUMNS, GrowthAssessment


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The prediction for one radiograph: a row of `predictions.csv`, and of a DataFrame of many.

    Unlike a row of `LabelledPredictions`, it may be a rejected radiograph, and needs no label.
    """

    id: str
    file: str
    sex: str
    bone_age_months: float | None
    bone_age_low_months: float | None
    """Lower end of the interval; None for a rejected radiograph and of a model without intervals."""
    bone_age_high_months: float | None
    bone_age_months_true: float | None
    chronological_age_months: float | None
    difference_months: float | None
    """Bone age minus chronological age; this and the next as `growth/reference_standards.py` defines them."""
    sd_score: float | None
    verdict: str
    """Empty, or `delayed`, `average`, `advanced`."""
    verdict_probability: float | None
    status: str
    """`ok` or `rejected`."""
    reason: str
    """Empty, or a reason code with its explanation."""
    warning: str = ""
    """Empty, or of `sex_looks_wrong` (the bone age is that for the given sex all the same), `infant` (child or hand too
    young for a verdict to mean much), `near_end_of_scale` (the model was trained on few of this age and beyond),
    `mature` (the interval reaches the age of a mature hand), `trained_on` (the model was trained on this very file, so that its error
    says nothing about others) and, of DICOM files, the codes of `dicom.warnings`, with a blank between."""
    sop_instance_uid: str = ""
    """Of a DICOM file as it was received; a column only where it was asked for."""
    growth: GrowthAssessment | None = None
    """Where a height was given: its fields are columns of their own (`flat`)."""

    def flat(self) -> dict[str, Any]:
        """The row as results hold it: values by column, those of `growth` only where a height was given."""
        values = dataclasses.asdict(self)
        return values | (values.pop("growth") or {})


def growth_of(row: dict[str, Any]) -> GrowthAssessment | None:
    """The assessment in a flat row; None without one."""
    if GROWTH_COLUMNS[0] not in row:
        return None
    return GrowthAssessment(**{name: row[name] for name in GROWTH_COLUMNS})
