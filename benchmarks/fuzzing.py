"""Damaged radiographs through `predict`: every file must become a row with months or with a reason.

    python benchmarks/fuzzing.py --model saved_models/bone_age --count 10000

Mutants of synthetic radiographs in seven formats: bits and bytes changed, blocks removed, repeated or exchanged, files cut,
in half of the PNGs with checksums that hold, so that the damage reaches the decoder. `--seed` and its number decide
a mutant. They go through the command in groups, a process each. The table counts the rows; the exit code is 1
if a process died, a traceback was printed, a file has no row, or a row has neither months from 0 to 240 nor a reason.
"""

import argparse
import concurrent.futures
import io
import itertools
import math
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pydicom

from bone_age_tf.cli import SOME_REJECTED
from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom import dicom, draw
from bone_age_tf.files.formats import PNG, format_of

SIZE = 320
"""Pixels of the longer side of an original."""
FILES_IN_A_PROCESS = 250
MAX_MONTHS = 240
HEADER = 512
"""Every second change is in so many bytes from the start."""


def originals() -> dict[str, bytes]:
    """Ending of the file name -> whole file; all show the same hand."""
    picture, truth = draw(120, "F", np.random.default_rng(0), size=SIZE)
    deep = picture.astype(np.uint16) * 257
    colour = np.dstack([picture] * 3)
    config = PhantomConfig(output="", count=2)
    uncompressed = dicom.encode(config, 1, picture, truth)
    return {
        "8.png": _encoded(".png", picture),
        "16.png": _encoded(".png", deep),
        "grey.jpg": _encoded(".jpg", picture),
        "progressive.jpg": _encoded(".jpg", colour, (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)),
        "tif": _encoded(".tif", deep),
        "dcm": uncompressed,
        "rle.dcm": _compressed(uncompressed),
    }


def _encoded(ending: str, pixels: np.ndarray, options: tuple[int, ...] = ()) -> bytes:
    return cv2.imencode(ending, pixels, options)[1].tobytes()


def _compressed(encoded: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(encoded))
    dataset.compress(pydicom.uid.RLELossless)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


# === Mutants ===


def mutant(whole: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to eight changes."""
    changed = bytearray(whole)
    for _ in range(rng.integers(1, 9)):
        change = CHANGES[rng.integers(len(CHANGES))]
        end = min(len(changed), HEADER) if rng.random() < 0.5 else len(changed)
        at = int(rng.integers(end)) if end else 0
        change(changed, at, rng)
    if format_of(bytes(changed)) == PNG and rng.random() < 0.5:
        _repair_checksums(changed)
    return bytes(changed)


def _flip(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    changed[at : at + 1] = bytes(
        value ^ 1 << int(rng.integers(8)) for value in changed[at : at + 1]
    )


def _overwrite(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    count = min(int(rng.integers(1, 64)), len(changed) - at)
    changed[at : at + count] = rng.bytes(count)


def _extreme(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    """A length or a number becomes the smallest or the largest, in either byte order."""
    words = (b"\0", b"\xff", b"\0\0", b"\xff\xff", b"\0\0\0\0", b"\xff" * 4, b"\x7f\xff\xff\xff")
    word = words[rng.integers(len(words))]
    changed[at : at + len(word)] = word[: len(changed) - at]


def _remove(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    del changed[at : at + int(rng.integers(1, 256))]


def _repeat(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    changed[at:at] = changed[at : at + int(rng.integers(1, 256))]


def _exchange(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    other, count = int(rng.integers(len(changed) + 1)), int(rng.integers(1, 128))
    changed[at : at + count] = changed[other : other + count]


def _cut(changed: bytearray, at: int, rng: np.random.Generator) -> None:
    if rng.random() < 0.3:
        del changed[at:]


CHANGES: tuple[Callable[[bytearray, int, np.random.Generator], None], ...] = (
    *(_flip, _flip, _overwrite, _extreme, _remove, _repeat, _exchange, _cut),
)


def _repair_checksums(changed: bytearray) -> None:
    """The CRC of each chunk of a PNG, as far as their lengths lead."""
    at = 8
    while at + 12 <= len(changed):
        end = at + 12 + int.from_bytes(changed[at : at + 4], "big")
        if end > len(changed):
            return
        changed[end - 4 : end] = zlib.crc32(changed[at + 4 : end - 4]).to_bytes(4, "big")
        at = end


# === Through the command ===


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--processes", type=int, default=1)
    chosen = parser.parse_args()
    groups = itertools.batched if hasattr(itertools, "batched") else _batched
    numbers = range(chosen.first, chosen.first + chosen.count)
    rows: Counter[tuple[str, str]] = Counter()
    faults: list[str] = []
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(chosen.processes) as pool:
        run = lambda group: _predict(group, chosen.model, chosen.seed)  # noqa: E731
        for found, wrong in pool.map(run, groups(numbers, FILES_IN_A_PROCESS)):
            rows += found
            faults += wrong
            print(f"{sum(rows.values())} rows, {len(faults)} wrong", file=sys.stderr, flush=True)
    _show(rows, faults, time.monotonic() - began)
    sys.exit(bool(faults))


def _batched(numbers: range, size: int) -> Iterator[tuple[int, ...]]:
    """`itertools.batched` of Python 3.12."""
    for first in range(0, len(numbers), size):
        yield tuple(numbers[first : first + size])


def _predict(
    numbers: tuple[int, ...], model: str, seed: int
) -> tuple[Counter[tuple[str, str]], list[str]]:
    """How many rows there are of each format and outcome, and what is wrong with them."""
    with tempfile.TemporaryDirectory() as work:
        folder, output = Path(work) / "files", Path(work) / "out"
        folder.mkdir()
        endings = list(ORIGINALS)
        for number in numbers:
            ending = endings[number % len(endings)]
            content = mutant(ORIGINALS[ending], np.random.default_rng((seed, number)))
            (folder / f"{number}.{ending}").write_bytes(content)
        command = [sys.executable, "-m", "bone_age_tf", "predict", str(folder), "--quiet"]
        command += ["--model", model, "--sex", "F", "--output", str(output)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        group = f"mutants {numbers[0]} to {numbers[-1]}"
        if done.returncode not in (0, SOME_REJECTED) or "Traceback" in done.stderr:
            return Counter(), [f"{group}: exit code {done.returncode}\n{done.stderr[-2000:]}"]
        table = pd.read_csv(output / "predictions.csv", dtype=str, keep_default_na=False)
        faults = [f"{row.file}: {wrong}" for row in table.itertuples() if (wrong := _fault(row))]
        if sorted(table["file"]) != sorted(path.name for path in folder.iterdir()):
            faults.append(f"{group}: {len(table)} rows for {len(numbers)} files")
        kinds = table["file"].str.split(".", n=1).str[1]
        reasons = table["reason"].str.split(":", n=1).str[0]
        outcomes = reasons.where(table["status"] == "rejected", "months")
        return Counter(zip(kinds, outcomes, strict=True)), faults


def _fault(row: "pd.Series[str]") -> str:
    """What is wrong with a row; empty where nothing is."""
    months = (row.bone_age_months, row.bone_age_low_months, row.bone_age_high_months)
    if row.status == "rejected":
        return "" if row.reason and not any(months) else "rejected without a reason, or with months"
    is_number = months[0] != "" and math.isfinite(float(months[0]))
    return "" if is_number and 0 <= float(months[0]) <= MAX_MONTHS else f"months {months[0]!r}"


def _show(rows: Counter[tuple[str, str]], faults: list[str], seconds: float) -> None:
    outcomes = sorted({outcome for _, outcome in rows}, key=lambda name: (name != "months", name))
    table = pd.DataFrame(
        [[rows[ending, outcome] for ending in ORIGINALS] for outcome in outcomes],
        outcomes,
        [*ORIGINALS],
    )
    print(table.to_string())
    print(f"{sum(rows.values())} rows in {seconds:.0f} s; wrong: {len(faults)}")
    print("\n".join(faults))


ORIGINALS = originals()

if __name__ == "__main__":
    main()
