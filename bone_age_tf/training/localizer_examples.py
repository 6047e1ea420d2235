"""What the hand localizer learns from: radiographs with what is known about the hand in each.

Coordinates are (x, y) in pixels, x = column.
"""

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from bone_age_tf.errors import InputDataError
from bone_age_tf.image_files import SourceFile, list_files
from bone_age_tf.preprocessing.localizer_network import POINTS

SIDE = 352
"""Longer side of a radiograph in memory; half as much again as the network sees."""

KEY_POINT_TABLES = ("key_points.csv", "truth/key_points.csv")
MASK_FOLDERS = ("masks", "truth/masks")
_ASIDE = ("truth", "masks")


@dataclasses.dataclass(frozen=True)
class Example:
    """A radiograph, and what is known about the hand in it."""

    id: str
    image: np.ndarray
    """uint8 [height, width], its longer side `SIDE`."""
    scale: float
    """Pixels of `image` for one of the file."""
    mask: np.ndarray | None = None
    """uint8 [height, width], 255 hand."""
    points: np.ndarray | None = None
    """float [points, 2]; NaN where one is not known."""


def read_examples(folder: str | Path) -> list[Example]:
    """Every radiograph of a folder, with its key points and mask where they are there.

    Key points stand in `key_points.csv` or `truth/key_points.csv` (`id`, `point`, `x`, `y`), masks
    in `masks/` or `truth/masks/` under the radiograph's name as PNG.
    """
    folder = Path(folder)
    points = _read_points(folder)
    masks = {
        path.stem: path for below in MASK_FOLDERS for path in sorted((folder / below).glob("*.png"))
    }
    files = [
        file
        for file in list_files(folder)
        if file.is_image and file.name.split("/")[0] not in _ASIDE
    ]
    if not files:
        raise InputDataError(
            f"{folder}: expected radiographs (PNG, JPEG) to learn from, found none."
        )
    return [_read(file, points.get(file.stem), masks.get(file.stem)) for file in files]


def _read_points(folder: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in KEY_POINT_TABLES:
        path = folder / name
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8-sig") as stream:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                _add_point(found, row, f"{path}, row {number}")
    return found


def _add_point(found: dict[str, np.ndarray], row: Mapping[str, str], where: str) -> None:
    try:
        stem, point = row.get("id") or Path(row["file"]).stem, row["point"]
        at = float(row["x"]), float(row["y"])
    except (KeyError, ValueError, TypeError) as error:
        raise InputDataError(
            f"{where}: expected id (or file), point, x and y in pixels. Received {dict(row)}."
        ) from error
    if point in POINTS:
        points = found.setdefault(stem, np.full((len(POINTS), 2), np.nan))
        points[POINTS.index(point)] = at


def _read(file: SourceFile, points: np.ndarray | None, mask: Path | None) -> Example:
    image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise InputDataError(f"{file.name}: not a radiograph that can be decoded.")
    scale = SIDE / max(image.shape)
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    outline = None
    if mask is not None:
        whole = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
        outline = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    if points is not None:
        points = (points + 0.5) * scale - 0.5
    return Example(file.stem, small, scale, outline, points)
