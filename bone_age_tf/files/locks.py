"""Locks: one process at a time in a folder. The operating system releases the lock of a dead process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bone_age_tf.errors import EnvironmentFaultError


@contextlib.contextmanager
def held(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock file `path`; its folder is created if missing.

    Raises `EnvironmentFaultError` with the message `busy` if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise EnvironmentFaultError(busy) from error
    try:
        yield
    finally:
        lock.release()
