"""Throughput of the input pipeline alone, against gathering raw pixels from memory.

    python benchmarks/input_speed.py [--sizes 299x299 500x375] [--rounds 5]

The data sets are those of `training_speed.py`. The variants are interleaved; a round is one epoch of 1,024
radiographs in batches of 16. "memory": tf.data gathers uint8 batches from one array. "bytes": reading
and parsing the records, without decoding. "batches": augmented training batches.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from training_speed import data_set, radiographs

from bone_age_tf import record
from bone_age_tf.config import AugmentationConfig, TrainConfig
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.input_pipeline import TrainingBatches

BATCH = 16

Epoch = Callable[[int], tf.data.Dataset]


def variants(rows: int, columns: int, folder: Path) -> dict[str, Epoch]:
    """Name -> function from epoch number to batches."""
    pixels = radiographs(rows, columns)
    found: dict[str, Epoch] = {"memory": lambda number: _from_memory(pixels)}
    for encoding in ("png", "raw"):
        (folder / encoding).mkdir()
        data = data_set(pixels, encoding, folder / encoding)
        settings = TrainConfig(batch_size=BATCH)
        batches = TrainingBatches(data, data.records("train"), AugmentationConfig(), settings)
        found[f"{encoding}, bytes"] = lambda number, data=data: _parsed(data)
        found[f"{encoding}, decoded"] = lambda number, data=data: _parsed(data, decode=True)
        found[f"{encoding}, batches"] = batches.epoch
    return found


def _from_memory(pixels: np.ndarray) -> tf.data.Dataset:
    images = tf.constant(pixels[..., np.newaxis])
    order = np.random.default_rng(0).integers(0, len(pixels), (1024 // BATCH, BATCH))
    rows = tf.data.Dataset.from_tensor_slices(order)
    return rows.map(lambda row: tf.gather(images, row), tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _parsed(data: PreparedRadiographs, *, decode: bool = False) -> tf.data.Dataset:
    records = tf.data.TFRecordDataset([str(path) for path in data.paths("train")]).batch(BATCH)
    step = data.decode if decode else record.parse_batch
    return records.map(step, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def images_per_second(batches: tf.data.Dataset) -> float:
    """Images per second over one epoch, excluding the first batch."""
    iterator = iter(batches)
    next(iterator)
    start = time.perf_counter()
    count = sum(BATCH for _ in iterator)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Print a table of medians over the rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", nargs="+", default=["299x299", "500x375"], metavar="ROWSxCOLUMNS"
    )
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    for size in chosen.sizes:
        rows, columns = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as folder:
            epochs = variants(rows, columns, Path(folder))
            speeds: dict[str, list[float]] = {name: [] for name in epochs}
            for number in range(chosen.rounds):
                for name, epoch in epochs.items():
                    speeds[name].append(images_per_second(epoch(number)))
        ceiling = statistics.median(speeds["memory"])
        for name, found in speeds.items():
            speed = statistics.median(found)
            print(
                f"| {rows} x {columns} | {name} | {speed:.0f} | {speed / ceiling:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
