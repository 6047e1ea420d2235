"""The verb: a run or an ensemble -> `saved_models/NAME/VERSION`, as TensorFlow Serving reads it."""

import base64
import contextlib
import dataclasses
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import RESEARCH_ONLY, WEIGHTS_DTYPES
from bone_age_tf.data.leakage import DIGITS, TRAINED_ON_SPLIT, write_training_files
from bone_age_tf.data.manifest import MANIFEST, describe_file, versions, write_json
from bone_age_tf.data.splits import FOLD_SPLIT, VALIDATION_SPLIT
from bone_age_tf.ensembling.build import families_of
from bone_age_tf.ensembling.ensemble import Ensemble, open_trained
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.export.exported_model import MODEL_SCHEMA, SERVING, STATUS
from bone_age_tf.export.graph import write_saved_model
from bone_age_tf.export.model_card import CARD, card
from bone_age_tf.export.warmup import protos_version, write_warm_up
from bone_age_tf.metrics.predictions import PREDICTIONS, read_predictions
from bone_age_tf.models.test_time_augmentation import VIEWS
from bone_age_tf.postprocessing.bias_correction import NO_CORRECTION
from bone_age_tf.postprocessing.conformal import (
    DEFAULT_COVERAGE,
    Intervals,
    fit_intervals,
    min_radiographs_for,
)
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.rejections import OK
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BOY_PROBABILITY, SEX_NAMES
from bone_age_tf.training.run import Run

log = logging.getLogger(__name__)

GOLDEN_HAND = Path(__file__).parents[1] / "assets" / "golden_hand.png"
"""A phantom of ten years."""


def export_saved_model(  # noqa: PLR0913 - one for each option
    *,
    run: str,
    output: str,
    version: int | None = None,
    evaluation: str | None = None,
    variables: str = "float32",
    sex_classifier: str | None = None,
    checkpoint: str | None = None,
    held_out: str | None = None,
    warm_up: bool = False,
) -> Path:
    """Write `output/<version>/` and return it; version None: one above the highest there is.

    `run` is a run or an ensemble, `evaluation` an `evaluation.json` of it, to be carried in the
    manifest; from the `predictions.csv` beside it, or from what the members of an ensemble held out,
    come the intervals around the answers; from `held_out`, an ensemble of the folds of the same
    settings, they come for a run that was trained on everything, with its views and its correction; `checkpoint` the weights of a run, `best` (None) or `last`. `variables` `float16` stores the weights in half the size; what is computed with them
    stays float32. `sex_classifier` is a run that tells the sex, for a warning. `warm_up` adds requests that
    TensorFlow Serving answers before anyone else's. Raises `ModelRefusedError` where the runs tell something else or were prepared for otherwise.
    """
    if variables not in WEIGHTS_DTYPES:
        raise UsageError(
            f"--variables: expected one of {', '.join(WEIGHTS_DTYPES)}. Received: {variables!r}."
        )
    if warm_up:
        protos_version()  # before the work
    trained = open_trained(run, checkpoint)
    _require_target(trained, "bone_age")
    _require_preprocessing(trained)
    _require_both_sexes(trained)
    classifier = None if sex_classifier is None else _open_classifier(sex_classifier, trained)
    if held_out is not None and evaluation is not None:
        raise UsageError(
            "--evaluation judges the network alone, without what --held-out adds. Give one of them."
        )
    folds = None if held_out is None else _open_folds(held_out, trained)
    metrics = _metrics(trained, evaluation)
    if folds is not None:
        metrics["cross_validation"] = _cross_validation(folds)
    intervals = _intervals(folds or trained, evaluation)
    views = VIEWS["none" if folds is None else folds.tta]
    with new_version(output, version) as (aside, target):
        write_saved_model(
            trained.load_model(),
            None if classifier is None else classifier.load_model(),
            trained.preprocessing,
            aside,
            variables=variables,
            intervals=intervals,
            correction=NO_CORRECTION if folds is None else folds.correction,
            views=views,
            explained=isinstance(trained, Run),
        )
        manifest = _manifest(trained, classifier, metrics, variables, aside)
        if isinstance(trained, Run):
            manifest["views"] = views
        manifest["intervals"] = None if intervals is None else intervals.describe()
        fitted_to = [] if intervals is None else _fitted_to(folds or trained, evaluation)
        manifest["fitted_to"] = fitted_to
        (aside / CARD).write_text(card(manifest), encoding="utf-8")
        if trained.training_files is not None:
            write_training_files(aside, trained.training_files, DIGITS)
        if warm_up:
            write_warm_up(aside, GOLDEN_HAND.read_bytes())
        manifest["files"] = files_of(aside)
        write_json(aside / MANIFEST, manifest)
    return target


@contextlib.contextmanager
def new_version(output: str | Path, version: int | None) -> Iterator[tuple[Path, Path]]:
    """A folder to write in, which becomes the other one, `output/<version>`, when the block ends well.

    A server that watches `output` never sees half a model. Raises `UsageError` where the version is
    there already; None: one above the highest there is.
    """
    base = Path(output)
    base.mkdir(parents=True, exist_ok=True)
    target = base / str(version or _next_version(base))
    if target.exists():
        raise UsageError(f"{target} exists already. Choose another --version.")
    aside = base / f".writing-{target.name}"  # what a kill left there is replaced
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield aside, target
        _to_disk(aside)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _require_target(trained: Run | Ensemble, target: str) -> None:
    if trained.target != target:
        advice = (
            "Give it as --sex-classifier to the export of a model of the bone age."
            if trained.target == "sex"
            else "Train one: bone-age-tf train --recipe sex_classifier."
        )
        raise ModelRefusedError(
            f"{trained.folder}: expected a model of the target {target}. "
            f"Received one of the target {trained.target}. {advice}"
        )


def _require_preprocessing(trained: Run | Ensemble) -> None:
    made = pipeline.fingerprint(trained.preprocessing)
    if made != trained.fingerprint:
        raise ModelRefusedError(
            f"{trained.folder} was trained with preprocessing {trained.fingerprint[:12]}; this version "
            f"makes {made[:12]}. Export it with the version of bone-age-tf that trained it "
            f"({trained.description['versions']['bone_age_tf']})."
        )


def _require_both_sexes(trained: Run | Ensemble) -> None:
    """Refuse a run of one sex, which would answer for the other all the same."""
    if isinstance(trained, Run) and trained.config.data.sex != "both":
        sex = trained.config.data.sex
        raise ModelRefusedError(
            f"{trained.folder} was trained with data.sex={sex}: it knows no other sex. Put it together with a run "
            "of the other one: bone-age-tf ensemble RUN RUN."
        )


def _open_classifier(folder: str, trained: Run | Ensemble) -> Run:
    classifier = Run.open(folder)
    _require_target(classifier, "sex")
    if classifier.fingerprint != trained.fingerprint:
        raise ModelRefusedError(
            f"{folder} was trained with preprocessing {classifier.fingerprint[:12]}, "
            f"{trained.folder} with {trained.fingerprint[:12]}. Train both on the same data set."
        )
    return classifier


def _open_folds(folder: str, trained: Run | Ensemble) -> Ensemble:
    """The ensemble whose members tell what `trained` is worth: its settings, on folds of its data."""
    folds = Ensemble.open(folder)
    if not isinstance(trained, Run):
        raise UsageError(
            f"--held-out {folder}: {trained.folder} is an ensemble, which has its own held-out predictions. "
            "Leave --held-out out."
        )
    if trained.config.data.fold is not None:
        raise ModelRefusedError(
            f"--held-out {folder}: {trained.folder} is a fold itself. Expected a run trained without data.fold."
        )
    _, families = families_of([trained.config, *(member.config for member in folds.members)])
    if set(families) != {0} or not all(member.config.data.fold for member in folds.members):
        raise ModelRefusedError(
            f"--held-out {folder}: expected runs of `train --set data.fold=I/K` with the settings of {trained.folder}. "
            "Received runs with other settings, or without folds."
        )
    numbers = [member.config.data.fold for member in folds.members]
    if len(set(numbers)) < len(numbers) or any(
        m.checkpoint != trained.checkpoint for m in folds.members
    ):
        raise ModelRefusedError(
            f"--held-out {folder}: expected each fold once, all with the weights of the epoch that is exported "
            f"({trained.checkpoint}). Received the folds {', '.join(map(str, numbers))} with the epoch {folds.members[0].checkpoint}: "
            "two networks on a radiograph answer better than the one that is exported. Say --checkpoint."
        )
    if folds.description["data"]["plan"] != trained.description["data"]["plan"]:
        raise ModelRefusedError(
            f"--held-out {folder}: its members were trained on another data set than {trained.folder}."
        )
    return folds


def _cross_validation(folds: Ensemble) -> dict[str, Any]:
    """What the held-out predictions of the folds say of a network of these settings."""
    description = folds.description
    names = ("members", "tta", "correction", "held_out", "result")
    return {"ensemble_sha256": folds.weights_sha256(), **{n: description[n] for n in names}}


def files_of(folder: Path) -> list[dict[str, Any]]:
    """Name, size and sha256 of every file of a SavedModel, for its manifest."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [dataclasses.asdict(describe_file(folder, name)) for name in names if name != MANIFEST]


def _manifest(
    run: Run | Ensemble,
    classifier: Run | None,
    metrics: dict[str, Any],
    variables: str,
    folder: Path,
) -> dict[str, Any]:
    return {
        "schema": MODEL_SCHEMA,
        "files": files_of(folder),
        "variables": variables,
        "fingerprint": run.fingerprint,
        "preprocessing": configuration.to_dict(run.preprocessing.portable()),
        "weights_sha256": run.weights_sha256(),
        **({"checkpoint": run.checkpoint} if isinstance(run, Run) else {}),
        "config": run.settings,
        "data": run.description["data"],
        "trained_with": run.description["versions"],
        "exported_with": versions(),
        "metrics": metrics,
        "golden": golden(folder),
        **({} if classifier is None else {"sex_classifier": _describe_classifier(classifier)}),
        "terms": RESEARCH_ONLY,
    }


def _describe_classifier(classifier: Run) -> dict[str, Any]:
    return {
        "weights_sha256": classifier.weights_sha256(),
        "config": classifier.settings,
        "data": classifier.description["data"],
        "training": classifier.description.get("result"),
    }


def _metrics(run: Run | Ensemble, evaluation: str | None) -> dict[str, Any]:
    """The run's own validation, and the evaluation where one is given and is of this model."""
    metrics = {"training": run.description.get("result")}
    if evaluation is None:
        return metrics
    try:
        judged = json.loads(Path(evaluation).read_text(encoding="utf-8"))
        weights = judged["model"]["weights_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputDataError(
            f"{evaluation}: expected an evaluation.json of `bone-age-tf evaluate` "
            f"({type(error).__name__}: {error})."
        ) from error
    if weights != run.weights_sha256():
        raise ModelRefusedError(
            f"{evaluation} judges other weights than those of {run.folder} that are exported. "
            "Evaluate this run with the same --checkpoint, and give its evaluation.json."
        )
    return metrics | {
        "evaluation": {key: judged[key] for key in ("data", "confidence_interval", "overall")}
    }


def _intervals(trained: Run | Ensemble, evaluation: str | None) -> Intervals | None:
    """From predictions for radiographs that the model did not learn from; None where there are too few."""
    if isinstance(trained, Ensemble):
        held_out = read_predictions(trained.folder)
    elif evaluation is None or not (Path(evaluation).parent / PREDICTIONS).is_file():
        return _without_intervals("there is no evaluation with its predictions.csv")
    else:
        judged = json.loads(Path(evaluation).read_text(encoding="utf-8"))
        split = judged["data"]["split"]
        if judged[TRAINED_ON_SPLIT]:
            return _without_intervals(f"the model was trained on the split {split!r}")
        if trained.checkpoint == "best" and split in (VALIDATION_SPLIT, FOLD_SPLIT):
            return _without_intervals(
                f"the best epoch was chosen on the split {split!r} (say --checkpoint last to evaluate and export)"
            )
        held_out = read_predictions(Path(evaluation).parent)
    if len(held_out) < min_radiographs_for(DEFAULT_COVERAGE):
        return _without_intervals(f"{len(held_out)} radiographs are too few")
    return fit_intervals(held_out.sex, held_out.predicted, held_out.true_months)


def _fitted_to(trained: Run | Ensemble, evaluation: str | None) -> list[dict[str, str]]:
    """The split that the intervals come from."""
    if isinstance(trained, Ensemble) or evaluation is None:
        return []
    data = json.loads(Path(evaluation).read_text(encoding="utf-8"))["data"]
    return [{name: data[name] for name in ("plan", "split")}]


def _without_intervals(why: str) -> None:
    log.info(f"Without intervals: {why}. `bone-age-tf calibrate` adds them.")


def golden(folder: Path) -> dict[str, Any]:
    """A drawn hand and what the exported model says about it, to tell that a copy still works."""
    picture = GOLDEN_HAND.read_bytes()
    serve = tf.saved_model.load(str(folder)).signatures[SERVING]
    answer = serve(image_bytes=tf.constant([picture] * len(SEX_NAMES)), sex=tf.constant(SEX_NAMES))
    statuses = [status.decode() for status in answer[STATUS].numpy()]
    if set(statuses) != {OK}:
        log.warning("The golden hand is refused (%s): this localizer is a poor one.", statuses[0])
    numbers = [
        name
        for name in (record.BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH, BOY_PROBABILITY)
        if name in answer
    ]
    return {
        "image_png_base64": base64.b64encode(picture).decode(),
        "sex": list(SEX_NAMES),
        **{name: answer[name].numpy().tolist() for name in numbers},
        "status": statuses,
    }


def _next_version(base: Path) -> int:
    versions_there = [int(path.name) for path in base.iterdir() if path.name.isdigit()]
    return max(versions_there, default=0) + 1


def _to_disk(folder: Path) -> None:
    """Make sure that all of a folder has reached the disk."""
    for path in [folder, *folder.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
