"""NumPy arrays <-> `TensorProto`, the tensors of gRPC."""

import math

import numpy as np

from bone_age_tf.tensorflow_c.protos import tensor_pb2, types_pb2
from bone_age_tf.tensorflow_c.tensors import NUMBERS, STRING

_FIELDS = {
    STRING: "string_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    **dict.fromkeys(
        (
            *(types_pb2.DT_INT8, types_pb2.DT_INT16, types_pb2.DT_INT32),
            *(types_pb2.DT_UINT8, types_pb2.DT_UINT16),
        ),
        "int_val",
    ),
}
"""Type -> the field of its values, where they are not in `tensor_content`."""
_TYPES = {dtype: type for type, dtype in NUMBERS.items()}


def array_of(proto: tensor_pb2.TensorProto) -> np.ndarray:
    """The tensor; of strings an array of bytes, dtype object.

    Raises `ValueError` where it holds another number of values than its shape says: TensorFlow would fill it up.
    `TypeError` for a type that no model takes.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.dtype not in _FIELDS:
        raise TypeError(f"its dtype is {proto.dtype}")
    if proto.tensor_content and proto.dtype != STRING:
        size = NUMBERS[proto.dtype].itemsize
        _require(math.prod(shape), len(proto.tensor_content) // size)
        return np.frombuffer(proto.tensor_content, NUMBERS[proto.dtype]).reshape(shape).copy()
    values = list(getattr(proto, _FIELDS[proto.dtype]))
    _require(math.prod(shape), len(values))
    if proto.dtype == types_pb2.DT_HALF:
        return np.array(values, np.uint16).view(np.float16).reshape(shape)
    array = np.empty(len(values), NUMBERS.get(proto.dtype, np.dtype(object)))
    array[:] = values
    return array.reshape(shape)


def proto_of(array: np.ndarray) -> tensor_pb2.TensorProto:
    """The tensor of an array of numbers, or of bytes (dtype object).

    As TensorFlow Serving sends it: each value in the field of its type, where clients without TensorFlow read it.
    `tf.make_tensor_proto` would put two numbers or more into `tensor_content`, as the bytes of their array.
    """
    proto = tensor_pb2.TensorProto(dtype=_TYPES.get(array.dtype, STRING))
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    if proto.dtype == types_pb2.DT_HALF:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, _FIELDS[proto.dtype]).extend(array.ravel().tolist())
    return proto


def _require(said: int, held: int) -> None:
    if said != held:
        raise ValueError(f"its shape has {said} values, but it holds {held}")
