"""Contact sheets of radiographs with their prepared versions, for a visual check before training."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.variants import Variants
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.preprocessing import overlay
from bone_age_tf.preprocessing.examination import Examiner
from bone_age_tf.preprocessing.grey import grey_values
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK

FOLDER = "preview"
SIDE = 300
"""Longer side of a radiograph in a sheet."""
PER_SHEET = 50
COLUMNS = 5


def write_preview(
    folder: Path,
    rows: Sequence[CheckedRow],
    rejected: Sequence[CheckedRow],
    config: PreprocessingConfig,
    variants: int = 0,
) -> list[Path]:
    """`preview/sheet-N.jpg` of the rows and `preview/rejected-N.jpg` of the rejected ones.

    So many `variants` follow each prepared radiograph. Memory holds one sheet at a time.
    """
    target = folder / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    show = _Cells(config, variants)
    written = []
    for name, shown in (("sheet", rows), ("rejected", rejected)):
        for number, start in enumerate(range(0, len(shown), PER_SHEET), start=1):
            pairs = list(show(shown[start : start + PER_SHEET]))
            path = target / f"{name}-{number:03d}.jpg"
            _, encoded = cv2.imencode(".jpg", overlay.sheet(pairs, COLUMNS))
            with written_whole(path, "wb") as stream:
                stream.write(encoded.tobytes())
            written.append(path)
    return written


class _Cells:
    """Original, prepared radiograph and variants side by side."""

    def __init__(self, config: PreprocessingConfig, variants: int) -> None:
        self._variants = Variants(config) if variants else None
        self._count = variants
        is_registered = config.method == "registered"
        preprocessor = Preprocessor(config)
        self._examine = Examiner(preprocessor) if is_registered else None
        self._prepare = preprocessor.graph

    def __call__(self, rows: Sequence[CheckedRow]) -> Iterator[np.ndarray]:
        for row in rows:
            try:
                yield self._registered(row) if self._examine else self._letterboxed(row)
            except (tf.errors.InvalidArgumentError, InputDataError):
                empty = np.zeros((SIDE, SIDE, 3), np.uint8)
                yield overlay.label(empty, f"{row.id}: cannot be decoded", overlay.REJECTED)

    def _registered(self, row: CheckedRow) -> np.ndarray:
        assert self._examine is not None
        found = self._examine(row.file.read())
        is_ok = found.status == OK
        original = overlay.draw(
            found.radiograph,
            found.mask,
            found.points,
            found.frame_corners if is_ok else None,
            longest=SIDE,
        )
        prepared = [found.prepared, *self._variants_of(row)] if is_ok else []
        return _cell(original, prepared, row.id, EXPLANATIONS.get(found.status, ""))

    def _letterboxed(self, row: CheckedRow) -> np.ndarray:
        encoded = row.file.read()
        done = self._prepare(encoded)
        status = done.status.numpy().decode()
        values = grey_values(encoded)
        if values is None:
            raise InputDataError("OpenCV cannot read the file, though TensorFlow can.")
        pixels = np.round(values * 255).astype(np.uint8)
        original = overlay.draw(pixels, None, None, None, longest=SIDE)
        prepared = [done.image.numpy()[..., 0], *self._variants_of(row)] if status == OK else []
        return _cell(original, prepared, row.id, EXPLANATIONS.get(status, ""))

    def _variants_of(self, row: CheckedRow) -> list[np.ndarray]:
        if self._variants is None:
            return []
        found = self._variants.find(row.file.read())
        return [
            picture.numpy()[..., 0]
            for picture in self._variants.make(found, row.sha256, self._count)
        ]


def _cell(
    original: np.ndarray, prepared: Sequence[np.ndarray], identifier: str, reason: str
) -> np.ndarray:
    parts = [_padded(original)]
    for picture in prepared:
        width = max(1, round(picture.shape[1] * SIDE / picture.shape[0]))
        small = cv2.resize(picture, (width, SIDE), interpolation=cv2.INTER_AREA)
        parts.append(cv2.cvtColor(small, cv2.COLOR_GRAY2BGR))
    text = f"{identifier}: {reason}" if reason else identifier
    return overlay.label(np.hstack(parts), text, overlay.REJECTED if reason else overlay.TEXT)


def _padded(picture: np.ndarray) -> np.ndarray:
    room = SIDE - picture.shape[0]
    return np.pad(picture, ((room // 2, room - room // 2), (0, 4), (0, 0)))
