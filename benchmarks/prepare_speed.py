"""Radiographs per second of `prepare`'s shards against plain OpenCV on the same files.

Both read, decode, resize to 520 x 400 and encode as PNG with two threads, in turns in one run.
OpenCV: imread, resize (area), imencode; no guard, no polarity check, no intensity stretch.

    python benchmarks/prepare_speed.py FOLDER_OF_PNG [--rounds 5]
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.shards import ShardTask, write_shard
from bone_age_tf.image_files import SourceFile
from bone_age_tf.labels import LabelRow
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.record import Sex

THREADS = 2


def with_opencv(paths: list[Path]) -> None:
    """Read, resize, encode, and nothing else."""

    def one(path: Path) -> int:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        small = cv2.resize(image, (400, 520), interpolation=cv2.INTER_AREA)
        return len(cv2.imencode(".png", small)[1])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, paths))


def with_prepare(paths: list[Path]) -> None:
    """What `prepare` does for a shard: one shard a thread."""
    rows = [
        CheckedRow(LabelRow(str(n), Sex.F, 100.0, "", n), SourceFile(path.name, str(path)), None)
        for n, path in enumerate(paths)
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(THREADS) as pool:
        tasks = [
            ShardTask(
                "train", f"{n}.tfrecord", folder, tuple(rows[n::THREADS]), PreprocessingConfig()
            )
            for n in range(THREADS)
        ]
        list(pool.map(write_shard, tasks))


def with_decoding_alone(paths: list[Path]) -> None:
    """OpenCV's decoder and nothing else: the floor."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape, paths))


def main() -> None:
    """Print a table of images/s (median over the rounds) and the ratio to OpenCV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.png"))
    paths *= max(1, 64 // len(paths))
    cv2.setNumThreads(1)
    contenders = {
        "decode alone": with_decoding_alone,
        "OpenCV": with_opencv,
        "prepare": with_prepare,
    }
    pipeline.compiled(PreprocessingConfig())(paths[0].read_bytes())
    for contender in contenders.values():
        contender(paths[:THREADS])
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(arguments.rounds):
        for name, contender in contenders.items():
            start = time.perf_counter()
            contender(paths)
            rates[name].append(len(paths) / (time.perf_counter() - start))
    sizes = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in sorted(set(paths))]
    print(f"{len(paths)} files, median size {np.median([s[0] * s[1] for s in sizes]) / 1e6:.1f} MP")
    opencv = statistics.median(rates["OpenCV"])
    for name, values in rates.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(values, rates["OpenCV"], strict=True))
        print(f"{name:14s} {median:7.1f} images/s   ratio {ratio:.2f}")
    print(
        f"OpenCV's own spread: {min(rates['OpenCV']) / opencv:.2f} to {max(rates['OpenCV']) / opencv:.2f}"
    )


if __name__ == "__main__":
    main()
