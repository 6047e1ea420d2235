"""A model evaluated on a labelled split or fold: `evaluation.json`, `predictions.csv`, `provenance.json`."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bone_age_tf import record
from bone_age_tf.config.choices import FOLD_SPLIT, VALIDATION_SPLIT
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.leakage import TRAINED_ON_SPLIT, TrainingData, find_leakage
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.data.splits import select
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.ensembling.ensemble import is_trained, open_trained
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.outputs import claim_output, require_free
from bone_age_tf.files.provenance import model_name, write_provenance
from bone_age_tf.metrics.baseline import constant_baseline
from bone_age_tf.metrics.bootstrap import CONFIDENCE_INTERVAL
from bone_age_tf.metrics.error_tables import best, sex_tables, tables, worst
from bone_age_tf.metrics.predictions import PREDICTIONS, LabelledPredictions, write_predictions
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW
from bone_age_tf.sex import SEX_NAMES, Sex
from bone_age_tf.training.run import Run

log = logging.getLogger(__name__)

EVALUATION_SCHEMA = "bone-age-tf/evaluation/4"
BATCH_SIZE = 16
COMMAND = "evaluate"

PICTURES = "pictures"
RESULTS = ("evaluation.json", PREDICTIONS, PICTURES, "report.html")
"""What an evaluation leaves in its folder, with the report that the documentation puts there."""

Predict = Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray]]
"""Prepared radiographs uint8 [N, height, width, 1] and sex int32 [N] -> months (or, of a sex
classifier, the probability of a boy) [N]; for a model with prediction intervals also their ends, [N] each."""


def evaluate(
    *,
    model: str,
    data: str,
    output: str,
    split: str = "test",
    checkpoint: str | None = None,
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a run folder or an exported model on a labelled split; returns `evaluation.json`.

    `checkpoint` names the weights of a run: `best` (None) or `last`. `overwrite` replaces an earlier evaluation.
    A sex classifier is evaluated on the radiographs of known sex.
    The split `fold` is the fold that was held out from a run and validated it.
    Raises `ModelRefusedError` where the model was made for another preprocessing or trained on
    other folds, `InputDataError` where the data set is not whole or the split has no labels,
    `UsageError` where a fold is asked for and there is none, or `output` holds results.
    """
    require_free(Path(output), COMMAND, RESULTS, overwrite=overwrite)
    radiographs = PreparedRadiographs.open(data)
    if split == FOLD_SPLIT and FOLD_SPLIT not in radiographs.manifest.splits:
        records = _fold_of(model, radiographs)
    else:
        radiographs.require_labels(split)
        records = radiographs.records(split)
    predict, target, identity, training = _load(model, checkpoint, radiographs)
    leakage = _warn_of_leakage(model, training, radiographs, records, split)
    if target == "sex":
        records = _of_known_sex(records, split)
    notify = on_progress or (lambda stage, done, total: None)
    predictions = _predict(predict, target, radiographs, records, notify)
    result = {
        "schema": EVALUATION_SCHEMA,
        "model": identity,
        "target": target,
        "data": {"plan": radiographs.manifest.plan, "split": split},
        "fingerprint": radiographs.manifest.fingerprint,
        TRAINED_ON_SPLIT: leakage is not None,
        "leakage": leakage,
        "left_out": _left_out_by_prepare(radiographs),
        "confidence_interval": CONFIDENCE_INTERVAL,
        **_errors(predictions, target, training.mean_months),
    }
    folder = claim_output(output, COMMAND, RESULTS, overwrite=overwrite)
    write_predictions(folder, predictions)
    if target != "sex":
        _draw(folder / PICTURES, predictions, radiographs, records, result)
    write_json(folder / "evaluation.json", result)
    settings = {"model": model_name(model), "data": Path(data).name, "split": split}
    write_provenance(folder, COMMAND, **settings)
    return result


def _errors(
    predictions: LabelledPredictions, target: str, training_mean_months: float | None
) -> dict[str, Any]:
    """The metrics of a target, and for the bone age those of a constant."""
    if target == "sex":
        return sex_tables(predictions)
    true = predictions.true_months
    constant = constant_baseline(predictions.predicted, true, training_mean_months)
    return {**tables(predictions), "constant": constant}


def _left_out_by_prepare(radiographs: PreparedRadiographs) -> dict[str, Any]:
    """Number of radiographs of the whole data set that are in none of its splits, and why."""
    reasons = Counter(str(problem["code"]) for problem in radiographs.manifest.rejects)
    return {"by_prepare": reasons.total(), "reasons": dict(reasons.most_common())}


def _fold_of(model: str, radiographs: PreparedRadiographs) -> Records:
    """The fold of these radiographs that was held out from a run.

    Raises `UsageError` where the run has no fold, `ModelRefusedError` where it is not a run or was
    trained on another data set, whose folds differ.
    """
    run = Run.open(model)
    if run.config.data.fold is None:
        raise UsageError(
            f"--split {FOLD_SPLIT}: {model} was trained without a fold. Expected a run of `train --set "
            f"data.fold=I/K`; use --split {VALIDATION_SPLIT} for the radiographs that this run was validated on."
        )
    if run.description["data"]["plan"] != radiographs.manifest.plan:
        raise ModelRefusedError(
            f"--split {FOLD_SPLIT}: {model} was trained on another data set than {radiographs.folder}, so "
            "its folds differ, and it may have been trained on these radiographs. Give the data set that "
            "it was trained on."
        )
    validation = select(radiographs, run.config.data).validation
    assert validation is not None
    return validation


def _warn_of_leakage(
    model: str,
    training: TrainingData,
    radiographs: PreparedRadiographs,
    records: Records,
    split: str,
) -> str | None:
    """A sentence on data leakage, which is also logged; None: none was found."""
    leakage = find_leakage(model, training, radiographs, records, split)
    if leakage is not None:
        advice = f" Use --split {FOLD_SPLIT} for the fold that was held out from a run."
        log.warning(leakage + (advice if training.fold else ""))
    return leakage


def _of_known_sex(records: Records, split: str) -> Records:
    known = records.chosen(records.sex != Sex.UNKNOWN)
    if not len(known):
        raise InputDataError(
            f"The split {split!r} has {len(records)} radiographs, none of known sex. Expected some: a sex "
            "classifier is evaluated on these."
        )
    return known


def _load(
    model: str, checkpoint: str | None, radiographs: PreparedRadiographs
) -> tuple[Predict, str, dict[str, str], TrainingData]:
    """The model as a function, its target, what identifies it, and what it was trained on."""
    if is_trained(model):
        run = open_trained(model, checkpoint)
        radiographs.require_prepared_for(model, run.fingerprint, run.description["preprocessing"])
        network = run.load_model()

        def predict_by_run(images: np.ndarray, sex: np.ndarray) -> Sequence[np.ndarray]:
            inputs = {record.IMAGE: images, record.SEX: sex}
            return [network.predict_on_batch(inputs)]

        kind = "run" if isinstance(run, Run) else "ensemble"
        identity = {"kind": kind, "weights_sha256": run.weights_sha256()}
        if isinstance(run, Run):
            identity["checkpoint"] = run.checkpoint
        training = TrainingData.of(run.description["data"], run.training_files)
        return predict_by_run, run.target, identity, training
    if checkpoint is not None:
        raise UsageError(
            f"--checkpoint {checkpoint}: {model} is an exported model, which holds one set of weights. Leave --checkpoint out."
        )
    exported = ExportedModel.open(model)
    radiographs.require_prepared_for(
        model, exported.fingerprint, exported.manifest["preprocessing"]
    )

    names = [record.BONE_AGE_MONTHS]
    if exported.coverage is not None:
        names += [BONE_AGE_LOW, BONE_AGE_HIGH]

    def predict_by_export(images: np.ndarray, sex: np.ndarray) -> Sequence[np.ndarray]:
        answers = exported.answers_of_prepared(images, [SEX_NAMES[code] for code in sex])
        return [answers[name] for name in names]

    identity = {
        "kind": "export",
        "weights_sha256": exported.manifest["weights_sha256"],
        "manifest_sha256": sha256_of(exported.folder / MANIFEST),
    }
    return predict_by_export, "bone_age", identity, exported.training_data


def _predict(
    predict: Predict,
    target: str,
    radiographs: PreparedRadiographs,
    records: Records,
    notify: Callable[[str, int, int], None],
) -> LabelledPredictions:
    ids: list[str] = []
    columns: list[tuple[np.ndarray, ...]] = []
    total = len(records)
    notify("evaluate", 0, total)
    for batch in radiographs.examples_of(records).batch(BATCH_SIZE).as_numpy_iterator():
        answers = predict(batch[record.IMAGE], batch[record.SEX])
        columns.append((batch[record.SEX], batch[record.BONE_AGE_MONTHS], *answers))
        ids += [identifier.decode() for identifier in batch[record.ID]]
        notify("evaluate", len(ids), total)
    return LabelledPredictions.of(
        ids, *(np.concatenate(column) for column in zip(*columns, strict=True)), target=target
    )


def _draw(
    folder: Path,
    predictions: LabelledPredictions,
    radiographs: PreparedRadiographs,
    records: Records,
    result: dict[str, Any],
) -> None:
    """Write the prepared radiographs of the worst and the best, and name them in the result."""
    folder.mkdir(exist_ok=True)
    for old in [*folder.glob("worst-[0-9][0-9].png"), *folder.glob("best-[0-9][0-9].png")]:
        old.unlink()
    is_shown = np.isin(np.arange(len(records)), [*worst(predictions), *best(predictions)])
    pictures = {
        example[record.ID].decode(): example[record.IMAGE]
        for example in radiographs.examples_of(records.chosen(is_shown)).as_numpy_iterator()
    }
    for kind in ("worst", "best"):
        for number, entry in enumerate(result[kind], start=1):
            name = f"{kind}-{number:02d}.png"
            cv2.imwrite(str(folder / name), pictures[entry["id"]])
            entry["picture"] = f"{PICTURES}/{name}"
