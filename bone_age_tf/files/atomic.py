"""Files that appear whole: a kill leaves the old one or the new one, never a part."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    write_text(path, json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text so that the file is either the old one or the whole new one."""
    with written_whole(path) as stream:
        stream.write(text)


@contextlib.contextmanager
def written_whole(path: Path, mode: str = "w") -> Iterator[Any]:
    """A stream to a file that appears, whole and on the disk, when the block ends well."""
    aside = path.with_name(f".{path.name}.writing")  # what a kill leaves, the next one replaces
    is_binary = "b" in mode
    try:
        with aside.open(
            mode, encoding=None if is_binary else "utf-8", newline=None if is_binary else ""
        ) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
