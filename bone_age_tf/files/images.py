"""Image files in folders and zips, listed by name and read as bytes; zips are read in place."""

import contextlib
import dataclasses
import functools
import os
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.formats import HEAD_BYTES, format_of, is_dicomdir

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".tif", ".tiff", ".bmp", ".dib"),
    *(".dcm", ".dicom", ".ima"),
    *(".gif", ".webp", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl", ".heic", ".heif", ".avif"),
    *(".psd", ".pgm", ".ppm", ".pnm", ".tga", ".exr", ".jxr"),
)
"""Endings of images, also of formats that are not read: such a file is always listed."""
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
        """The name without folders and an image's ending: the identifier of a radiograph."""
        name = PurePosixPath(self.name)
        return name.stem if self.suffix in IMAGE_SUFFIXES else name.name

    @property
    def suffix(self) -> str:
        """The ending in lower case, as in `.png`."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def is_image(self) -> bool:
        """Whether the ending or the content is that of an image, of a format that is read or not.

        A file whose content cannot be read is one unless its ending says otherwise, and so is a zip
        inside a zip: it is not looked into, and must not be lost. A DICOMDIR lists images and is none.
        """
        if self.suffix in IMAGE_SUFFIXES or (self.member and self.suffix == ".zip"):
            return True
        try:
            head = self.head()
            return format_of(head) is not None and not is_dicomdir(head)
        except InputDataError:
            return not self.suffix.strip(".0123456789")

    def read(self) -> bytes:
        """The content. Raises `InputDataError` where it is over the limit or cannot be read."""
        with self._open_errors():
            if self.member is None:
                self._check_size(Path(self.path).stat().st_size)
                return Path(self.path).read_bytes()
            archive = _open_zip(self.path)
            self._check_size(archive.getinfo(self.member).file_size)
            return archive.read(self.member)

    def head(self) -> bytes:
        """The first `HEAD_BYTES`. Raises `InputDataError` where they cannot be read."""
        with self._open_errors():
            if self.member is None:
                with Path(self.path).open("rb") as stream:
                    return stream.read(HEAD_BYTES)
            with _open_zip(self.path).open(self.member) as stream:
                return stream.read(HEAD_BYTES)

    @contextlib.contextmanager
    def _open_errors(self) -> Iterator[None]:
        try:
            yield
        except (
            OSError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            EOFError,
        ) as error:
            raise InputDataError(f"{self.name}: cannot be read ({_reason(error)}).") from error

    def _check_size(self, size: int) -> None:
        if size > MAX_FILE_BYTES:
            raise InputDataError(
                f"{self.name}: {size} bytes; at most {MAX_FILE_BYTES} are read from one file."
            )


def _reason(error: Exception) -> str:
    """Without the path or the member, which `SourceFile.name` may stand for."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, NotImplementedError):
        return "the zip's compression is not supported"
    return "it is encrypted" if isinstance(error, RuntimeError) else "the zip is damaged"


def list_files(path: str | Path) -> list[SourceFile]:
    """Every file below a folder, or in a zip, including the members of zips in the folder; sorted by name.

    Hidden files and macOS resource forks are skipped. A single file gives a list of one.
    """
    path = Path(path)
    if not path.exists():
        raise InputDataError(f"{path}: no such file or folder.")
    return sorted(_walk(path, path.name if path.is_file() else ""))


def radiographs_in(path: str | Path) -> list[SourceFile]:
    """The images of a folder or zip; a single file is returned whatever it is."""
    files = list_files(path)
    if len(files) == 1 and files[0].member is None and Path(path).is_file():
        return files
    return [file for file in files if file.is_image]


def kinds(files: Sequence[SourceFile]) -> str:
    """How many files of which kinds, in words: `3 files: 2 .csv, 1 empty`."""
    counts = Counter(map(_kind, files))
    words = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    return f"{len(files)} file{'' if len(files) == 1 else 's'}" + (f": {words}" if words else "")


def _kind(file: SourceFile) -> str:
    try:
        if not file.head():
            return "empty"
    except InputDataError:
        return "unreadable"
    return file.suffix or "without an ending"


def is_safe(name: str) -> bool:
    """Whether a file's name stays inside the folder or zip."""
    return ".." not in PurePosixPath(name).parts and not name.startswith("/")


def _walk(path: Path, name: str, above: frozenset[str] = frozenset()) -> Iterator[SourceFile]:
    """`above` are the folders that lead here: a symbolic link to one of them is not followed."""
    if path.is_dir():
        real = os.path.realpath(path)
        if real not in above:
            for child in _children(path):
                child_name = f"{name}/{child.name}" if name else child.name
                yield from _walk(child, child_name, above | {real})
    elif path.suffix.lower() == ".zip":
        for member in _open_zip(str(path)).infolist():
            parts = PurePosixPath(member.filename).parts
            if not member.is_dir() and not any(
                p.startswith((".", "__MACOSX")) and p != ".." for p in parts
            ):
                yield SourceFile(f"{name}/{member.filename}", str(path), member.filename)
    else:
        yield SourceFile(name, str(path))


def _children(folder: Path) -> list[Path]:
    """What is in a folder, without hidden files and what is no file, such as a pipe."""
    try:
        children = list(folder.iterdir())
    except OSError as error:
        raise InputDataError(f"{folder}: cannot be listed ({error.strerror}).") from error
    return [
        child
        for child in children
        if not child.name.startswith(".")
        and (child.is_dir() or child.is_file() or child.is_symlink())
    ]


@functools.lru_cache(maxsize=16)
def _open_zip(path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise InputDataError(f"{path}: not a zip file, or cut short ({error}).") from error


def safe_name(stem: str) -> str:
    """An identifier as a part of a file's name: letters, digits, `-`, `_`, `.`, at most 80 characters."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem)[:80]
