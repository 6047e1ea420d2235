"""Paths -> radiographs -> prepared, or rejected: how every stage reads files of unknown content.

A file that cannot be used never stops the stage; it is returned with a `Rejection`.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile, is_safe, kinds, list_files, radiographs_in
from bone_age_tf.preprocessing.conversion import READ_FORMATS
from bone_age_tf.preprocessing.rejections import Rejection

FILES_IN_PARALLEL = 16
"""Files that are prepared, and held in memory, at the same time."""


class Readable(Protocol):
    """A `SourceFile`, or an object that is read like one."""

    @property
    def name(self) -> str:
        """Of the file."""
        ...

    def read(self) -> bytes:
        """Raises `InputDataError` where it cannot."""
        ...


File = TypeVar("File", bound=Readable)
Made = TypeVar("Made")


@dataclasses.dataclass(frozen=True)
class Radiograph(Generic[File, Made]):
    """The result for one file."""

    file: File
    encoded: bytes
    """Its content; empty where it was rejected before it was read."""
    made: Made | Rejection
    """What `prepare` made of it, or why it is rejected."""


def find_radiographs(paths: Sequence[str | Path]) -> list[SourceFile]:
    """The images of files, folders and zips, also of formats that are not read.

    Raises `InputDataError` where there are none.
    """
    files = [file for path in paths for file in radiographs_in(path)]
    if not files:
        others = kinds([file for path in paths for file in list_files(path)])
        raise InputDataError(
            f"No radiographs found in {', '.join(map(str, paths))}. Expected {READ_FORMATS} files, in "
            f"folders or zips. Received {others}."
        )
    return files


def read_radiograph(file: Readable) -> bytes | Rejection:
    """The file's bytes; rejects `unsafe_name` and `unreadable`."""
    if not is_safe(file.name):
        return Rejection("unsafe_name", "the name inside the zip points out of it")
    try:
        return file.read()
    except InputDataError as error:
        return Rejection("unreadable", str(error))


def prepare_file(
    file: File, prepare: Callable[[bytes], Made | Rejection]
) -> Radiograph[File, Made]:
    """Read a file and call `prepare` with its bytes; it may give a `Rejection`."""
    encoded = read_radiograph(file)
    if isinstance(encoded, Rejection):
        return Radiograph(file, b"", encoded)
    return Radiograph(file, encoded, prepare(encoded))


def prepare_files(
    files: Iterable[File],
    prepare: Callable[[bytes], Made | Rejection],
    *,
    rejected: Callable[[File], Rejection | None] = lambda file: None,
) -> Iterator[list[Radiograph[File, Made]]]:
    """The same of many, in their order, in lists of `FILES_IN_PARALLEL` that are prepared at the same time.

    `rejected` gives the reason why a file is not read at all. Memory does not grow with the number of files.
    """

    def one(file: File) -> Radiograph[File, Made]:
        known = rejected(file)
        return prepare_file(file, prepare) if known is None else Radiograph(file, b"", known)

    remaining = iter(files)
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(remaining, FILES_IN_PARALLEL)):
            yield list(pool.map(one, batch))
