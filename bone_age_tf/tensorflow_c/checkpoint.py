"""A tensor of a checkpoint in TensorFlow's format, by its key."""

from pathlib import Path

import numpy as np

from bone_age_tf.tensorflow_c.library import tensorflow
from bone_age_tf.tensorflow_c.status import checked
from bone_age_tf.tensorflow_c.tensors import delete_tensors, read_tensor


def read_tensor_of(prefix: Path, key: str) -> np.ndarray:
    """The tensor `key` of the files `PREFIX.index` and `PREFIX.data-...`. Raises `RunError` where there is none."""
    library = tensorflow()
    with checked() as status:
        reader = library.TF_NewCheckpointReader(str(prefix).encode(), status)
    try:
        with checked() as status:
            tensor = library.TF_CheckpointReaderGetTensor(reader, key.encode(), status)
        try:
            return read_tensor(tensor)
        finally:
            delete_tensors([tensor])
    finally:
        library.TF_DeleteCheckpointReader(reader)
