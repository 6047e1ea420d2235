"""Export a run or an ensemble to `saved_models/NAME/VERSION`, in the layout of TensorFlow Serving."""

import base64
import dataclasses
import logging
from pathlib import Path
from typing import Any

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import READING_METHODS, RESEARCH_ONLY, WEIGHTS_DTYPES
from bone_age_tf.data.leakage import DIGITS, write_training_files
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.export.allowed_operations import require_harmless
from bone_age_tf.export.evidence import Evidence, gather_evidence
from bone_age_tf.export.exported_model import MODEL_SCHEMA
from bone_age_tf.export.golden import GOLDEN_HAND
from bone_age_tf.export.graph import write_saved_model
from bone_age_tf.export.model_card import CARD, card
from bone_age_tf.export.signatures import SERVING, STATUS
from bone_age_tf.export.versions import new_version
from bone_age_tf.export.warmup import protos_version, write_warm_up
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.hashing import describe_file
from bone_age_tf.files.versions import versions
from bone_age_tf.preprocessing.rejections import OK
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BOY_PROBABILITY
from bone_age_tf.sex import SEX_NAMES
from bone_age_tf.tensorflow_c.saved_model import SavedModel
from bone_age_tf.training.run import Run

log = logging.getLogger(__name__)


def export_saved_model(  # noqa: PLR0913 - one for each option
    *,
    run: str,
    output: str,
    version: int | None = None,
    evaluation: str | None = None,
    weights_dtype: str = "float32",
    sex_classifier: str | None = None,
    checkpoint: str | None = None,
    cross_validation: str | None = None,
    reading_method: str | None = None,
    warm_up: bool = False,
) -> Path:
    """Write `output/<version>/` and return it; version None: one above the highest existing version.

    `run` is a run or an ensemble, `evaluation` an `evaluation.json` of it, to be carried in the
    manifest; from the `predictions.csv` next to it, or from the held-out predictions of an ensemble,
    come the prediction intervals; from `cross_validation`, an ensemble of the folds of the same
    settings, they come for a run that was trained on everything, with its views and its correction; `checkpoint` the weights of a run, `best` (None) or `last`. `weights_dtype` `float16` stores the weights in half the size; what is computed with them
    stays float32. `sex_classifier` is a run that predicts the sex, for a warning. `reading_method`, of `config.READING_METHODS`, is how
    the bone ages of the training set were read; `warm_up` adds requests that
    TensorFlow Serving runs when it loads the model. Raises `ModelRefusedError` where the runs have another target or other
    preprocessing, or the graph would hold operations that `ExportedModel.open` refuses.
    """
    if weights_dtype not in WEIGHTS_DTYPES:
        raise UsageError(
            f"--weights-dtype: expected one of {', '.join(WEIGHTS_DTYPES)}. Received: {weights_dtype!r}."
        )
    require_reading_method(reading_method)
    if warm_up:
        protos_version()  # before the work
    evidence = gather_evidence(
        run,
        checkpoint=checkpoint,
        evaluation=evaluation,
        sex_classifier=sex_classifier,
        cross_validation=cross_validation,
    )
    with new_version(output, version) as (aside, target):
        _write(evidence, weights_dtype, aside)
        if warm_up:
            write_warm_up(aside, GOLDEN_HAND.read_bytes())
        manifest = _manifest(evidence, weights_dtype, golden(aside))
        manifest |= reading(reading_method)
        (aside / CARD).write_text(card(manifest), encoding="utf-8")
        write_json(aside / MANIFEST, manifest | {"files": files_of(aside)})
    return target


def require_reading_method(method: str | None) -> None:
    """Raises `UsageError` of one that is not known."""
    if method not in (None, *READING_METHODS):
        raise UsageError(
            f"--reading-method: expected one of {', '.join(READING_METHODS)}. Received: {method!r}."
        )


def reading(method: str | None) -> dict[str, str]:
    """What a manifest says of the method that bone ages were read by: nothing where it is not known."""
    return {} if method is None else {"reading_method": method}


def _write(evidence: Evidence, weights_dtype: str, folder: Path) -> None:
    """The SavedModel, what it was trained on, and a localizer other than the shipped one."""
    trained, classifier = evidence.trained, evidence.classifier
    write_saved_model(
        trained.load_model(),
        None if classifier is None else classifier.load_model(),
        evidence.preprocessor,
        folder,
        weights_dtype=weights_dtype,
        intervals=evidence.intervals,
        correction=evidence.correction,
        views=evidence.views,
        explained=isinstance(trained, Run),
    )
    try:
        require_harmless(folder)
    except ModelRefusedError as error:
        raise ModelRefusedError(
            f"Nothing was exported, since predict and serve would refuse it: {error} "
            "The operations of a backbone of your own belong in export/allowed_operations.py."
        ) from error
    evidence.preprocessor.save_beside(folder)  # for `prepare --for-model`
    if trained.training_files is not None:
        write_training_files(folder, trained.training_files, DIGITS)


def files_of(folder: Path) -> list[dict[str, Any]]:
    """Name, size and sha256 of every file of a SavedModel, for its manifest."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return [dataclasses.asdict(describe_file(folder, name)) for name in names if name != MANIFEST]


def _manifest(evidence: Evidence, weights_dtype: str, answers: dict[str, Any]) -> dict[str, Any]:
    """All of `manifest.json` except the files; `answers` are the outputs for the golden hand."""
    run, classifier, intervals = evidence.trained, evidence.classifier, evidence.intervals
    return {
        "schema": MODEL_SCHEMA,
        "weights_dtype": weights_dtype,
        "fingerprint": run.fingerprint,
        "preprocessing": configuration.to_dict(run.preprocessing.portable()),
        "weights_sha256": run.weights_sha256(),
        **({"checkpoint": run.checkpoint, "views": evidence.views} if isinstance(run, Run) else {}),
        "config": run.settings,
        "data": run.description["data"],
        "trained_with": run.description["versions"],
        "exported_with": versions(),
        "metrics": evidence.metrics,
        "intervals": None if intervals is None else intervals.describe(),
        "fitted_to": evidence.fitted_to,
        "golden": answers,
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


def golden(folder: Path) -> dict[str, Any]:
    """A synthetic radiograph and the exported model's outputs for it, to verify that a copy still works."""
    picture = GOLDEN_HAND.read_bytes()
    serve = SavedModel.load(folder, float32_variables=True).signatures[SERVING]
    answer = serve(image_bytes=[picture] * len(SEX_NAMES), sex=list(SEX_NAMES))
    statuses = [status.decode() for status in answer[STATUS]]
    if set(statuses) != {OK}:
        log.warning("The golden hand is rejected (%s): this localizer is a poor one.", statuses[0])
    numbers = [
        name
        for name in (record.BONE_AGE_MONTHS, BONE_AGE_LOW, BONE_AGE_HIGH, BOY_PROBABILITY)
        if name in answer
    ]
    return {
        "image_png_base64": base64.b64encode(picture).decode(),
        "sex": list(SEX_NAMES),
        **{name: answer[name].tolist() for name in numbers},
        "status": statuses,
    }
