"""NumPy arrays <-> tensors of the C API. Strings are arrays of dtype object, of bytes."""

import ctypes
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from bone_age_tf.tensorflow_c.library import tensorflow
from bone_age_tf.tensorflow_c.protos import types_pb2
from bone_age_tf.tensorflow_c.status import InvalidInputError, RunError

STRING = types_pb2.DT_STRING
NUMBERS: dict[int, np.dtype] = {
    types_pb2.DT_BOOL: np.dtype(np.bool_),
    types_pb2.DT_UINT8: np.dtype(np.uint8),
    types_pb2.DT_UINT16: np.dtype(np.uint16),
    types_pb2.DT_UINT32: np.dtype(np.uint32),
    types_pb2.DT_UINT64: np.dtype(np.uint64),
    types_pb2.DT_INT8: np.dtype(np.int8),
    types_pb2.DT_INT16: np.dtype(np.int16),
    types_pb2.DT_INT32: np.dtype(np.int32),
    types_pb2.DT_INT64: np.dtype(np.int64),
    types_pb2.DT_HALF: np.dtype(np.float16),
    types_pb2.DT_FLOAT: np.dtype(np.float32),
    types_pb2.DT_DOUBLE: np.dtype(np.float64),
}
"""TensorFlow's types of numbers, as NumPy's."""
_STRING_BYTES = 24
"""Size of a `TF_TString`."""


def dtype_of(type: int) -> np.dtype:
    """NumPy's dtype of one of TensorFlow's types, `object` for strings. Raises `RunError` for any other type."""
    if type == STRING:
        return np.dtype(object)
    if type not in NUMBERS:
        raise RunError(f"tensors of type {types_pb2.DataType.Name(type)} are not supported")  # type: ignore[arg-type]
    return NUMBERS[type]


def as_array(values: Any, type: int) -> np.ndarray:
    """Values as an array of that type: an array of it, lists of Python's numbers, or texts and bytes.

    Raises `InvalidInputError` for an array of another type, which is not converted.
    """
    if type == STRING:
        array = np.asarray(values, object)
        return _each(array, [_as_bytes(value) for value in array.ravel()])
    expected = dtype_of(type)
    array = np.asarray(values) if hasattr(values, "dtype") else np.asarray(values, expected)
    if array.dtype != expected:
        raise InvalidInputError(f"expected values of dtype {expected}, received {array.dtype}")
    return np.ascontiguousarray(array)


def new_tensor(array: np.ndarray, type: int) -> int:
    """A tensor of an array that `as_array` made; `TF_DeleteTensor` frees it.

    Numbers are copied. Strings are not: the array must live as long as the tensor.
    """
    library = tensorflow()
    size = array.size * _STRING_BYTES if type == STRING else array.nbytes
    shape = (ctypes.c_int64 * max(array.ndim, 1))(*array.shape)
    tensor = library.TF_AllocateTensor(type, shape, array.ndim, size)
    at = library.TF_TensorData(tensor)
    if type != STRING:
        ctypes.memmove(at, array.ctypes.data, size)
        return tensor
    for number, value in enumerate(array.ravel()):
        library.TF_StringInit(at + number * _STRING_BYTES)
        library.TF_StringAssignView(at + number * _STRING_BYTES, value, len(value))
    return tensor


def read_tensor(tensor: int) -> np.ndarray:
    """A copy of a tensor's values."""
    library = tensorflow()
    type = library.TF_TensorType(tensor)
    shape = [library.TF_Dim(tensor, n) for n in range(library.TF_NumDims(tensor))]
    at = library.TF_TensorData(tensor)
    if type == STRING:
        places = range(at or 0, (at or 0) + math.prod(shape) * _STRING_BYTES, _STRING_BYTES)
        return _each(np.empty(shape, object), [_read_string(place) for place in places])
    array = np.empty(shape, dtype_of(type))
    ctypes.memmove(array.ctypes.data, at, array.nbytes)
    return array


def delete_tensors(tensors: Iterable[int | None]) -> None:
    """Free them; None is a tensor that was not made."""
    for tensor in tensors:
        if tensor is not None:
            tensorflow().TF_DeleteTensor(tensor)


def _read_string(place: int) -> bytes:
    library = tensorflow()
    size = library.TF_StringGetSize(place)
    return ctypes.string_at(library.TF_StringGetDataPointer(place), size)


def _each(like: np.ndarray, values: list[bytes]) -> np.ndarray:
    """These values in the shape of an array, as objects."""
    made = np.empty(like.size, object)
    made[:] = values
    return made.reshape(like.shape)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise InvalidInputError(f"expected text or bytes, received {type(value).__name__}")
