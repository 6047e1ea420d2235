"""Exports by the loader of TensorFlow Serving, which TensorFlow's C API has as well."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.golden import GOLDEN_HAND
from bone_age_tf.export.signatures import (
    EXPLAIN,
    IMAGE_BYTES,
    NETWORK,
    PREDICT_PREPARED,
    PREPARE,
    SERVING,
    SEX_CODE,
)
from bone_age_tf.record import IMAGE, SEX
from bone_age_tf.sex import SEX_NAMES
from bone_age_tf.tensorflow_c.saved_model import SavedModel

SHIPPED = ROOT / "saved_models/bone_age/1"


def inputs_of(model: ExportedModel) -> dict[str, dict[str, Any]]:
    """Signature -> inputs, three rows each."""
    files = np.array([GOLDEN_HAND.read_bytes()] * 3, object)
    sexes = np.array(SEX_NAMES, object)
    images = np.stack([model.prepare(GOLDEN_HAND.read_bytes())] * 3)
    return {
        SERVING: {IMAGE_BYTES: files, SEX: sexes},
        PREPARE: {IMAGE_BYTES: files},
        PREDICT_PREPARED: {IMAGE: images, SEX: sexes},
        EXPLAIN: {IMAGE: images, SEX: sexes},
        NETWORK: {IMAGE: images, SEX_CODE: np.arange(3, dtype=np.int32)},
    }


def require_same(received: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(received) == set(expected)
    for name, values in expected.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(received[name], values, atol=1e-3, rtol=1e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(received[name], values, err_msg=name)


@pytest.mark.large
def test_every_signature_tells_the_same_as_in_python(exported: Path) -> None:
    """The SavedModel as it is on the disk, by both of TensorFlow's loaders."""
    folder = exported / "1"
    by_session, in_python = SavedModel.load(folder), tf.saved_model.load(str(folder))
    inputs = inputs_of(ExportedModel.open(exported))
    assert set(by_session.signatures) == set(in_python.signatures) == set(inputs)
    for name, values in inputs.items():
        given = {key: tf.constant(array.tolist(), dtype_of(array)) for key, array in values.items()}
        expected = {
            key: value.numpy() for key, value in in_python.signatures[name](**given).items()
        }
        require_same(by_session.signatures[name](**values), expected)


def dtype_of(array: np.ndarray) -> tf.DType:
    return tf.string if array.dtype == object else tf.as_dtype(array.dtype)


@pytest.mark.release
def test_the_shipped_model_tells_the_same_with_float32_variables() -> None:
    model = ExportedModel.open(SHIPPED)
    as_stored = SavedModel.load(SHIPPED)
    for name, values in inputs_of(model).items():
        require_same(model.signatures[name](**values), as_stored.signatures[name](**values))
