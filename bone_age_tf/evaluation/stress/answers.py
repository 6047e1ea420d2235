"""The predictions of one radiograph: as it is, and of each of its variants."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from bone_age_tf.data.leakage import is_trained_on
from bone_age_tf.evaluation.stress.perturbations import CHANGES
from bone_age_tf.evaluation.stress.samples import Sample
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing.conversion import as_png, to_png
from bone_age_tf.preprocessing.grey import grey_values
from bone_age_tf.preprocessing.radiographs import read_radiograph
from bone_age_tf.preprocessing.rejections import Rejection

UNCHANGED = "unchanged"
SECOND, PAIRS = "second folder", "pairs"
"""The one change, and its group, where radiographs are compared with those of a second folder."""
PREDICTED_TOGETHER = 16

Answer = float | str
"""Months, or the code of the reason why there are none."""
Variant = Callable[[], bytes | Rejection]
"""Makes the file of a changed radiograph."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """A radiograph and the predictions of all its variants."""

    sample: Sample
    is_trained_on: bool
    answers: Mapping[str, Answer]
    """By `UNCHANGED` and the names of the changes."""


def predict_variants(
    model: ExportedModel,
    sample: Sample,
    changes: Iterable[str],
    seed: int,
    pool: ThreadPoolExecutor,
    keep: Callable[[str, bytes], None] | None = None,
) -> Tested:
    """Predict a radiograph as it is, and under `changes`, or else as its second file has it.

    No more pictures are in memory than `pool` has threads. `keep` is called with the name of each variant and its file.
    A file has the same noise in every sample with the same `seed`.
    """
    read = read_radiograph(sample.file)
    encoded = read if isinstance(read, Rejection) else to_png(read)
    content = 0 if isinstance(read, Rejection) else int(hashlib.sha256(read).hexdigest(), 16)
    seeds = np.random.SeedSequence([seed, content])
    variants = {UNCHANGED: lambda: encoded, **_variants(sample, encoded, changes, seeds)}

    def prepared(name: str) -> np.ndarray | Rejection:
        file = variants[name]()
        if isinstance(file, Rejection):
            return file
        if keep is not None:
            keep(name, file)
        return model.prepare(file)

    outcomes = dict(zip(variants, pool.map(prepared, variants), strict=True))
    is_known = not isinstance(read, Rejection) and is_trained_on(read, model.training_files)
    return Tested(sample, is_known, _answers(model, outcomes, sample.sex))


def _variants(
    sample: Sample,
    encoded: bytes | Rejection,
    changes: Iterable[str],
    seeds: np.random.SeedSequence,
) -> dict[str, Variant]:
    if sample.second is not None:
        return {SECOND: _second(sample.second)}
    picture = encoded if isinstance(encoded, Rejection) else grey_values(encoded)
    if picture is None:
        picture = Rejection("unreadable", "the file cannot be read as a picture")
    if isinstance(picture, Rejection):
        return dict.fromkeys(changes, lambda: picture)
    # A change has the same seed whichever others are chosen.
    seed_of = dict(zip(CHANGES, seeds.spawn(len(CHANGES)), strict=True))
    return {name: _changed(picture, name, seed_of[name]) for name in changes}


def _second(file: SourceFile) -> Variant:
    return lambda: read_radiograph(file)


def _changed(picture: np.ndarray, name: str, seed: np.random.SeedSequence) -> Variant:
    return lambda: _png(CHANGES[name](picture, np.random.default_rng(seed)))


def _png(picture: np.ndarray) -> bytes:
    """Of 16 bits, so that nothing is lost but what the change loses."""
    return as_png(np.round(np.clip(picture, 0, 1) * 65535).astype(np.uint16))


def _answers(
    model: ExportedModel, outcomes: Mapping[str, np.ndarray | Rejection], sex: str
) -> dict[str, Answer]:
    answers: dict[str, Answer] = {
        name: outcome.reason for name, outcome in outcomes.items() if isinstance(outcome, Rejection)
    }
    usable = {name: made for name, made in outcomes.items() if not isinstance(made, Rejection)}
    names = list(usable)
    for start in range(0, len(names), PREDICTED_TOGETHER):
        some = names[start : start + PREDICTED_TOGETHER]
        images = np.stack([usable[name] for name in some])
        months = model.months_of_prepared(images, [sex] * len(some))
        answers |= dict(zip(some, months.tolist(), strict=True))
    return answers


def write_picture(path: Path, encoded: bytes) -> None:
    """The grey values alone: the file itself may hold more, such as a name."""
    picture = grey_values(encoded)
    if picture is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path, "wb") as stream:
            stream.write(_png(picture))
