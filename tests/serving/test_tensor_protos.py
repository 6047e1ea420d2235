from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.serving.tensor_protos import array_of, proto_of

ARRAYS = [
    *(np.array([[1, 0, 3]], dtype) for dtype in ("uint8", "int8", "uint16", "int16", "int32")),
    *(np.array([1, 2**31], dtype) for dtype in ("int64", "uint32", "uint64")),
    *(np.array([[0.1], [-3]], dtype) for dtype in ("float16", "float32", "float64")),
    np.array([True, False]),
    np.array([[b"a", b"\0\xff"]], object),
    np.float32(7),
    np.array([], np.float32),
    np.array([0.5], np.float16),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_tensors_are_read_and_written_as_by_tensorflow(array: np.ndarray) -> None:
    theirs = tf.make_tensor_proto(array.tolist() if array.dtype == object else array)
    for proto in (theirs, proto_of(np.asarray(array))):
        for received in (array_of(proto), tf.make_ndarray(proto)):
            assert received.dtype == array.dtype
            np.testing.assert_array_equal(received, array)


def test_values_in_their_own_field_are_read() -> None:
    proto = tf.make_tensor_proto([1.5], shape=[1])
    assert not proto.tensor_content
    assert array_of(proto).tolist() == [1.5]
    half = tf.make_tensor_proto(np.array([1.5], np.float16))
    assert array_of(half).tolist() == [1.5]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"float_val": [1.0]}, "its shape has 2 values, but it holds 1"),
        ({"tensor_content": bytes(12)}, "its shape has 2 values, but it holds 3"),
        ({"dtype": tf.complex64.as_datatype_enum}, "its dtype is 8"),
        ({"dtype": 0}, "its dtype is 0"),
    ],
)
def test_what_is_no_tensor_is_said(changes: dict[str, Any], error: str) -> None:
    proto = tf.make_tensor_proto([1.0, 2.0])
    del proto.float_val[:]
    proto.tensor_content = b""
    for name, value in changes.items():
        if name == "float_val":
            proto.float_val.extend(value)
        else:
            setattr(proto, name, value)
    with pytest.raises((TypeError, ValueError), match=error):
        array_of(proto)
