"""The versions of an exported model: `saved_models/NAME/1`, `saved_models/NAME/2`, ..."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import UsageError


def latest_version(path: Path) -> Path:
    """`saved_models/NAME` -> the folder of its highest version; the folder of a version is returned unchanged."""
    if (path / MANIFEST).is_file() or not path.is_dir():
        return path
    numbers = version_numbers(path)
    return path / str(max(numbers)) if numbers else path


def version_numbers(base: Path) -> list[int]:
    """Those that are there."""
    return [int(child.name) for child in base.iterdir() if child.name.isdigit()]


@contextlib.contextmanager
def new_version(output: str | Path, version: int | None) -> Iterator[tuple[Path, Path]]:
    """A temporary folder to write to, renamed to `output/<version>` when the block exits without an error.

    A server that watches `output` never sees half a model. Raises `UsageError` where the version is
    there already; None: one above the highest there is.
    """
    base = Path(output)
    base.mkdir(parents=True, exist_ok=True)
    target = base / str(version or (max(version_numbers(base), default=0) + 1))
    if target.exists():
        raise UsageError(f"{target} exists already. Choose another --version.")
    aside = base / f".writing-{target.name}"  # leftovers of a killed process are replaced
    shutil.rmtree(aside, ignore_errors=True)
    try:
        yield aside, target
        _to_disk(aside)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _to_disk(folder: Path) -> None:
    """Make sure that all of a folder has reached the disk."""
    for path in [folder, *folder.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
