"""Bone ages of the visits of which a table has a radiograph only."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from bone_age_tf.data.dicom_headers import names_of
from bone_age_tf.data.file_labels import FileLabels
from bone_age_tf.data.labels import LabelRow
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.dicom.admission import accept
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import Header
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.growth.visits import MODEL, Visit, VisitFault
from bone_age_tf.inference.known import Known
from bone_age_tf.inference.predict import predict_files
from bone_age_tf.inference.prediction import Prediction
from bone_age_tf.metrics.predictions import OK
from bone_age_tf.postprocessing.conformal import DEFAULT_COVERAGE
from bone_age_tf.sex import Sex

Notify = Callable[[str, int, int], None]


class UsedModel(NamedTuple):
    """The model that read the radiographs."""

    name: str
    version: str
    manifest_sha256: str
    fingerprint: str
    coverage: float
    """Of its prediction intervals."""
    reading_method: str | None
    """How the bone ages were read that it was trained on; None: unknown."""


def predict_visits(
    visits: Sequence[Visit],
    files: Mapping[int, SourceFile],
    headers: Mapping[SourceFile, Header | Fault],
    *,
    model: str,
    accept_dicom: Sequence[str] = (),
    on_progress: Notify | None = None,
) -> tuple[dict[int, Visit], UsedModel]:
    """These visits, by row, with the bone age of their file, or with the reason why there is none."""
    accept(*accept_dicom)
    exported = ExportedModel.open(model)
    notify = on_progress or (lambda stage, done, total: None)
    ordered = [files[visit.row] for visit in visits]
    found = {}
    for visit, one in zip(
        visits, predict_files(exported, ordered, _known(visits, files, headers)), strict=True
    ):
        found[visit.row] = _with_prediction(visit, one.prediction)
        notify("growth", len(found), len(ordered))
    return found, UsedModel(
        exported.name,
        exported.folder.name,
        sha256_of(exported.folder / MANIFEST),
        exported.fingerprint,
        exported.coverage or DEFAULT_COVERAGE,
        exported.manifest.get("reading_method"),
    )


def _known(
    visits: Sequence[Visit],
    files: Mapping[int, SourceFile],
    headers: Mapping[SourceFile, Header | Fault],
) -> Known:
    """What the rows tell of their files; each file is of one row."""
    ordered = [files[visit.row] for visit in visits]
    own = {file: headers[file] for file in ordered if file in headers}
    rows = {files[visit.row]: _label_row(visit) for visit in visits}
    ids = {file: row.id for file, row in rows.items()}
    return Known(FileLabels(ids, rows, {}, headers=own, names=names_of(ordered, own)))


def _label_row(visit: Visit) -> LabelRow:
    age = visit.chronological_age_months
    return LabelRow(
        visit.id,
        Sex.UNKNOWN if visit.sex is None else visit.sex,
        math.nan,
        "",
        visit.row,
        chronological_age_months=math.nan if age is None else age,
    )


def _with_prediction(visit: Visit, prediction: Prediction) -> Visit:
    if prediction.status != OK or prediction.bone_age_months is None:
        code, _, text = prediction.reason.partition(": ")
        fault = VisitFault(code or "no_bone_age", f"radiograph rejected: {text or 'no bone age'}")
        return visit.with_fault(fault)
    return dataclasses.replace(
        visit,
        bone_age_months=prediction.bone_age_months,
        bone_age_low_months=prediction.bone_age_low_months,
        bone_age_high_months=prediction.bone_age_high_months,
        bone_age_from=MODEL,
        warnings=tuple(prediction.warning.split()),
    )
