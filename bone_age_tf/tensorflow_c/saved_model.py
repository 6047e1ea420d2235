"""A SavedModel and its signatures, run by TensorFlow's C API in the way TensorFlow Serving does."""

import ctypes
import dataclasses
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf.tensorflow_c.float32_variables import with_float32_variables
from bone_age_tf.tensorflow_c.library import Endpoint, tensorflow
from bone_age_tf.tensorflow_c.memory import return_freed_memory
from bone_age_tf.tensorflow_c.options import session_config
from bone_age_tf.tensorflow_c.protos import meta_graph_pb2
from bone_age_tf.tensorflow_c.status import InvalidInputError, checked
from bone_age_tf.tensorflow_c.tensors import (
    as_array,
    delete_tensors,
    dtype_of,
    new_tensor,
    read_tensor,
)

TAG = b"serve"
_RESERVED = "__saved_model"
"""How the names of signatures begin that are of the format itself."""


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or output of a signature."""

    dtype: np.dtype
    """`object` for strings."""
    shape: tuple[int | None, ...] | None
    """None where a dimension is free, or where the rank is unknown."""


class SavedModel:
    """A loaded SavedModel. Its memory goes with the last reference to it or to one of its signatures."""

    def __init__(self, session: "_Session", definitions: Mapping[str, Any]) -> None:
        self.definitions = definitions
        """The `SignatureDef` of each signature, in the order of their names."""
        self.signatures = {
            name: Signature(name, definition, session) for name, definition in definitions.items()
        }

    @classmethod
    def load(cls, folder: str | Path, *, float32_variables: bool = False) -> "SavedModel":
        """Load the SavedModel in a folder.

        `float32_variables`: variables that are stored as float16 and cast for every use become float32 once, so that
        they are in memory once and nothing is cast later. Raises `RunError` where TensorFlow cannot load it.
        """
        if not float32_variables:
            session, meta_graph = _load(Path(folder))
        else:
            with with_float32_variables(Path(folder)) as changed:
                session, meta_graph = _load(changed)
        found = meta_graph.signature_def
        names = sorted(name for name in found if not name.startswith(_RESERVED))
        definitions = {name: _copy(found[name]) for name in names}
        del meta_graph, found
        return_freed_memory()
        return cls(session, definitions)


class Signature:
    """One signature: `signature(image=..., sex=...)` -> its outputs by name. Thread-safe."""

    def __init__(self, name: str, definition: Any, session: "_Session") -> None:
        self.name = name
        self.inputs = {key: _spec(info) for key, info in sorted(definition.inputs.items())}
        self.outputs = {key: _spec(info) for key, info in sorted(definition.outputs.items())}
        self._types = {key: info.dtype for key, info in definition.inputs.items()}
        self._session = session
        self._from = {k: session.endpoint(info.name) for k, info in definition.inputs.items()}
        self._to = {k: session.endpoint(definition.outputs[k].name) for k in self.outputs}

    def __call__(self, **inputs: Any) -> dict[str, np.ndarray]:
        """Arrays, or lists, by the names of the inputs -> arrays by the names of the outputs.

        Strings are bytes, or text as UTF-8. Raises `InvalidInputError` where the inputs are at fault, with the text of
        the graph's own assertions, `RunError` where anything else is.
        """
        if set(inputs) != set(self.inputs):
            raise InvalidInputError(
                f"signature {self.name!r}: expected the inputs {', '.join(self.inputs)}, received "
                f"{', '.join(sorted(inputs)) or 'none'}"
            )
        arrays = {name: as_array(values, self._types[name]) for name, values in inputs.items()}
        given = [(self._from[name], array, self._types[name]) for name, array in arrays.items()]
        results = self._session.run(given, list(self._to.values()))
        return dict(zip(self._to, results, strict=True))


class _Session:
    """A session and its graph, closed when nothing refers to it."""

    def __init__(self, session: int, graph: int) -> None:
        self._session, self._graph = session, graph
        weakref.finalize(self, _close, session, graph)

    def endpoint(self, name: str) -> Endpoint:
        """Of `OPERATION:NUMBER`, as a SavedModel names tensors."""
        operation, _, index = name.partition(":")
        found = tensorflow().TF_GraphOperationByName(self._graph, operation.encode())
        return Endpoint(found, int(index or 0))

    def run(
        self, given: list[tuple[Endpoint, np.ndarray, int]], wanted: list[Endpoint]
    ) -> list[np.ndarray]:
        """Arrays with their types -> arrays. Raises `RunError`."""
        tensors = (ctypes.c_void_p * len(given))()
        results = (ctypes.c_void_p * len(wanted))()
        try:
            for number, (_, array, type) in enumerate(given):
                tensors[number] = new_tensor(array, type)
            with checked() as status:
                tensorflow().TF_SessionRun(
                    *(self._session, None),
                    *((Endpoint * len(given))(*(at for at, _, _ in given)), tensors, len(given)),
                    *((Endpoint * len(wanted))(*wanted), results, len(wanted)),
                    *(None, 0, None, status),
                )
            return [read_tensor(tensor) for tensor in results]
        finally:
            delete_tensors(tensors)
            delete_tensors(results)


def _load(folder: Path) -> tuple[_Session, Any]:
    """A session with the variables restored, and the `MetaGraphDef`."""
    library = tensorflow()
    options, graph = library.TF_NewSessionOptions(), library.TF_NewGraph()
    described = library.TF_NewBuffer()
    tags = (ctypes.c_char_p * 1)(TAG)
    config = session_config()
    try:
        with checked() as status:
            library.TF_SetConfig(options, config, len(config), status)
        with checked() as status:
            session = library.TF_LoadSessionFromSavedModel(
                *(options, None, str(folder).encode(), tags, len(tags), graph, described, status)
            )
    except Exception:
        library.TF_DeleteGraph(graph)
        raise
    else:
        content = ctypes.string_at(described.contents.data, described.contents.length)
        return _Session(session, graph), meta_graph_pb2.MetaGraphDef.FromString(content)
    finally:
        library.TF_DeleteBuffer(described)
        library.TF_DeleteSessionOptions(options)


def _close(session: int, graph: int) -> None:
    """What goes wrong here concerns nobody any more."""
    library = tensorflow()
    status = library.TF_NewStatus()
    library.TF_CloseSession(session, status)
    library.TF_DeleteSession(session, status)
    library.TF_DeleteGraph(graph)
    library.TF_DeleteStatus(status)


def _copy(definition: Any) -> Any:
    """The same, which does not keep the whole graph in memory."""
    copied = meta_graph_pb2.SignatureDef()
    copied.CopyFrom(definition)
    return copied


def _spec(info: Any) -> TensorSpec:
    if info.tensor_shape.unknown_rank:
        return TensorSpec(dtype_of(info.dtype), None)
    shape = tuple(None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim)
    return TensorSpec(dtype_of(info.dtype), shape)
