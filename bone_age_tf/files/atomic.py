"""Atomic writes: after a kill, a file has either its old content or its new content."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text atomically."""
    with written_whole(path) as stream:
        stream.write(text)


@contextlib.contextmanager
def written_whole(path: Path, mode: str = "w", *, private: bool = False) -> Iterator[Any]:
    """A stream to a file that replaces `path`, synced to disk, if the block ends without an error.

    A `private` file can be read by its owner alone. An `OSError` names the file and the bytes that were written.
    """
    aside = path.with_name(
        f".{path.name}.writing"
    )  # a leftover of a kill is overwritten by the next write
    is_binary = "b" in mode
    if private:
        aside.unlink(missing_ok=True)  # that leftover may be readable by others
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with aside.open(
            mode, encoding=None if is_binary else "utf-8", newline=None if is_binary else ""
        ) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        text = f"{error.strerror} after {aside.stat().st_size:,} bytes"
        raise OSError(error.errno, text, str(path)) from error
    finally:
        aside.unlink(missing_ok=True)
