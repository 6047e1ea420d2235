"""TensorFlow's C API (`tensorflow/c/c_api.h`), by ctypes, from the shared libraries in its wheel.

Only what a SavedModel needs. Python's TensorFlow, where it is imported as well, uses the same libraries, so that they are
in memory once.
"""

import ctypes
import functools
import os
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

from bone_age_tf.errors import EnvironmentFaultError
from bone_age_tf.tensorflow_c.protos import folder

LIBRARIES = ("libtensorflow_framework.so.2", "libtensorflow_cc.so.2")
INVALID_ARGUMENT = 3
"""Code of a status: the inputs are at fault."""


class Buffer(ctypes.Structure):
    """`TF_Buffer`: bytes."""

    _fields_ = (("data", c_void_p), ("length", c_size_t), ("release", c_void_p))


class Endpoint(ctypes.Structure):
    """`TF_Output`: one of the outputs of an operation."""

    _fields_ = (("operation", c_void_p), ("index", c_int))


_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "TF_NewStatus": (c_void_p, ()),
    "TF_GetCode": (c_int, (c_void_p,)),
    "TF_Message": (c_char_p, (c_void_p,)),
    "TF_DeleteStatus": (None, (c_void_p,)),
    "TF_AllocateTensor": (c_void_p, (c_int, POINTER(c_int64), c_int, c_size_t)),
    "TF_DeleteTensor": (None, (c_void_p,)),
    "TF_TensorType": (c_int, (c_void_p,)),
    "TF_NumDims": (c_int, (c_void_p,)),
    "TF_Dim": (c_int64, (c_void_p, c_int)),
    "TF_TensorData": (c_void_p, (c_void_p,)),
    "TF_TensorByteSize": (c_size_t, (c_void_p,)),
    "TF_StringInit": (None, (c_void_p,)),
    "TF_StringAssignView": (None, (c_void_p, c_char_p, c_size_t)),
    "TF_StringGetDataPointer": (c_void_p, (c_void_p,)),
    "TF_StringGetSize": (c_size_t, (c_void_p,)),
    "TF_NewGraph": (c_void_p, ()),
    "TF_DeleteGraph": (None, (c_void_p,)),
    "TF_GraphOperationByName": (c_void_p, (c_void_p, c_char_p)),
    "TF_NewBuffer": (POINTER(Buffer), ()),
    "TF_DeleteBuffer": (None, (POINTER(Buffer),)),
    "TF_NewSessionOptions": (c_void_p, ()),
    "TF_SetConfig": (None, (c_void_p, c_char_p, c_size_t, c_void_p)),
    "TF_DeleteSessionOptions": (None, (c_void_p,)),
    "TF_LoadSessionFromSavedModel": (
        c_void_p,
        (
            *(c_void_p, POINTER(Buffer), c_char_p, POINTER(c_char_p), c_int),
            *(c_void_p, POINTER(Buffer), c_void_p),
        ),
    ),
    "TF_SessionRun": (
        None,
        (
            *(c_void_p, POINTER(Buffer), POINTER(Endpoint), POINTER(c_void_p), c_int),
            *(POINTER(Endpoint), POINTER(c_void_p), c_int, c_void_p, c_int),
            *(POINTER(Buffer), c_void_p),
        ),
    ),
    "TF_CloseSession": (None, (c_void_p, c_void_p)),
    "TF_DeleteSession": (None, (c_void_p, c_void_p)),
    "TF_NewCheckpointReader": (c_void_p, (c_char_p, c_void_p)),
    "TF_DeleteCheckpointReader": (None, (c_void_p,)),
    "TF_CheckpointReaderGetTensor": (c_void_p, (c_void_p, c_char_p, c_void_p)),
}
"""Name -> type of the result, types of the arguments."""


class Library:
    """The functions of the C API, as attributes."""

    def __init__(self) -> None:
        where = folder()
        try:
            loaded = [ctypes.CDLL(str(where / name)) for name in LIBRARIES]
            for name, (result, arguments) in _FUNCTIONS.items():
                function = _found(loaded, name)
                function.restype, function.argtypes = result, arguments
                setattr(self, name, function)
        except (OSError, AttributeError) as error:
            raise EnvironmentFaultError(
                f"TensorFlow's C API cannot be used: {error}. Expected {' and '.join(LIBRARIES)} of TensorFlow 2.20 or "
                f"later in {where}. Install TensorFlow again."
            ) from error

    def __getattr__(self, name: str) -> Any:  # for type checkers: what is not there
        raise AttributeError(name)


def _found(loaded: list[ctypes.CDLL], name: str) -> Any:
    """The function. Raises `AttributeError` where no library has it."""
    for library in loaded[:-1]:
        if hasattr(library, name):
            return getattr(library, name)
    return getattr(loaded[-1], name)


@functools.cache
def tensorflow() -> Library:
    """The library, loaded at its first use, with the log at its quietest unless the environment says otherwise."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return Library()
