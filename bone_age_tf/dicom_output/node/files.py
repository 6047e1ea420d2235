"""The folder of a spool and its files."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from bone_age_tf.errors import EnvironmentFaultError, UsageError

DATABASE = "spool.sqlite"
FILES = "files"
LOCK = ".lock"


def make_private_folder(folder: Path) -> None:
    """The folder of a spool, for its owner alone.

    Raises `UsageError` where it holds something else, and `EnvironmentFaultError` where it cannot be made or used.
    """
    try:
        _make(folder)
    except OSError as error:
        raise EnvironmentFaultError(
            f"{folder}: the folder of the spool cannot be made or used ({error.strerror}). It must belong to the user "
            "that runs the node. Change its owner, or name another folder."
        ) from None


def _make(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    others = {path.name for path in folder.iterdir()} - {LOCK, FILES, "lost+found"}
    if others and DATABASE not in others:
        raise UsageError(
            f"{folder}: expected an empty folder, or the spool of a dicom-node. Received one that holds other files. "
            "Name another folder."
        )
    folder.chmod(0o700)


def name_of(kind: str, *parts: bytes) -> str:
    """The name of a file: a hash, so that nothing from the network is part of a path."""
    digest = hashlib.sha256(kind.encode())
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"{digest.hexdigest()}.dcm"


def write_synced(path: Path, encoded: bytes) -> None:
    """A new file for its owner alone, on the disk when this returns."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with path.open("wb") as stream:
        stream.write(encoded)
        stream.flush()
        os.fsync(stream.fileno())


def rename_synced(asides: Mapping[str, Path], folder: Path) -> None:
    """Give files their names in the folder; the names are on the disk when this returns."""
    for name, aside in asides.items():
        aside.replace(folder / name)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
