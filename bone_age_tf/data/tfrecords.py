"""Random access to the records of TFRecord files.

A TFRecord file is a sequence of: length (uint64), checksum (uint32), record, checksum (uint32). The
offsets of the records are determined once; then each is read by its number, in any order. The checksums
are not verified: the files' sha256 were compared with the manifest when the data set was opened.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_HEADER = 12
_FOOTER = 4


class RecordFiles:
    """The records of several files, numbered consecutively. Calls from several threads are safe."""

    def __init__(self, paths: Sequence[Path], *, in_memory: bool = False) -> None:
        """`in_memory`: keep the files' content instead of reading from the disk each time."""
        self._contents = [path.read_bytes() for path in paths] if in_memory else []
        self._files = [] if in_memory else [path.open("rb", buffering=0) for path in paths]
        found = [_records(path) for path in paths]
        self._offsets = [
            (file, start, size) for file, offsets in enumerate(found) for start, size in offsets
        ]
        self.first = np.cumsum([0, *map(len, found)])[:-1]
        """Number of each file's first record, int [files]."""

    def __len__(self) -> int:
        return len(self._offsets)

    def read(self, numbers: np.ndarray) -> np.ndarray:
        """The serialized records with these numbers (int [N]): bytes objects, [N]."""
        records = np.empty(len(numbers), object)
        for row, number in enumerate(numbers):
            file, start, size = self._offsets[number]
            if self._contents:
                records[row] = self._contents[file][start : start + size]
            else:
                records[row] = os.pread(self._files[file].fileno(), size, start)
        return records


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """A selection of the records of several files, in file order, with everything but the images."""

    paths: tuple[Path, ...]
    """The files."""
    sizes: tuple[int, ...]
    """Records in each file, chosen or not."""
    numbers: np.ndarray
    """Number of each chosen record in `RecordFiles(paths)`, int [n], ascending."""
    ids: tuple[str, ...]
    """Identifiers, n."""
    sex: np.ndarray
    """`sex.Sex`, int [n]."""
    bone_age_months: np.ndarray
    """Labels, float64 [n]; NaN where there is none."""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def positions(self) -> np.ndarray:
        """File, and record of the file, of each chosen record, int [n, 2]."""
        ends = np.cumsum(self.sizes)
        files = np.searchsorted(ends, self.numbers, side="right")
        return np.stack([files, self.numbers - (ends - self.sizes)[files]], axis=1)

    def chosen(self, mask: np.ndarray) -> "Records":
        """Those for which `mask`, bool [n], is true."""
        return dataclasses.replace(
            self,
            numbers=self.numbers[mask],
            ids=tuple(one for one, keep in zip(self.ids, mask, strict=True) if keep),
            sex=self.sex[mask],
            bone_age_months=self.bone_age_months[mask],
        )


def _records(path: Path) -> list[tuple[int, int]]:
    """Offset and size in bytes of each record."""
    end = path.stat().st_size
    found = []
    with path.open("rb") as stream:
        position = 0
        while position < end:
            stream.seek(position)
            size = int.from_bytes(stream.read(8), "little")
            found.append((position + _HEADER, size))
            position += _HEADER + size + _FOOTER
    return found
