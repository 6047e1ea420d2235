"""`learnt.txt`: which raw files a run or an exported model has learnt from, so that none of them judges it."""

from collections.abc import Iterable
from pathlib import Path

from bone_age_tf.data.manifest import write_text

LEARNT = "learnt.txt"
"""sha256 of every raw file that the weights have learnt from, those of first weights included."""
DIGITS = 16
"""Of each sha256, in an exported model: enough to tell radiographs apart, a quarter of the size."""


def read_learnt(folder: Path) -> frozenset[str] | None:
    """What a folder says that its weights have learnt from, in full or `DIGITS` of each; None: it does not say."""
    path = folder / LEARNT
    return frozenset(path.read_text(encoding="utf-8").split()) if path.is_file() else None


def write_learnt(folder: Path, files: Iterable[str], digits: int | None = None) -> None:
    """Note the sha256 of raw files, or so many digits of each."""
    write_text(folder / LEARNT, "\n".join(sorted(digest[:digits] for digest in files)) + "\n")


def known_files(files: Iterable[str], learnt: frozenset[str] | None) -> frozenset[str]:
    """Those of `files`, sha256 of raw files, that are among `learnt`."""
    there = {digest[:DIGITS] for digest in learnt or ()}
    return frozenset(digest for digest in files if digest[:DIGITS] in there)
