"""Near-duplicates: the same radiograph in files that differ, as after another compression, size or brightness.

A difference hash tells for each of 16 x 16 cells whether it is darker than its right neighbour. It has 256 bits, since
registered or not, left hands lie alike: with the usual 64 bits, different children come as close as copies of one
radiograph do. `docs/data.md` has the measurement.
"""

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.files.atomic import write_text

NEAR_DUPLICATES = "near_duplicates.csv"
"""The file that lists the pairs, in the folder of the data set."""
MAX_DISTANCE = 12
"""Bits in which copies of one radiograph may differ; the nearest two of 959 different children differ in 24."""
MAX_COMPARED = 50_000
"""Files that are decoded for it; of more, the comparison of all with all and the decoding take too long."""

_SIDE = 16
_WORDS = _SIDE * _SIDE // 64
_BLOCK = 32  # rows compared at once with all that follow


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two radiographs that look the same."""

    first: CheckedRow
    second: CheckedRow
    distance: int
    """Bits of the hash that differ."""


def difference_hash(encoded: bytes) -> bytes:
    """32 bytes for the bytes of a PNG or JPEG; empty where it cannot be decoded or is blank."""
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    if picture is None:
        return b""
    size = (_SIDE + 1, _SIDE)
    cells = cv2.resize(picture.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    cells = cells.round(2)  # where all is black or white, rounding errors of the sums would decide
    bits = cells[:, 1:] > cells[:, :-1]
    return np.packbits(bits).tobytes() if bits.any() else b""


def near_duplicates(rows: Sequence[CheckedRow]) -> list[Pair]:
    """Every pair that looks the same, among those that have a hash."""
    hashed = [row for row in rows if row.difference_hash]
    words = np.frombuffer(b"".join(row.difference_hash for row in hashed), np.uint64)
    pairs = _close(words.reshape(-1, _WORDS))
    return [Pair(hashed[one], hashed[other], distance) for one, other, distance in pairs]


def _close(words: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Numbers and distance of the pairs of uint64 [n, words] that are at most `MAX_DISTANCE` bits apart."""
    for start in range(0, len(words), _BLOCK):
        block, rest = words[start : start + _BLOCK], words[start:]
        bits = np.bitwise_count(block[:, None] ^ rest[None]).sum(-1, dtype=np.uint16)
        ones, others = np.nonzero(np.triu(bits <= MAX_DISTANCE, 1))
        for one, other in zip(ones.tolist(), others.tolist(), strict=True):
            yield start + one, start + other, int(bits[one, other])


def kept_together(rows: Sequence[CheckedRow], pairs: Sequence[Pair]) -> list[CheckedRow]:
    """The rows, with one group for all that look the same and for the patients they belong to.

    A group is named by the patients in it, or by the first of the radiographs.
    """
    if not pairs:
        return list(rows)
    parts = _connected(rows, pairs)
    paired = {parts[row.id] for pair in pairs for row in (pair.first, pair.second)}
    names: dict[int, set[str]] = {part: set() for part in paired}
    for row in rows:
        if parts[row.id] in paired:
            names[parts[row.id]].add(row.label.group)
    first = {parts[row.id]: row.id for row in sorted(rows, key=lambda row: row.id, reverse=True)}

    def regrouped(row: CheckedRow) -> CheckedRow:
        part = parts[row.id]
        if part not in paired:
            return row
        group = "+".join(sorted(names[part] - {""})) or f"near-duplicates of {first[part]}"
        return dataclasses.replace(row, label=dataclasses.replace(row.label, group=group))

    return [regrouped(row) for row in rows]


def _connected(rows: Sequence[CheckedRow], pairs: Sequence[Pair]) -> dict[str, int]:
    """Identifier -> number of what is connected by looks or by the patient."""
    places = {row.id: place for place, row in enumerate(rows)}
    edges = [(places[pair.first.id], places[pair.second.id]) for pair in pairs]
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        if row.label.group:
            edges.append((first.setdefault(row.label.group, place), place))
    ones, others = zip(*edges, strict=True)
    graph = coo_array((np.ones(len(edges)), (ones, others)), (len(rows), len(rows)))
    parts = connected_components(graph, directed=False)[1]
    return {row.id: int(parts[place]) for row, place in zip(rows, range(len(rows)), strict=True)}


def warnings_of(
    rows: Sequence[CheckedRow], pairs: Sequence[Pair], splits: dict[str, str]
) -> Iterator[str]:
    """What a person should know of them: how many there are, and which are in two splits all the same."""
    if len(rows) > MAX_COMPARED:
        yield f"more than {MAX_COMPARED:,} radiographs: near-duplicates were not searched for"
    if pairs:
        yield (
            f"{_counted(pairs)} (near-duplicates, listed in {NEAR_DUPLICATES}), such as {_example(pairs[0])}. "
            "Those without a split in the table are kept together"
        )
    apart = [pair for pair in pairs if splits[pair.first.id] != splits[pair.second.id]]
    if apart:
        yield (
            f"{_counted(apart)} in two splits, by the table or the layout, such as {_example(apart[0])}: errors are "
            "optimistically biased (data leakage). Move or remove one of each"
        )


def _counted(pairs: Sequence[Pair]) -> str:
    return f"{len(pairs)} pairs of radiographs look the same" if len(pairs) > 1 else "1 pair of radiographs looks the same"  # fmt: skip


def _example(pair: Pair) -> str:
    return f"{pair.first.id} and {pair.second.id}"


def write_near_duplicates(path: Path, pairs: Sequence[Pair], splits: dict[str, str]) -> None:
    """Write the pairs as CSV, or remove an earlier list where there are none."""
    if not pairs:
        path.unlink(missing_ok=True)
        return
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["id", "split", "other_id", "other_split", "different_bits"])
    for pair in pairs:
        one, other = pair.first.id, pair.second.id
        writer.writerow([one, splits[one], other, splits[other], pair.distance])
    write_text(path, stream.getvalue())
