"""Radiographs as arguments in Python, validated before any work: paths, bytes and arrays."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bone_age_tf.config.sex_words import EXPECTED, sex_of_word
from bone_age_tf.errors import ArgumentTypeError, ArgumentValueError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing.conversion import as_png
from bone_age_tf.preprocessing.radiographs import find_radiographs

Source = str | Path | bytes | np.ndarray
"""A path of a file, folder or zip; the bytes of a PNG, JPEG, TIFF or BMP file; grey values uint8 or uint16
[height, width], full scale 255 or 65535."""
KINDS = (
    "a path (str or Path), the bytes of a PNG, JPEG, TIFF or BMP file, a uint8 or uint16 array [height, width], "
    "or several of these"
)
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclasses.dataclass(frozen=True)
class InMemory:
    """Bytes or pixels, read like a file."""

    name: str
    content: bytes | np.ndarray

    def read(self) -> bytes:
        """The bytes of the file; of pixels, those of a PNG file."""
        return self.content if isinstance(self.content, bytes) else as_png(self.content)


@dataclasses.dataclass(frozen=True)
class RadiographWithSex:
    """A radiograph and the sex that is given to the model."""

    file: SourceFile | InMemory
    sex: str

    @property
    def name(self) -> str:
        """Of the file; of bytes and arrays their number among what was given, from 0."""
        return self.file.name

    def read(self) -> bytes:
        """Raises `InputDataError` where it cannot."""
        return self.file.read()


def pair_with_sex(
    radiographs: Source | Iterable[Source], sex: str | Iterable[str]
) -> list[RadiographWithSex]:
    """Every radiograph that was given; folders and zips give several, all of one sex.

    Raises `ArgumentTypeError` and `ArgumentValueError` where something else was given, `InputDataError`
    where a path leads to no radiograph.
    """
    is_one = isinstance(radiographs, str | Path | bytes | bytearray | memoryview | np.ndarray)
    if not is_one and not isinstance(radiographs, Iterable):
        raise ArgumentTypeError(f"radiographs: expected {KINDS}. Received {_kind(radiographs)}.")
    given = [radiographs] if is_one else list(radiographs)
    if not given:
        raise ArgumentValueError(f"radiographs: expected {KINDS}. Received none.")
    sexes = _sexes(sex, len(given))
    return [
        RadiographWithSex(file, of)
        for number, (one, of) in enumerate(zip(given, sexes, strict=True))
        for file in _files(one, number)
    ]


def _files(one: object, number: int) -> list[SourceFile] | list[InMemory]:
    if isinstance(one, str | Path):
        return find_radiographs([one])
    if isinstance(one, bytes | bytearray | memoryview):
        return [InMemory(str(number), bytes(one))]
    if isinstance(one, np.ndarray):
        _require_grey(one, number)
        return [InMemory(str(number), one)]
    raise ArgumentTypeError(f"radiograph {number}: expected {KINDS}. Received {_kind(one)}.")


def _require_grey(pixels: np.ndarray, number: int) -> None:
    received = f"Received {_kind(pixels)}."
    if pixels.dtype.newbyteorder("=") not in _DTYPES:
        raise ArgumentTypeError(
            f"radiograph {number}: expected grey values of dtype uint8 (0 to 255) or uint16 (0 to 65535). {received} "
            "Scale and convert them."
        )
    if pixels.ndim != 2 or not pixels.size:
        raise ArgumentValueError(
            f"radiograph {number}: expected an array [height, width] of one radiograph. {received} "
            "Give a list of arrays for several, and one channel of a colour picture."
        )


def _sexes(sex: object, count: int) -> list[str]:
    expected = f"sex: expected {EXPECTED}, or one for each of the {count} radiographs given."
    if not isinstance(sex, str) and not isinstance(sex, Iterable):
        raise ArgumentTypeError(f"{expected} Received {_kind(sex)}.")
    sexes = [sex] * count if isinstance(sex, str) else list(sex)
    if len(sexes) != count:
        raise ArgumentValueError(f"{expected} Received {len(sexes)} of them.")
    return [_label(one, expected) for one in sexes]


def _label(sex: object, expected: str) -> str:
    if not isinstance(sex, str):
        raise ArgumentTypeError(f"{expected} Received {_kind(sex)}.")
    label = sex_of_word(sex)
    if label is None:
        raise ArgumentValueError(f"{expected} Received {sex!r}.")
    return label


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array {list(value.shape)} of dtype {value.dtype}"
    return f"{value!r} of type {type(value).__name__}"[:200]
