"""Detects data leakage: whether a model was trained on the radiographs of an evaluation or calibration.

Three sources are checked: the data set and split that a run or an exported model was trained on; the splits
that its recalibration and prediction intervals were fitted to; and `training_files.txt`, the sha256 of every
raw file that it was trained on, which identifies them in any other data set.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bone_age_tf.config.choices import TRAINING_SPLIT, VALIDATION_SPLIT
from bone_age_tf.data.splits import raw_files_of
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.files.atomic import write_text

if TYPE_CHECKING:  # it imports TensorFlow
    from bone_age_tf.data.dataset import PreparedRadiographs

TRAINING_FILES = "training_files.txt"
"""sha256 of every raw file that the weights were trained on, those of initial weights included."""
TRAINING_MEAN = "training_mean_months"
"""Key of a run's and an exported model's `data`: mean bone age of what it was trained on."""
TRAINED_ON_SPLIT = "trained_on_split"
"""Key in `evaluation.json` and `comparison.json`: whether there is leakage; null: unknown."""
DIGITS = 16
"""Of each sha256, in an exported model: enough to tell radiographs apart, a quarter of the size."""
BIASED = "optimistically biased (data leakage)"


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The data that a model was trained on and fitted to, as described in its files."""

    plan: str
    """Identifies the data set."""
    fold: str | None = None
    """`I/K` where the splits train and validation were pooled into folds; of an ensemble, several."""
    fitted_to: tuple[tuple[str, str], ...] = ()
    """Plan and split of what its recalibration and its prediction intervals were fitted to."""
    files: frozenset[str] | None = None
    """sha256 of its raw files, or `DIGITS` of each; None: not recorded."""
    mean_months: float | None = None
    """Mean of its bone ages; None: not recorded."""

    @classmethod
    def of(
        cls,
        data: Mapping[str, Any],
        files: frozenset[str] | None,
        fitted_to: Iterable[Mapping[str, str]] = (),
    ) -> "TrainingData":
        """From `data` and `fitted_to` of a run's, an ensemble's or an exported model's description."""
        splits = tuple((entry["plan"], entry["split"]) for entry in fitted_to)
        return cls(data["plan"], data.get("fold"), splits, files, data.get(TRAINING_MEAN))

    def was_trained_on(self, plan: str, split: str) -> bool:
        """Whether a split is part of the training data; `validation` is where it went into folds."""
        pooled = (TRAINING_SPLIT, VALIDATION_SPLIT) if self.fold else (TRAINING_SPLIT,)
        return self.plan == plan and split in pooled


def find_leakage(
    model: str | Path,
    training: TrainingData,
    radiographs: "PreparedRadiographs",
    records: Records,
    split: str,
) -> str | None:
    """A sentence on why errors of a model on these records would be optimistically biased; None: no leakage found."""
    plan = radiographs.manifest.plan
    if training.was_trained_on(plan, split):
        part = f"with data.fold={training.fold} on most or all of" if training.fold else "on"
        return f"{model} was trained {part} the split {split!r}: its errors are {BIASED}."
    if (plan, split) in training.fitted_to:
        return (
            f"The recalibration or the prediction intervals of {model} were fitted to the split {split!r}: "
            f"its errors and its coverage are {BIASED}."
        )
    known = known_files(raw_files_of(radiographs, records), training.files)
    if known:
        return (
            f"{model} was trained on {len(known)} of the {len(records)} radiographs of the split {split!r}, "
            f"as part of another data set: its errors are {BIASED}."
        )
    return None


def recorded_leakage(evaluation: Path) -> bool | None:
    """Whether an `evaluation.json` reports leakage; None: not reported."""
    try:
        return json.loads(evaluation.read_text(encoding="utf-8"))[TRAINED_ON_SPLIT]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known_files(files: Iterable[str], trained_on: frozenset[str] | None) -> frozenset[str]:
    """Those of `files`, sha256 of raw files, that are among those of a model; none where that is not recorded."""
    known = {digest[:DIGITS] for digest in trained_on or ()}
    return frozenset(digest for digest in files if digest[:DIGITS] in known)


def known_among(count: int, total: int) -> str | None:
    """A sentence where a model was trained on `count` of the radiographs of an evaluation; None for 0."""
    if not count:
        return None
    return (
        f"The model was trained on {count} of these {total} radiographs: its errors are {BIASED}."
    )


def is_trained_on(encoded: bytes, trained_on: frozenset[str] | None) -> bool:
    """Whether the content of a file is among the `training_files` of an exported model, `DIGITS` of each."""
    return trained_on is not None and hashlib.sha256(encoded).hexdigest()[:DIGITS] in trained_on


def read_training_files(folder: Path) -> frozenset[str] | None:
    """sha256 of the raw files that a folder's weights were trained on, in full or `DIGITS` of each; None: not recorded."""
    path = folder / TRAINING_FILES
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else None


def write_training_files(folder: Path, files: Iterable[str], digits: int | None = None) -> None:
    """Write the sha256 of raw files, or the first `digits` of each."""
    write_text(
        folder / TRAINING_FILES, "\n".join(sorted(digest[:digits] for digest in files)) + "\n"
    )
