"""Training examples of the hand localizer: radiographs with their annotations.

Coordinates are (x, y) in pixels, x = column.
"""

import csv
import dataclasses
import hashlib
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile, kinds, list_files
from bone_age_tf.preprocessing.conversion import READ_FORMATS, to_png
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.preprocessing.rejections import Rejection

SIDE = 352
"""Longer side of a radiograph in memory; 1.5 times that of the network's input."""

KEY_POINT_TABLES = ("key_points.csv", "truth/key_points.csv")
MASK_FOLDERS = ("masks", "truth/masks")
VIEW_TABLE = "truth/radiographs.csv"
_ASIDE = ("truth", "masks")


@dataclasses.dataclass(frozen=True)
class Example:
    """A radiograph and its annotations."""

    id: str
    image: np.ndarray
    """uint8 [height, width], its longer side `SIDE`."""
    scale: float
    """Pixels of `image` for one of the file."""
    mask: np.ndarray | None = None
    """uint8 [height, width], 255 hand."""
    points: np.ndarray | None = None
    """float [points, 2]; NaN where one is not known."""
    tilt: float = 0.0
    """Sine of the angle by which the hand is turned out of the picture's plane."""


def read_examples(folder: str | Path) -> list[Example]:
    """Every radiograph of a folder, with its key points and mask where they are there.

    Key points stand in `key_points.csv` or `truth/key_points.csv` (`id`, `point`, `x`, `y`), masks
    in `masks/` or `truth/masks/` under the radiograph's name as PNG, `out_of_plane_degrees` of phantoms in
    `truth/radiographs.csv`; a hand without any lies flat.
    """
    folder = Path(folder)
    points = _read_points(folder)
    masks = {
        path.stem: path for below in MASK_FOLDERS for path in sorted((folder / below).glob("*.png"))
    }
    listed = [file for file in list_files(folder) if file.name.split("/")[0] not in _ASIDE]
    files = [file for file in listed if file.is_image]
    if not files:
        raise InputDataError(
            f"{folder}: expected radiographs for training. Received {kinds(listed)}."
        )
    missing = sorted(set(points) - {file.stem for file in files})
    if missing:
        raise InputDataError(
            f"{folder}: key points of radiographs that are not there: {', '.join(missing[:10])} "
            f"({len(missing)} in all). Expected the file's name, with or without its ending."
        )
    tilts = _read_tilts(folder / VIEW_TABLE)
    return [
        _read(file, points.get(file.stem), masks.get(file.stem), tilts.get(file.stem, 0.0))
        for file in files
    ]


def _read_tilts(path: Path) -> dict[str, float]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        return {
            row["id"]: abs(math.sin(math.radians(float(row.get("out_of_plane_degrees") or 0))))
            for row in csv.DictReader(stream)
        }


def _read_points(folder: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for name in KEY_POINT_TABLES:
        path = folder / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputDataError(f"{path}: expected UTF-8 text ({error}).") from error
        for number, row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
            _add_point(found, row, f"{path}, row {number}")
    return found


def _add_point(found: dict[str, np.ndarray], row: Mapping[str, str], where: str) -> None:
    try:
        stem, point = row.get("id") or Path(row["file"]).stem, row["point"]
        at = float(row["x"]), float(row["y"])
        if not np.isfinite(at).all():
            raise ValueError(at)
    except (KeyError, ValueError, TypeError) as error:
        raise InputDataError(
            f"{where}: expected id (or file), point, x and y in pixels. Received {dict(row)}."
        ) from error
    if point in POINTS:
        points = found.setdefault(stem, np.full((len(POINTS), 2), np.nan))
        points[POINTS.index(point)] = at


def _read(file: SourceFile, points: np.ndarray | None, mask: Path | None, tilt: float) -> Example:
    image = _decode(file.read(), file.name)
    scale = SIDE / max(image.shape)
    size = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    outline = None
    if mask is not None:
        whole = _decode(mask.read_bytes(), str(mask))
        outline = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    if points is not None:
        points = (points + 0.5) * scale - 0.5
    return Example(file.stem, small, scale, outline, points, tilt)


def _decode(encoded: bytes, name: str) -> np.ndarray:
    """uint8 [height, width] as `decoding.decode` reads it, without regard to an orientation tag."""
    png = to_png(encoded)
    if isinstance(png, Rejection):
        raise InputDataError(f"{name}: {png.explanation}. Fix or remove it.")
    content = np.frombuffer(png, np.uint8)
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(content, flags) if content.size else None
    if image is None:
        raise InputDataError(
            f"{name}: expected a {READ_FORMATS} file that can be decoded. Fix or remove it."
        )
    return image


def digest(examples: Iterable[Example]) -> str:
    """sha256 of all training examples."""
    found = hashlib.sha256()
    for example in sorted(examples, key=lambda e: (e.id, e.mask is None)):
        found.update(example.id.encode() + example.image.tobytes())
        for known in (example.mask, example.points):
            found.update(b"-" if known is None else known.tobytes())
    return found.hexdigest()
