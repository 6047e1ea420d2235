"""TensorFlow's protocol buffers, without TensorFlow.

Importing `tensorflow.core...` first runs `tensorflow/__init__.py`, which imports everything: seconds, and hundreds of
megabytes. While this module is imported, an empty package of the same folder stands for it, unless TensorFlow is there
already. A later `import tensorflow` is complete, and uses the same messages.
"""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from bone_age_tf.errors import EnvironmentFaultError

_NAME = "tensorflow"


def folder() -> Path:
    """Where TensorFlow is installed. Raises `EnvironmentFaultError` where it is not."""
    spec = importlib.util.find_spec(_NAME)
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentFaultError(
            "TensorFlow is not installed. Install it: pip install 'tensorflow>=2.20'."
        )
    return Path(spec.submodule_search_locations[0])


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Within it, importing a module of `tensorflow.core` does not import TensorFlow."""
    if _NAME in sys.modules:
        yield
        return
    empty = types.ModuleType(_NAME)
    empty.__path__ = [str(folder())]
    sys.modules[_NAME] = empty
    try:
        yield
    finally:
        del sys.modules[_NAME]


with without_tensorflow():
    from tensorflow.core.framework import graph_pb2, node_def_pb2, tensor_pb2, types_pb2
    from tensorflow.core.protobuf import (
        config_pb2,
        meta_graph_pb2,
        rewriter_config_pb2,
        saved_model_pb2,
    )

__all__ = [
    "config_pb2",
    "folder",
    "graph_pb2",
    "meta_graph_pb2",
    "node_def_pb2",
    "rewriter_config_pb2",
    "saved_model_pb2",
    "tensor_pb2",
    "types_pb2",
    "without_tensorflow",
]
