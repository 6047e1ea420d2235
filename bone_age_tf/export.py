"""A run -> one SavedModel from the bytes of a file to months, for TensorFlow Serving.

| signature          | inputs                                                     | outputs                    |
|--------------------|------------------------------------------------------------|----------------------------|
| `serving_default`  | `image_bytes` string [N] (PNG, JPEG), `sex` string [N]     | `bone_age_months` float [N]|
| `predict_prepared` | `image` uint8 [N, height, width, 1], `sex` string [N]      | `bone_age_months` float [N]|
| `prepare`          | `image_bytes` string [N]                                   | `image` uint8 [N, ...]     |

`sex` is `F`, `M` or `unknown`. A file that cannot be used fails the request with INVALID_ARGUMENT
and a text `refused (REASON): ...`. Stock TensorFlow operations only.
"""

import base64
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf import record
from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import InputDataError, ModelRefusedError, UsageError
from bone_age_tf.exported_model import MODEL_SCHEMA, PREDICT_PREPARED, PREPARE, SERVING
from bone_age_tf.manifest import MANIFEST, describe_file, versions, write_json
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.radiograph import require
from bone_age_tf.record import SEX_NAMES
from bone_age_tf.runs import Run

IMAGE_BYTES = "image_bytes"


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

    def prepare(image_bytes: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda encoded: pipeline.prepare_radiograph(encoded, config),
            image_bytes,
            fn_output_signature=tf.TensorSpec((*config.frame, 1), tf.uint8),
        )

    def months(image: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = {record.IMAGE: image, record.SEX: sex_codes(sex)}
        return {record.BONE_AGE_MONTHS: model(inputs, training=False)}

    def serve(image_bytes: tf.Tensor, sex: tf.Tensor) -> dict[str, tf.Tensor]:
        return months(prepare(image_bytes), sex)

    def prepare_alone(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        return {record.IMAGE: prepare(image_bytes)}

    # Not keras.export.ExportArchive: it writes every variable twice, 178 MB instead of 90 for
    # InceptionV3 (Keras 3.15).
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
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
        "preprocessing": configuration.to_dict(run.preprocessing),
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
    """A drawn picture and what the exported model says about it, to tell that a copy still works."""
    picture = tf.io.encode_png(golden_picture()).numpy()
    serve = tf.saved_model.load(str(folder)).signatures[SERVING]
    answer = serve(image_bytes=tf.constant([picture] * len(SEX_NAMES)), sex=tf.constant(SEX_NAMES))
    return {
        "image_png_base64": base64.b64encode(picture).decode(),
        "sex": list(SEX_NAMES),
        "bone_age_months": [float(months) for months in answer[record.BONE_AGE_MONTHS].numpy()],
    }


def golden_picture() -> np.ndarray:
    """uint8 [260, 200, 1]: five bright bars above a bright disc, on dark."""
    rows, columns = np.mgrid[0:260, 0:200]
    picture = np.full((260, 200), 20.0)
    picture[np.hypot(rows - 190, columns - 100) < 45] = 150
    for finger, centre in enumerate((40, 70, 100, 130, 165)):
        inside = (np.abs(columns - centre) < 9) & (rows > 40 + 12 * abs(finger - 2)) & (rows < 190)
        picture[inside] = 180 + 50 * np.cos((columns[inside] - centre) / 6)
    return picture.clip(0, 255).astype(np.uint8)[..., np.newaxis]


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
