"""The visits of children over time: from a table to bone ages, adult heights and target heights, and what contradicts.

TensorFlow is imported only where a radiograph has to be read. For research and education. Not a medical device.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bone_age_tf.config import VisitOptions
from bone_age_tf.config.choices import INFANT
from bone_age_tf.data.dicom_headers import read_headers
from bone_age_tf.data.visit_files import locate, needs_model, told_by, with_file_faults
from bone_age_tf.data.visit_table import read_visits
from bone_age_tf.export.shipped_model import default_model
from bone_age_tf.growth.adult_height import GREULICH_PYLE
from bone_age_tf.growth.children import by_child, complete
from bone_age_tf.growth.parental_height import (
    DEFAULT_CONVENTION,
    TargetHeight,
    mid_parental_height,
)
from bone_age_tf.growth.series import Contradiction, contradictions, height_velocities
from bone_age_tf.growth.visits import MODEL, REJECTED, Assessment, Visit, assess_visit
from bone_age_tf.sex import Sex

if TYPE_CHECKING:
    from bone_age_tf.inference.visit_bone_ages import UsedModel

Notify = Callable[[str, int, int], None]
NO_INTERVALS = 0.9
"""Coverage where no model was used; there are no intervals then."""


@dataclasses.dataclass(frozen=True)
class Child:
    """All rows of one child."""

    id: str
    sex: Sex | None
    """None where no row tells it in a way that can be used."""
    assessments: tuple[Assessment, ...]
    """In the order of the table."""
    contradictions: tuple[Contradiction, ...]
    velocities: Mapping[int, float]
    """By row, as `growth.series.height_velocities`."""
    father_cm: float | None
    mother_cm: float | None
    target: TargetHeight | None
    """None where one of the parents' heights, or the sex, is unknown."""


@dataclasses.dataclass(frozen=True)
class FollowUp:
    """A table of visits, assessed."""

    assessments: tuple[Assessment, ...]
    """Of all rows of the table, in their order."""
    children: tuple[Child, ...]
    """In the order in which the table names them."""
    model: "UsedModel | None"
    """None where no radiograph was read."""

    @property
    def coverage(self) -> float:
        """Of the prediction intervals of the bone ages by the model."""
        return NO_INTERVALS if self.model is None else self.model.coverage


def follow_up(
    table: str,
    *,
    model: str | None = None,
    radiographs: str | None = None,
    options: VisitOptions | None = None,
    reading_method: str | None = GREULICH_PYLE,
    convention: str = DEFAULT_CONVENTION,
    accept_dicom: Sequence[str] = (),
    on_progress: Notify | None = None,
) -> FollowUp:
    """Read and assess a table of visits.

    `reading_method` is that of the bone ages of the table. Raises `InputDataError` where the table as a whole cannot be used.
    """
    visits = read_visits(table, options or VisitOptions())
    files = locate(visits, table, radiographs)
    headers = read_headers(files.values())
    visits = complete(visits, told_by(files, headers))
    visits = with_file_faults(visits, files, radiographs)
    asked = [visit for visit in visits if needs_model(visit) and _has_usable_file(visit)]
    used = None
    if asked:
        if on_progress is not None:
            on_progress("growth", 0, len(asked))  # before TensorFlow, which takes a while
        from bone_age_tf.inference.visit_bone_ages import predict_visits

        predicted, used = predict_visits(
            asked,
            files,
            headers,
            model=model or str(default_model()),
            accept_dicom=accept_dicom,
            on_progress=on_progress,
        )
        visits = [predicted.get(visit.row, visit) for visit in visits]
    assessments = tuple(_assessed(visit, used, reading_method) for visit in visits)
    of_row = {one.visit.row: one for one in assessments}
    children = by_child(one.visit for one in assessments)
    return FollowUp(
        assessments,
        tuple(
            _child(id, [of_row[visit.row] for visit in rows], convention)
            for id, rows in children.items()
        ),
        used,
    )


def _has_usable_file(visit: Visit) -> bool:
    return not {"no_image", "same_picture"} & {fault.code for fault in visit.faults}


def _assessed(visit: Visit, used: "UsedModel | None", reading_method: str | None) -> Assessment:
    is_by_model = visit.bone_age_from == MODEL and used is not None
    method = used.reading_method if is_by_model and used is not None else reading_method
    one = assess_visit(
        visit, coverage=used.coverage if used else NO_INTERVALS, reading_method=method
    )
    is_infant = one.comparison is not None and one.comparison.is_infant
    if not is_infant or INFANT in one.visit.warnings:
        return one
    warned = dataclasses.replace(one.visit, warnings=(*one.visit.warnings, INFANT))
    return dataclasses.replace(one, visit=warned)


def _child(id: str, assessments: Sequence[Assessment], convention: str) -> Child:
    visits = [one.visit for one in assessments]
    usable = [visit for visit in visits if visit.status != REJECTED]
    first = next(iter(usable), None)
    father, mother = (first.father_cm, first.mother_cm) if first else (None, None)
    told = {visit.sex for visit in visits if visit.sex is not None}
    sex = first.sex if first else next(iter(told)) if len(told) == 1 else None
    target = None
    if father is not None and mother is not None and sex is not None:
        target = mid_parental_height(father, mother, sex, convention=convention)
    found = tuple(contradictions(visits))
    velocities = height_velocities(visits)
    return Child(id, sex, tuple(assessments), found, velocities, father, mother, target)
