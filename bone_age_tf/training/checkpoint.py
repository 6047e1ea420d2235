"""The whole state of a training run in one file, written so that a kill cannot damage it.

Stock Keras checkpoints leave out the state of seed generators, so that a resumed run drifts. Here
every variable of the model and the optimizer is kept, with the position in the data.
"""

import dataclasses
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import written_whole

FILE = "checkpoint.npz"
_STATE = "state"


@dataclasses.dataclass
class Progress:
    """How far a run has come."""

    epoch: int = 0
    """Epochs that are finished."""
    step: int = 0
    """Steps of the current epoch that are finished."""
    error_sum: float = 0.0
    """Sum of the metric (absolute error in months, or cross-entropy) over those steps' radiographs."""
    radiographs: float = 0.0
    """Number of those."""
    is_finished: bool = False
    """A callback has ended the training before its last epoch."""
    best_validation: float | None = None
    """Lowest metric of a validation so far."""
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    """One row for each finished epoch."""


def save_weights(model: keras.Model, path: Path) -> None:
    """Replace a file of weights; it is whole at every moment."""
    aside = path.with_name(f".{path.name}")
    try:
        model.save_weights(aside)
        with aside.open("rb") as stream:
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def save(folder: Path, variables: Sequence[keras.Variable], progress: Progress) -> None:
    """Replace the checkpoint of a run."""
    arrays = {f"{number:05d}": variable.numpy() for number, variable in enumerate(variables)}
    state = np.frombuffer(json.dumps(dataclasses.asdict(progress)).encode(), np.uint8)
    with written_whole(folder / FILE, "wb") as stream:
        np.savez(stream, **{_STATE: state}, **arrays)


def restore(folder: Path, variables: Sequence[keras.Variable]) -> Progress | None:
    """Set the variables and return the progress; None where there is no checkpoint.

    Raises `InputDataError` where the file is of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            progress = Progress(**json.loads(archive[_STATE].tobytes()))
            arrays = [archive[name] for name in sorted(archive.files) if name != _STATE]
    except (ValueError, OSError, EOFError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputDataError(
            f"{path}: not a checkpoint of this program ({error}). Pass --fresh to start over."
        ) from error
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise InputDataError(f"{path}: a checkpoint of another model. Pass --fresh to start over.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return progress
