"""Another graph over the variables of a SavedModel."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bone_age_tf.tensorflow_c.protos import saved_model_pb2

GRAPH = "saved_model.pb"


def read_graph(folder: Path) -> Any:
    """The `SavedModel` message of a SavedModel."""
    return saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())


@contextlib.contextmanager
def rewritten(saved: Any, folder: Path | None = None) -> Iterator[Path]:
    """A temporary folder with this message, and the other files of `folder`, which are linked."""
    with tempfile.TemporaryDirectory() as changed:
        Path(changed, GRAPH).write_bytes(saved.SerializeToString())
        for child in () if folder is None else folder.resolve().iterdir():
            if child.name != GRAPH:
                Path(changed, child.name).symlink_to(child)
        yield Path(changed)
