"""The labelled radiographs that are most similar to another one for a model.

The similarity is the cosine between the means of the backbone's feature maps, centred on the mean of the
reference radiographs. It reflects what the network was trained to distinguish: mostly maturity, not the
child or the device. A file that is itself among the reference radiographs is not its own neighbour.
"""

import dataclasses
import hashlib
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.config.choices import TRAINING_SPLIT
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.data.splits import files_by_id
from bone_age_tf.data.tfrecords import RecordFiles, Records
from bone_age_tf.errors import UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import EXPLAIN, FEATURES
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.record import IMAGE, SEX
from bone_age_tf.sex import SEX_NAMES

log = logging.getLogger(__name__)

COUNT = 5
"""Neighbours of each radiograph."""
CACHE = "features.npz"
BATCH_SIZE = 32

Notify = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A reference radiograph."""

    id: str
    sex: str
    bone_age_months: float
    """Its label."""
    similarity: float
    """Cosine, -1 to 1."""
    image: np.ndarray
    """Prepared, uint8 [height, width]."""


class Reference:
    """The radiographs of a data set's split `train`, by their features."""

    def __init__(
        self,
        model: ExportedModel,
        data: str,
        *,
        cache: Path,
        on_progress: Notify | None = None,
    ) -> None:
        """`cache` is a file that keeps the features of this model and data for the next run.

        Raises `UsageError` where the model has no signature `explain`, `ModelRefusedError` where the data
        set was prepared in another way than the model's, `InputDataError` where labels are missing.
        """
        if EXPLAIN not in model.signatures:
            raise UsageError(
                f"{model.folder} has no signature {EXPLAIN!r}, so its features are not available: it is an ensemble, or an "
                "old export. Expected the export of a run."
            )
        self._radiographs = PreparedRadiographs.open(data)
        self._radiographs.require_prepared_for(
            model.folder, model.fingerprint, model.manifest["preprocessing"]
        )
        self._radiographs.require_labels(TRAINING_SPLIT)
        self._records = self._radiographs.records(TRAINING_SPLIT)
        self._files = RecordFiles(self._records.paths)
        named = files_by_id(self._radiographs)
        self._sha256 = np.array([named.get(id, "") for id in self._records.ids])
        key = f"{sha256_of(model.folder / MANIFEST)} {self._radiographs.manifest.plan}"
        features = _cached(cache, key)
        if features is None:
            features = _features(model, self._radiographs, self._records, on_progress)
            with written_whole(cache, "wb") as stream:
                np.savez(stream, features=features, key=np.array(key))
        self._mean = features.mean(axis=0)
        self._directions = _directions(features - self._mean)

    def __len__(self) -> int:
        return len(self._records)

    def nearest(
        self, features: np.ndarray, encoded: bytes = b"", *, count: int = COUNT
    ) -> list[Neighbour]:
        """The most similar first; fewer than `count` where there are no more.

        `features` float [c] as the signature `explain` gives them, `encoded` the file they are of.
        """
        similarities = self._directions @ _directions(features - self._mean)
        itself = self._sha256 == hashlib.sha256(encoded).hexdigest()
        similarities[itself] = -np.inf
        rows = np.argsort(-similarities, kind="stable")[: min(count, int((~itself).sum()))]
        decoded = self._radiographs.decode(
            tf.constant(self._files.read(self._records.numbers[rows]).tolist(), tf.string)
        )
        images = decoded[IMAGE].numpy()[..., 0]
        return [
            Neighbour(
                id=self._records.ids[row],
                sex=SEX_NAMES[self._records.sex[row]],
                bone_age_months=float(self._records.bone_age_months[row]),
                similarity=float(similarities[row]),
                image=image,
            )
            for row, image in zip(rows, images, strict=True)
        ]


def strip(prepared: np.ndarray, title: str, neighbours: list[Neighbour]) -> np.ndarray:
    """The radiograph, uint8 [height, width], and its neighbours next to it, each with a line of text above."""
    panels = [_titled(prepared, title)]
    panels += [
        _titled(one.image, f"{one.bone_age_months:.0f} months, {one.sex}   {one.similarity:.2f}")
        for one in neighbours
    ]
    return np.hstack([np.pad(panel, ((0, 0), (0, 8))) for panel in panels])[:, :-8]


def _titled(image: np.ndarray, text: str) -> np.ndarray:
    """On a width of 320 pixels."""
    width, band = 320, 34
    picture = cv2.resize(
        image, (width, round(image.shape[0] * width / image.shape[1])), interpolation=cv2.INTER_AREA
    )
    framed = np.pad(picture, ((band, 0), (0, 0)))
    cv2.putText(framed, text, (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 235, 1, cv2.LINE_AA)
    return framed


def _directions(vectors: np.ndarray) -> np.ndarray:
    """The same of length 1, float [..., c]."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _features(
    model: ExportedModel,
    radiographs: PreparedRadiographs,
    records: Records,
    on_progress: Notify | None,
) -> np.ndarray:
    """float32 [n, c]."""
    notify = on_progress or (lambda stage, done, total: None)
    found: list[np.ndarray] = []
    done = 0
    notify("features", 0, len(records))
    for batch in radiographs.examples_of(records).batch(BATCH_SIZE):
        sexes = [SEX_NAMES[code] for code in batch[SEX].numpy()]
        explain = model.signatures[EXPLAIN]
        found.append(explain(image=batch[IMAGE].numpy(), sex=sexes)[FEATURES])
        done += len(found[-1])
        notify("features", done, len(records))
    return np.concatenate(found)


def _cached(path: Path, key: str) -> np.ndarray | None:
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return stored["features"] if str(stored["key"]) == key else None
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        log.warning(f"{path} could not be read; the features are computed again.")
        return None
