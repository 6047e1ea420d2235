"""The warm-up file of an exported model: requests that TensorFlow Serving runs when it loads a version.

Without it the first client waits while TensorFlow prepares the graph. The server reads the file when it
loads a version, a TFRecord file of `PredictionLog`, and does not serve a version that fails on it. The
protos are those of the package `tensorflow-serving-api`, which nothing else needs: the extra `serve`.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.errors import UsageError
from bone_age_tf.export.signatures import IMAGE_BYTES, SERVING
from bone_age_tf.sex import SEX_NAMES

WARM_UP = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where TensorFlow Serving looks, in the folder of a version."""


def protos_version() -> str:
    """Version of TensorFlow Serving's protos, which is its own. Raises `UsageError` where they are not installed."""
    try:
        return importlib.metadata.version("tensorflow-serving-api")
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            "--serving-kit writes warm-up requests with TensorFlow Serving's own protos, which are not installed. "
            "Install them: pip install 'bone-age-tf[serve]'."
        ) from error


def write_warm_up(folder: Path, picture: bytes) -> Path:
    """Add to a SavedModel one request for each of F, M and unknown, with a PNG or JPEG file's bytes."""
    path = folder / WARM_UP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for sex in SEX_NAMES:
            writer.write(_request(picture, sex).SerializeToString())
    return path


def _request(picture: bytes, sex: str) -> Any:
    """A `PredictionLog` of `serving_default`, one radiograph."""
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = SERVING
    request.inputs[IMAGE_BYTES].CopyFrom(tf.make_tensor_proto([picture]))
    request.inputs[record.SEX].CopyFrom(tf.make_tensor_proto([sex]))
    return log
