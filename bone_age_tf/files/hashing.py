"""Size and sha256 of files, as listed in a manifest, and the check against them."""

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class FileEntry:
    """A file listed in a manifest."""

    name: str
    bytes: int
    sha256: str


def find_faults(folder: Path, entries: tuple[FileEntry, ...]) -> Iterator[str]:
    """A description of every file that is missing, or has another size or other content."""
    for entry in entries:
        path = folder / entry.name
        if not path.is_file():
            yield f"{entry.name}: missing"
        elif path.stat().st_size != entry.bytes:
            yield f"{entry.name}: {path.stat().st_size} bytes, expected {entry.bytes}"
        elif sha256_of(path) != entry.sha256:
            yield f"{entry.name}: content changed (sha256)"


def sha256_of(path: Path) -> str:
    """sha256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def describe_file(folder: Path, name: str) -> FileEntry:
    """Current size and sha256 of a file."""
    path = folder / name
    return FileEntry(name, path.stat().st_size, sha256_of(path))
