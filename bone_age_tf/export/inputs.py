"""Radiographs as arguments in Python, validated before any work: paths, bytes and arrays."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from bone_age_tf.config.sex_words import EXPECTED, sex_of_word
from bone_age_tf.data.dicom_headers import read_headers
from bone_age_tf.data.header_values import UNKNOWN
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.reader import Header, read_header
from bone_age_tf.errors import ArgumentTypeError, ArgumentValueError
from bone_age_tf.files.formats import DICOM, format_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing.conversion import as_png
from bone_age_tf.preprocessing.radiographs import find_radiographs

Source = str | Path | bytes | np.ndarray
"""A path of a file, folder or zip; the bytes of a DICOM, PNG, JPEG, TIFF or BMP file; grey values uint8 or uint16
[height, width], full scale 255 or 65535."""
KINDS = (
    "a path (str or Path), the bytes of a DICOM, PNG, JPEG, TIFF or BMP file, a uint8 or uint16 array [height, width], "
    "or several of these"
)
_DTYPES = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclasses.dataclass(frozen=True, eq=False)
class InMemory:
    """Bytes or pixels, read like a file."""

    name: str
    content: bytes | np.ndarray

    def read(self) -> bytes:
        """The bytes of the file; of pixels, those of a PNG file."""
        return self.content if isinstance(self.content, bytes) else as_png(self.content)


@dataclasses.dataclass(frozen=True)
class RadiographWithSex:
    """A radiograph and the sex that was given for it."""

    file: SourceFile | InMemory
    given: str | None
    """None: that of its header."""
    header: Header | Fault | None = None
    """Of a DICOM file, or why it cannot be read."""

    @property
    def sex(self) -> str | None:
        """The sex for the model; None where there is no header that could tell it."""
        of_header = (self.header.sex or UNKNOWN) if isinstance(self.header, Header) else None
        return self.given or of_header

    @property
    def name(self) -> str:
        """Of the file; of bytes and arrays their number among what was given, from 0."""
        return self.file.name

    def read(self) -> bytes:
        """Raises `InputDataError` where it cannot."""
        return self.file.read()


def pair_with_sex(
    radiographs: Source | Iterable[Source], sex: str | Iterable[str | None] | None
) -> list[RadiographWithSex]:
    """Every radiograph that was given; folders and zips give several, all of one sex, or each of that in its header.

    Raises `ArgumentTypeError` and `ArgumentValueError` where something else was given, or no sex for what is not DICOM,
    `InputDataError` where a path leads to no radiograph.
    """
    is_one = isinstance(radiographs, str | Path | bytes | bytearray | memoryview | np.ndarray)
    if not is_one and not isinstance(radiographs, Iterable):
        raise ArgumentTypeError(f"radiographs: expected {KINDS}. Received {_kind(radiographs)}.")
    given = [radiographs] if is_one else list(radiographs)
    if not given:
        raise ArgumentValueError(f"radiographs: expected {KINDS}. Received none.")
    sexes = _sexes(sex, len(given))
    files = [
        (file, of)
        for number, (one, of) in enumerate(zip(given, sexes, strict=True))
        for file in _files(one, number)
    ]
    headers = _headers([file for file, _ in files])
    without = [file.name for file, of in files if of is None and file not in headers]
    if without:
        raise ArgumentTypeError(
            f"sex: expected {EXPECTED} for radiographs that are not DICOM files, whose header tells it. Received None for "
            f"{len(without)} of them, as {without[0]}."
        )
    return [RadiographWithSex(file, of, headers.get(file)) for file, of in files]


def _headers(files: Iterable[SourceFile | InMemory]) -> dict[object, Header | Fault]:
    """Of those that are DICOM."""
    files = list(files)
    in_memory = {
        file: read_header(file.content)
        for file in files
        if isinstance(file, InMemory)
        and isinstance(file.content, bytes)
        and format_of(file.content) == DICOM
    }
    return {**read_headers(f for f in files if isinstance(f, SourceFile)), **in_memory}


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


def _sexes(sex: object, count: int) -> list[str | None]:
    expected = f"sex: expected {EXPECTED}, or one for each of the {count} radiographs given."
    is_one = sex is None or isinstance(sex, str)
    if not is_one and not isinstance(sex, Iterable):
        raise ArgumentTypeError(f"{expected} Received {_kind(sex)}.")
    sexes: list[object] = [sex] * count if is_one else list(sex)  # type: ignore[arg-type]
    if len(sexes) != count:
        raise ArgumentValueError(f"{expected} Received {len(sexes)} of them.")
    return [None if one is None else _label(one, expected) for one in sexes]


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
