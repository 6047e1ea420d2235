"""Predict the bone age of radiographs with an exported model whose files match its manifest."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.config.choices import TRAINED_ON
from bone_age_tf.data.leakage import TRAINING_MEAN, is_trained_on
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.data.problems import PROBLEMS, Problem, write_problems
from bone_age_tf.dicom.admission import accept
from bone_age_tf.dicom.header import Header
from bone_age_tf.export.answers import REJECTED, outcomes_of
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.growth.assessment import Heights
from bone_age_tf.inference.accuracy import accuracy_of
from bone_age_tf.inference.known import Known
from bone_age_tf.inference.prediction import (
    Prediction,
    assessed,
    compared,
    prediction_of,
    warned,
)
from bone_age_tf.metrics.predictions import OK, PREDICTIONS, csv_text, table_of
from bone_age_tf.preprocessing.radiographs import Radiograph, find_radiographs, prepare_files
from bone_age_tf.preprocessing.rejections import Rejection

COMMAND = "predict"
LINES = "predictions.jsonl"
RESULTS = (PREDICTIONS, LINES, "reports", "fhir", PROBLEMS)
"""What `predict` leaves in its folder, with `--report` and `--fhir`."""
UID = "sop_instance_uid"


@dataclasses.dataclass(frozen=True)
class Predicted:
    """A file, what was read of it, and its prediction."""

    file: SourceFile
    prediction: Prediction
    header: Header | None
    """None where it is not a DICOM file, or one whose header cannot be read."""
    encoded: bytes
    """The file as received; empty where it was rejected before it was read."""
    prepared: np.ndarray | None
    """uint8 [height, width, 1]; None of a rejected radiograph."""
    prepared_to_original: np.ndarray | None
    """[2, 3]; None of a rejected radiograph."""
    shown_id: str
    """What the radiograph is called in results that hold no name of a patient: `Known.shown`."""


@dataclasses.dataclass(frozen=True)
class PredictReport:
    """How many radiographs got a bone age."""

    predicted: int
    rejected: int
    first: tuple[Prediction, ...]
    """The first rows, for display: DICOM files are called by their identifier, since their names may be those of patients."""
    table: pd.DataFrame
    """All rows, in the columns of `Prediction`: text, or float64 with NaN where there is no number."""
    warnings: int = 0
    """How many of the predicted have a warning."""
    version: str = ""
    """Version of the model."""
    without_file: tuple[Problem, ...] = ()
    """Rows of the label table that have no file; `problems.csv` lists them."""
    accuracy: Mapping[str, Any] | None = None
    """Errors of the radiographs with a true bone age, as in an `evaluation.json`: `overall`, `constant`,
    `trained_on_split` and `leakage`. None: there are no true bone ages."""


def predict(  # noqa: PLR0913 - one for each option
    paths: Sequence[str],
    *,
    model: str,
    output: str,
    sex: str | None = None,
    labels: str | None = None,
    label_options: LabelOptions = LabelOptions(unlabelled=True),  # noqa: B008
    chronological_age_months: float | None = None,
    heights: Heights = Heights(),  # noqa: B008 - frozen
    accept_dicom: Sequence[str] = (),
    keep_uids: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_predicted: Callable[[Predicted], None] | None = None,
) -> PredictReport:
    """Predict files, folders and zips; every file is a row of `predictions.csv`.

    Sex and chronological age come from the label table, then from the header of a DICOM file, and from `sex` and
    `chronological_age_months` where neither tells them; heights, for the adult height, from the table, then from `heights`. Rows without a file are in `problems.csv`. `overwrite` replaces
    earlier predictions. `accept_dicom`: reasons of `dicom.admission.ACCEPTABLE` for which no header rejects a file.
    `keep_uids` adds the column `sop_instance_uid`. `on_predicted` is called for each file, in their order.
    Memory grows with the number of files by their rows alone. Raises `UsageError` where `output` holds results, or
    nothing tells a sex.
    """
    start = time.monotonic()
    require_free(Path(output), COMMAND, RESULTS, overwrite=overwrite)
    accept(*accept_dicom)
    files = find_radiographs(paths)
    known = Known.read(
        COMMAND,
        files,
        sex=sex,
        labels=labels,
        label_options=label_options,
        chronological_age_months=chronological_age_months,
        heights=heights,
    )
    exported = ExportedModel.open(model)
    folder = claim_output(output, COMMAND, RESULTS, overwrite=overwrite)
    without_file = known.labels.without_file
    write_problems(folder / PROBLEMS, without_file)
    notify = on_progress or (lambda stage, done, total: None)
    notify("predict", 0, len(files))
    rows: list[Prediction] = []
    with (  # opened first: a folder that cannot be written to is an error before the work
        written_whole(folder / PREDICTIONS) as csv_file,
        written_whole(folder / LINES) as lines,
    ):
        for one in predict_files(exported, files, known):
            rows.append(one.prediction)
            if on_predicted is not None:
                on_predicted(one)
            notify("predict", len(rows), len(files))
        values = [row.flat() for row in rows]
        values = values if keep_uids else _without_uids(values)
        table = table_of(values)
        csv_file.write(csv_text(table))
        lines.writelines(json.dumps(row, allow_nan=False) + "\n" for row in values)
    counts = {status: sum(row.status == status for row in rows) for status in (OK, REJECTED)}
    warnings = sum(row.status == OK and bool(row.warning) for row in rows)
    write_provenance(
        folder,
        COMMAND,
        model={
            "name": exported.name,
            "version": exported.folder.name,
            "manifest_sha256": sha256_of(exported.folder / MANIFEST),
            "fingerprint": exported.fingerprint,
            "has_training_files": exported.training_files is not None,
            TRAINING_MEAN: exported.training_data.mean_months,
        },
        sex=known.sex,
        files=len(files),
        counts=counts,
        rows_without_file=len(without_file),
        warnings=warnings,
        seconds=round(time.monotonic() - start, 3),
    )
    return PredictReport(
        predicted=counts[OK],
        rejected=counts[REJECTED],
        first=tuple(_shown(file, row, known) for file, row in zip(files[:20], rows, strict=False)),
        table=table,
        warnings=warnings,
        version=exported.folder.name,
        without_file=without_file,
        accuracy=accuracy_of(table, exported.training_data.mean_months),
    )


def predict_files(
    model: ExportedModel, files: Iterable[SourceFile], known: Known
) -> Iterator[Predicted]:
    """Each file with its prediction, in their order; a rejected one has a reason."""
    trained_on, ages = model.training_files, model.training_ages
    for batch in prepare_files(files, model.prepare_with_matrix, rejected=known.rejection):
        sexes = [known.sex_of(one.file) or "" for one in batch]
        made = [one.made if isinstance(one.made, Rejection) else one.made[0] for one in batch]
        outcomes = outcomes_of(model, made, sexes)
        for one, sex, outcome in zip(batch, sexes, outcomes, strict=True):
            row = prediction_of(one.file.name, known.labels.ids[one.file], sex, outcome, ages)
            row = dataclasses.replace(row, bone_age_months_true=known.true_months_of(one.file))
            row = compared(row, known.age_of(one.file), model.coverage)
            is_trained = row.status == OK and is_trained_on(one.encoded, trained_on)
            row = warned(row, TRAINED_ON) if is_trained else row
            row = warned(row, *_warnings_by_header(model, one, known))
            row = assessed(row, known.heights_of(one.file), model)
            yield _predicted(one, row, known)


def _predicted(
    one: Radiograph[SourceFile, tuple[np.ndarray, np.ndarray]],
    row: Prediction,
    known: Known,
) -> Predicted:
    header = known.labels.header(one.file)
    if header is not None:
        row = dataclasses.replace(row, sop_instance_uid=header.sop_instance_uid)
    made = (None, None) if isinstance(one.made, Rejection) else one.made
    return Predicted(one.file, row, header, one.encoded, *made, known.shown(one.file)[1])


def _warnings_by_header(
    model: ExportedModel, one: Radiograph[SourceFile, Any], known: Known
) -> Iterator[str]:
    """None of a file that was not read."""
    if one.encoded:
        has_thumb = model.is_registered and not isinstance(one.made, Rejection)
        yield from known.warnings_of(one.file, one.made[1] if has_thumb else None)


def _shown(file: SourceFile, row: Prediction, known: Known) -> Prediction:
    return dataclasses.replace(row, file=row.id) if file in known.labels.headers else row


def _without_uids(values: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: v for name, v in row.items() if name != UID} for row in values]
