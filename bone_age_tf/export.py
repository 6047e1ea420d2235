"""A run -> one SavedModel from the bytes of a file to months, for TensorFlow Serving.

| signature          | inputs                                            | outputs                              |
|--------------------|---------------------------------------------------|--------------------------------------|
| `serving_default`  | `image_bytes` string [N], `sex` string [N]        | `bone_age_months` float [N], `status`|
| `predict_prepared` | `image` uint8 [N, height, width, 1], `sex`        | `bone_age_months` float [N]          |
| `prepare`          | `image_bytes` string [N]                          | `image` uint8 [N, ...], `status`,    |
|                    |                                                   | `prepared_to_original` float [N, 2, 3]|

`image_bytes` are PNG or JPEG files, `sex` is `F`, `M` or `unknown`. `status` is `ok` or the reason
why a picture is refused (`preprocessing/reasons.py`), and its `bone_age_months` is then -1. A file
that is no usable PNG or JPEG fails the request with INVALID_ARGUMENT and a text
`refused (REASON): ...`. Stock TensorFlow operations only.
"""

import base64
import dataclasses
import json
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.exported_model import (
    MODEL_SCHEMA,
    PREDICT_PREPARED,
    PREPARE,
    PREPARED_TO_ORIGINAL,
    REFUSED_MONTHS,
    SERVING,
    STATUS,
)
from bone_age_tf.manifest import MANIFEST, describe_file, versions, write_json
from bone_age_tf.preprocessing import localizer, pipeline
from bone_age_tf.preprocessing.reasons import OK
from bone_age_tf.radiograph import require
from bone_age_tf.record import SEX_NAMES
from bone_age_tf.runs import Run

log = logging.getLogger(__name__)

IMAGE_BYTES = "image_bytes"
GOLDEN_HAND = Path(__file__).parent / "assets" / "golden_hand.png"
"""A phantom of ten years."""


def export_saved_model(
    *, run: str, output: str, version: int | None = None, evaluation: str | None = None
) -> Path:
    """Write `output/<version>/` and return it; version None: one above the highest there is.

    The folder is written aside and renamed, so that a server that watches `output` never sees half
    a model. `evaluation` is an `evaluation.json` of this run, to be carried in the manifest.
    """
    trained = Run.open(run)
    if pipeline.fingerprint(trained.preprocessing) != trained.fingerprint:
        raise ModelRefusedError(
            f"{run} was trained with preprocessing {trained.fingerprint[:12]}; this version makes "
            f"{pipeline.fingerprint(trained.preprocessing)[:12]}. Export it with the version of "
            f"bone-age-tf that trained it ({trained.description['versions']['bone_age_tf']})."
        )
    metrics = _metrics(trained, evaluation)
    base = Path(output)
    base.mkdir(parents=True, exist_ok=True)
    target = base / str(version or _next_version(base))
    if target.exists():
        raise UsageError(f"{target} exists already. Choose another --version.")
    model = trained.load_model()
    aside = base / f".writing-{target.name}"  # what a kill left there is replaced
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write_saved_model(model, trained.preprocessing, aside)
        write_json(aside / MANIFEST, _manifest(trained, metrics, aside))
        _to_disk(aside)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _write_saved_model(model: keras.Model, config: PreprocessingConfig, folder: Path) -> None:
    files = tf.TensorSpec([None], tf.string, name=IMAGE_BYTES)
    sexes = tf.TensorSpec([None], tf.string, name=record.SEX)
    images = tf.TensorSpec([None, *config.frame, 1], tf.uint8, name=record.IMAGE)

    outputs = pipeline.Prepared(
        tf.TensorSpec((*config.frame, 1), tf.uint8),
        tf.TensorSpec((), tf.string),
        tf.TensorSpec((2, 3), tf.float32),
    )

    def prepare(image_bytes: tf.Tensor) -> pipeline.Prepared:
        return tf.map_fn(
            lambda encoded: pipeline.prepare_radiograph(encoded, config),
            image_bytes,
            fn_output_signature=outputs,
        )

    def months(image: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = {record.IMAGE: image, record.SEX: sex_codes(sex)}
        return {record.BONE_AGE_MONTHS: model(inputs, training=False)}

    def serve(image_bytes: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        prepared = prepare(image_bytes)
        answer = months(prepared.image, sex)[record.BONE_AGE_MONTHS]
        flagged = tf.where(prepared.status == OK, answer, REFUSED_MONTHS)
        return {record.BONE_AGE_MONTHS: flagged, STATUS: prepared.status}

    def prepare_alone(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        prepared = prepare(image_bytes)
        return {
            record.IMAGE: prepared.image,
            STATUS: prepared.status,
            PREPARED_TO_ORIGINAL: prepared.prepared_to_original,
        }

    # Not keras.export.ExportArchive: it writes every variable twice, 178 MB instead of 90 for
    # InceptionV3 (Keras 3.15).
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
    if config.method == "registered":
        module.localizer_variables = localizer.load(config.localizer).variables
    signatures = {
        SERVING: tf.function(serve, [files, sexes], autograph=False),
        PREDICT_PREPARED: tf.function(months, [images, sexes], autograph=False),
        PREPARE: tf.function(prepare_alone, [files], autograph=False),
    }
    tf.saved_model.save(module, str(folder), signatures)


def sex_codes(sex: tf.Tensor) -> tf.Tensor:
    """string [N] of F, M, unknown -> int32 [N]; any other text fails the request."""
    matches = sex[:, tf.newaxis] == tf.constant(SEX_NAMES)
    known = require(
        tf.reduce_all(tf.reduce_any(matches, axis=1)), "bad_sex", "sex must be F, M or unknown"
    )
    with tf.control_dependencies([known]):
        return tf.argmax(matches, axis=1, output_type=tf.int32)


def _manifest(run: Run, metrics: dict[str, Any], folder: Path) -> dict[str, Any]:
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {
        "schema": MODEL_SCHEMA,
        "files": [dataclasses.asdict(describe_file(folder, name)) for name in names],
        "fingerprint": run.fingerprint,
        "preprocessing": configuration.to_dict(run.preprocessing.portable()),
        "weights_sha256": run.weights_sha256(),
        "config": configuration.to_dict(run.config),
        "data": run.description["data"],
        "trained_with": run.description["versions"],
        "exported_with": versions(),
        "metrics": metrics,
        "golden": _golden(folder),
        "terms": "For research and education. Not a medical device.",
    }


def _metrics(run: Run, evaluation: str | None) -> dict[str, Any]:
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
            f"{evaluation} judges other weights than the best ones of {run.folder}. "
            "Evaluate this run, and give its evaluation.json."
        )
    return metrics | {"evaluation": {key: judged[key] for key in ("data", "interval", "overall")}}


def _golden(folder: Path) -> dict[str, Any]:
    """A drawn hand and what the exported model says about it, to tell that a copy still works."""
    picture = GOLDEN_HAND.read_bytes()
    serve = tf.saved_model.load(str(folder)).signatures[SERVING]
    answer = serve(image_bytes=tf.constant([picture] * len(SEX_NAMES)), sex=tf.constant(SEX_NAMES))
    statuses = [status.decode() for status in answer[STATUS].numpy()]
    if set(statuses) != {OK}:
        log.warning("The golden hand is refused (%s): this localizer is a poor one.", statuses[0])
    return {
        "image_png_base64": base64.b64encode(picture).decode(),
        "sex": list(SEX_NAMES),
        "bone_age_months": [float(months) for months in answer[record.BONE_AGE_MONTHS].numpy()],
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
