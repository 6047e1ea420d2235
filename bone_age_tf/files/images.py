"""Image files in folders and zips, listed by name and read as bytes; zips are read in place."""

import dataclasses
import functools
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from bone_age_tf.errors import InputDataError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_FILE_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True, order=True)
class SourceFile:
    """A file in a folder, or a member of a zip."""

    name: str
    """Path below the folder that was searched, with `/`; a zip's own name is one of its parts."""
    path: str
    """Path of the file, or of the zip that holds it."""
    member: str | None = None
    """Name inside the zip."""

    @property
    def stem(self) -> str:
        """The name without folders and ending: the identifier of a radiograph."""
        return PurePosixPath(self.name).stem

    @property
    def suffix(self) -> str:
        """The ending in lower case, as in `.png`."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def is_image(self) -> bool:
        """Whether the ending is that of a PNG or JPEG."""
        return self.suffix in IMAGE_SUFFIXES

    def read(self) -> bytes:
        """The content. Raises `InputDataError` where it is over the limit or cannot be read."""
        try:
            if self.member is None:
                self._check_size(Path(self.path).stat().st_size)
                return Path(self.path).read_bytes()
            archive = _open_zip(self.path)
            self._check_size(archive.getinfo(self.member).file_size)
            return archive.read(self.member)
        except (
            OSError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
        ) as error:
            raise InputDataError(f"{self.name}: cannot be read ({error}).") from error

    def _check_size(self, size: int) -> None:
        if size > MAX_FILE_BYTES:
            raise InputDataError(
                f"{self.name}: {size} bytes; at most {MAX_FILE_BYTES} are read from one file."
            )


def grey_values(encoded: bytes) -> np.ndarray | None:
    """A PNG or JPEG file as float32 [height, width] from 0 to 1, for display and for perturbed inputs.

    As the file stores it: an orientation in the metadata is ignored, as by `preprocessing/decoding.py`. None where
    OpenCV cannot read it.
    """
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if picture is None:
        return None
    return picture.astype(np.float32) / np.float32(np.iinfo(picture.dtype).max)


def grey_levels(encoded: bytes) -> np.ndarray:
    """A file as uint8 [height, width] for display: percentiles 0.5 and 99.7 as black and white."""
    picture = grey_values(encoded)
    if picture is None:
        raise InputDataError("OpenCV cannot read the file, though TensorFlow can.")
    low, high = np.percentile(picture, (0.5, 99.7))
    return np.clip((picture - low) * (255 / max(high - low, 1e-3)), 0, 255).astype(np.uint8)


def list_files(path: str | Path) -> list[SourceFile]:
    """Every file below a folder, or in a zip, including the members of zips in the folder; sorted by name.

    Hidden files and macOS resource forks are skipped. A single file gives a list of one.
    """
    path = Path(path)
    if not path.exists():
        raise InputDataError(f"{path}: no such file or folder.")
    return sorted(_walk(path, path.name if path.is_file() else ""))


def radiographs_in(path: str | Path) -> list[SourceFile]:
    """The images of a folder or zip; a single file is returned whatever its extension."""
    files = list_files(path)
    if len(files) == 1 and files[0].member is None and Path(path).is_file():
        return files
    return [file for file in files if file.is_image]


def is_safe(name: str) -> bool:
    """Whether a file's name stays inside the folder or zip."""
    return ".." not in PurePosixPath(name).parts and not name.startswith("/")


def _walk(path: Path, name: str) -> Iterator[SourceFile]:
    if path.is_dir():
        for child in path.iterdir():
            if not child.name.startswith("."):
                yield from _walk(child, f"{name}/{child.name}" if name else child.name)
    elif path.suffix.lower() == ".zip":
        for member in _open_zip(str(path)).infolist():
            parts = PurePosixPath(member.filename).parts
            if not member.is_dir() and not any(
                p.startswith((".", "__MACOSX")) and p != ".." for p in parts
            ):
                yield SourceFile(f"{name}/{member.filename}", str(path), member.filename)
    else:
        yield SourceFile(name, str(path))


@functools.lru_cache(maxsize=16)
def _open_zip(path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InputDataError(f"{path}: not a zip file, or cut short ({error}).") from error


def safe_name(stem: str) -> str:
    """An identifier as a part of a file's name: letters, digits, `-`, `_`, `.`, at most 80 characters."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem)[:80]
