"""The prediction for one radiograph, without TensorFlow or tables."""

import dataclasses
from typing import Any

from bone_age_tf.config.choices import INFANT
from bone_age_tf.data.training_ages import TrainingAges
from bone_age_tf.export.answers import Outcome, answer_of
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.growth.assessment import GROWTH_COLUMNS, GrowthAssessment, Heights, assess
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.postprocessing.conformal import DEFAULT_COVERAGE
from bone_age_tf.sex import sex_from_label


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


def prediction_of(
    file: str, id: str, sex: str, outcome: Outcome, ages: TrainingAges | None
) -> Prediction:
    """The row of a file from the outputs by name, or why there are none, of a model trained on these ages."""
    return Prediction(
        id=id,
        bone_age_months_true=None,
        chronological_age_months=None,
        difference_months=None,
        sd_score=None,
        verdict="",
        verdict_probability=None,
        **dataclasses.asdict(answer_of(file, sex, outcome, ages)),
    )


def compared(row: Prediction, age: float | None, coverage: float | None) -> Prediction:
    """The row, compared with the chronological age in months where there is one."""
    if age is None or row.bone_age_months is None:
        return dataclasses.replace(row, chronological_age_months=age)
    found = compare_with_age(
        row.bone_age_months,
        age,
        sex_from_label(row.sex),
        low_months=row.bone_age_low_months,
        high_months=row.bone_age_high_months,
        coverage=coverage or DEFAULT_COVERAGE,
    )
    row = warned(row, INFANT) if found.is_infant else row
    return dataclasses.replace(
        row,
        chronological_age_months=age,
        difference_months=found.difference_months,
        sd_score=found.sd_score,
        verdict=found.verdict or "",
        verdict_probability=found.verdict_probability,
    )


def assessed(row: Prediction, heights: Heights, model: ExportedModel) -> Prediction:
    """The row with the adult height, where a height was given: of the child or of a parent."""
    if not heights.any:
        return row
    growth = assess(
        heights,
        bone_age_months=row.bone_age_months,
        chronological_age_months=row.chronological_age_months,
        sex=row.sex,
        low_months=row.bone_age_low_months,
        high_months=row.bone_age_high_months,
        coverage=model.coverage or DEFAULT_COVERAGE,
        reading_method=model.manifest.get("reading_method"),
        is_estimated=True,
    )
    return dataclasses.replace(row, growth=growth)


def warned(row: Prediction, *codes: str) -> Prediction:
    """The row with more codes among its warnings, each once."""
    return dataclasses.replace(row, warning=" ".join(dict.fromkeys([*row.warning.split(), *codes])))
