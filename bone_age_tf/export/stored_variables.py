"""The variables of a SavedModel that `calibrate` writes, read without its graph."""

from pathlib import Path

import numpy as np

from bone_age_tf.tensorflow_c.checkpoint import read_tensor_of

PREFIX = Path("variables", "variables")


def key_of(name: str) -> str:
    """What the attribute `name` of the saved object is called in the checkpoint."""
    return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"


def read_variable(folder: Path, name: str) -> np.ndarray:
    """A variable of the SavedModel in a folder. Raises `RunError` where it has none of that name."""
    return read_tensor_of(folder / PREFIX, key_of(name))
