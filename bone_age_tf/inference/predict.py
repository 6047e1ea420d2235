"""Predict the bone age of radiographs with an exported model whose files match its manifest."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bone_age_tf.config import LabelOptions
from bone_age_tf.config.sex_words import require_sex_word
from bone_age_tf.data.file_labels import FileLabels, read_file_labels
from bone_age_tf.data.leakage import TRAINED_ON, TRAINING_MEAN, is_trained_on
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.data.problems import PROBLEMS, Problem, write_problems
from bone_age_tf.export.answers import REJECTED, Outcome, answer_of, outcomes_of
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.inference.accuracy import accuracy_of
from bone_age_tf.metrics.predictions import OK, PREDICTIONS, csv_text, table_of
from bone_age_tf.postprocessing.conformal import DEFAULT_COVERAGE
from bone_age_tf.preprocessing.radiographs import find_radiographs, prepare_files
from bone_age_tf.preprocessing.rejections import Rejection
from bone_age_tf.record import sex_from_label

COMMAND = "predict"
LINES = "predictions.jsonl"
RESULTS = (PREDICTIONS, LINES, "reports", PROBLEMS)
"""What `predict` leaves in its folder, with `--report`."""
INFANT = "infant"


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
    """Empty, or of `sex_looks_wrong` (the bone age is that for the given sex all the same), `infant` (too
    young for a verdict to mean much) and `trained_on` (the model was trained on this very file, so that its error
    says nothing about others), with a blank between."""


@dataclasses.dataclass(frozen=True)
class PredictReport:
    """How many radiographs got a bone age."""

    predicted: int
    rejected: int
    first: tuple[Prediction, ...]
    """The first rows, for display."""
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
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> PredictReport:
    """Predict files, folders and zips; every file is a row of `predictions.csv`.

    Sex and chronological age come from the label table, and from `sex` and `chronological_age_months`
    where the table has no row or does not tell them. Rows without a file are in `problems.csv`. `overwrite` replaces
    earlier predictions.
    Memory grows with the number of files by their rows alone. Raises `UsageError` where `output` holds results.
    """
    start = time.monotonic()
    require_free(Path(output), COMMAND, RESULTS, overwrite=overwrite)
    exported = ExportedModel.open(model)
    files = find_radiographs(paths)
    sex = None if sex is None else require_sex_word(sex)
    known = read_labels(labels, label_options, files, sex)
    folder = claim_output(output, COMMAND, RESULTS, overwrite=overwrite)
    write_problems(folder / PROBLEMS, known.without_file)
    notify = on_progress or (lambda stage, done, total: None)
    notify("predict", 0, len(files))
    given = _Given(sex, chronological_age_months)
    rows: list[Prediction] = []
    with (  # opened first: a folder that cannot be written to is an error before the work
        written_whole(folder / PREDICTIONS) as csv_file,
        written_whole(folder / LINES) as lines,
    ):
        for row in _predict_rows(exported, files, known, given):
            rows.append(row)
            notify("predict", len(rows), len(files))
        values = [dataclasses.asdict(row) for row in rows]
        table = table_of(values)
        csv_file.write(csv_text(table))
        lines.writelines(json.dumps(row, allow_nan=False) + "\n" for row in values)
    counts = {status: sum(row.status == status for row in rows) for status in (OK, REJECTED)}
    warnings = sum(bool(row.warning) for row in rows)
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
        sex=sex,
        files=len(files),
        counts=counts,
        rows_without_file=len(known.without_file),
        warnings=warnings,
        seconds=round(time.monotonic() - start, 3),
    )
    return PredictReport(
        predicted=counts[OK],
        rejected=counts[REJECTED],
        first=tuple(rows[:20]),
        table=table,
        warnings=warnings,
        version=exported.folder.name,
        without_file=known.without_file,
        accuracy=accuracy_of(table, exported.training_data.mean_months),
    )


@dataclasses.dataclass(frozen=True)
class _Given:
    """Values for the radiographs for which the label table has none."""

    sex: str | None
    chronological_age_months: float | None


def read_labels(
    path: str | None, options: LabelOptions, files: Sequence[SourceFile], sex: str | None
) -> FileLabels:
    """The rows of a label table for these files; `sex` is that of the rows which do not tell it."""
    options = dataclasses.replace(options, unlabelled=True, sex=sex)  # type: ignore[arg-type]
    return read_file_labels(path, options, files)


def _predict_rows(
    model: ExportedModel, files: Sequence[SourceFile], labels: FileLabels, given: _Given
) -> Iterator[Prediction]:
    def rejected(file: SourceFile) -> Rejection | None:
        sex = sex_of(file, labels, given.sex)
        return sex if isinstance(sex, Rejection) else None

    trained_on = model.training_files
    for batch in prepare_files(files, model.prepare, rejected=rejected):
        sexes = [_label_or_empty(sex_of(one.file, labels, given.sex)) for one in batch]
        outcomes = outcomes_of(model, [one.made for one in batch], sexes)
        for one, sex, outcome in zip(batch, sexes, outcomes, strict=True):
            row = prediction_of(one.file.name, labels.ids[one.file], sex, outcome)
            row = dataclasses.replace(row, bone_age_months_true=_true_months(one.file, labels))
            row = compared(row, _age_of(one.file, labels, given), model.coverage)
            known = row.status == OK and is_trained_on(one.encoded, trained_on)
            yield _warned(row, TRAINED_ON) if known else row


def _label_or_empty(sex: str | Rejection) -> str:
    return "" if isinstance(sex, Rejection) else sex


def _true_months(file: SourceFile, labels: FileLabels) -> float | None:
    """The bone age of the table."""
    label = labels.rows.get(file)
    return None if label is None or math.isnan(label.bone_age_months) else label.bone_age_months


def prediction_of(file: str, id: str, sex: str, outcome: Outcome) -> Prediction:
    """The row of a file from the model's outputs by name, or why there are none."""
    return Prediction(
        id=id,
        bone_age_months_true=None,
        chronological_age_months=None,
        difference_months=None,
        sd_score=None,
        verdict="",
        verdict_probability=None,
        **dataclasses.asdict(answer_of(file, sex, outcome)),
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
    row = _warned(row, INFANT) if found.is_infant else row
    return dataclasses.replace(
        row,
        chronological_age_months=age,
        difference_months=found.difference_months,
        sd_score=found.sd_score,
        verdict=found.verdict or "",
        verdict_probability=found.verdict_probability,
    )


def _warned(row: Prediction, code: str) -> Prediction:
    """The row with another code among its warnings."""
    return dataclasses.replace(row, warning=f"{row.warning} {code}".strip())


def _age_of(file: SourceFile, labels: FileLabels, given: _Given) -> float | None:
    """The chronological age in the label table, or else the one given for all radiographs."""
    label = labels.rows.get(file)
    age = label.chronological_age_months if label else math.nan
    return given.chronological_age_months if math.isnan(age) else age


def sex_of(file: SourceFile, labels: FileLabels, sex: str | None) -> str | Rejection:
    """The sex of the table's row, or `sex` where there is none; or why the file is rejected."""
    if file in labels.problems:
        return Rejection("bad_label", labels.problems[file].message)
    if file in labels.rows:
        return labels.rows[file].sex.label
    if sex is None:
        return Rejection(
            "no_sex", "the label table has no row for this file, and --sex was not given"
        )
    return sex
