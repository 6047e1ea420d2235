"""Training throughput, TensorFlow against PyTorch: the same network, training step and augmentation.

Both are warmed up and measured in interleaved rounds, so that other load on the machine affects both alike. PyTorch
runs in a separate environment with torch, numpy and opencv-python-headless (`torch_inception.py`).

    python benchmarks/training_speed.py --torch-python TORCH_ENVIRONMENT/bin/python
        [--sizes 299x299 500x375] [--precisions float32 bfloat16] [--rounds 5] [--steps 5]

PyTorch reads raw pixels from memory, TensorFlow the records of a data set (`--encoding`), through the
training loop of `bone-age-tf` with averaged weights. Sizes are rows x columns. By default glibc returns memory to
the system after every step and allocates it again in the next. PyTorch runs with glibc configured to keep it, as its
tuning guide recommends for allocators; TensorFlow only with `--keep-memory`.
"""

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bone_age_tf.sex import Sex

HERE = Path(__file__).resolve().parent
THREADS = 2
RADIOGRAPHS = 64
REPEATS = 16
UNTIMED_STEPS = 3
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_TOP_PAD_": str(2**28),
}
"""glibc settings: large blocks are allocated on the heap, too, and the heap does not shrink."""

Round = dict[str, float]
"""`images_per_second`, `waiting_share` (share of the time spent waiting for data), `peak_mb`."""


# === TensorFlow: one process, one round per line of standard input ===


def data_set(pixels: np.ndarray, encoding: str, folder: Path) -> Any:
    """A data set with the images repeated `REPEATS` times, at their own size."""
    import tensorflow as tf

    from bone_age_tf import record
    from bone_age_tf.config import PreprocessingConfig
    from bone_age_tf.data.dataset import PreparedRadiographs
    from bone_age_tf.data.manifest import DataSetManifest, Shard

    class OfAnySize(PreparedRadiographs):
        frame = pixels.shape[1:]

    encode = {"raw": bytes, "png": lambda picture: tf.io.encode_png(picture, 1).numpy()}[encoding]
    encoded = [encode(picture[..., np.newaxis]) for picture in pixels]
    rows = len(encoded) * REPEATS
    with tf.io.TFRecordWriter(str(folder / "shard")) as writer:
        for row in range(rows):
            sex, months = Sex(row % 2), 20.0 + row % 200
            image = encoded[row % len(encoded)]
            writer.write(
                record.serialize(id=str(row), image=image, sex=sex, bone_age_months=months)
            )
    size = (folder / "shard").stat().st_size
    manifest = DataSetManifest(
        fingerprint="",
        preprocessing=PreprocessingConfig(),
        shards=(Shard("shard", size, "", "train", rows),),
        labels={},
        plan="",
        config={"encoding": encoding},
        source={},
        rejects=(),
    )
    return OfAnySize(folder, manifest)


def tensorflow_rounds(
    pixels: np.ndarray, precision: str, batch_size: int, encoding: str, folder: Path
) -> Callable[[int], tuple[float, float]]:
    """Warm up. Returns a function: number of steps -> total seconds, seconds spent waiting for data.

    The training loop of `bone-age-tf`: augmentation, averaged weights, AdamW.
    """
    from bone_age_tf.config import AugmentationConfig, ModelConfig, TrainConfig
    from bone_age_tf.data.input_pipeline import TrainingBatches
    from bone_age_tf.models.bone_age_model import build_bone_age_model
    from bone_age_tf.training.loop import Loop
    from bone_age_tf.training.objectives import BoneAgeObjective
    from bone_age_tf.training.optimizer import make_optimizer
    from bone_age_tf.training.preemption import StopRequest
    from bone_age_tf.training.strategy import choose_devices

    settings = TrainConfig(batch_size=batch_size, learning_rate=1e-4)
    dtype = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    data = data_set(pixels, encoding, folder)
    batches = TrainingBatches(data, data.records("train"), AugmentationConfig(), settings)
    model = build_bone_age_model(
        ModelConfig(age_mean_months=127.0, age_sd_months=41.0), data.frame, precision=dtype
    )
    rates = [1.0] * len(model.trainable_variables)
    optimizer = make_optimizer(settings, 10_000, dtype, rates)
    optimizer.build(model.trainable_variables)
    engine = Loop(
        model=model,
        optimizer=optimizer,
        devices=choose_devices(),
        settings=settings,
        batches=batches,
        objective=BoneAgeObjective(41.0),
        validation=None,
        validation_count=0,
        backbone=None,
        folder=folder,
    )
    epochs = itertools.count()
    iterator = engine.devices.iterate(lambda: batches.epoch(next(epochs)))
    left = batches.steps

    def round_of(steps: int) -> tuple[float, float]:
        nonlocal iterator, left
        if left < steps:
            iterator = engine.devices.iterate(lambda: batches.epoch(next(epochs)))
            left = batches.steps
        left -= steps
        start = time.perf_counter()
        waiting = sum(engine.steps(iterator, 1, StopRequest())[0, 2] for _ in range(steps))
        return time.perf_counter() - start, waiting

    round_of(UNTIMED_STEPS)
    return round_of


def tensorflow_side(pixels: Path, precision: str, batch_size: int, encoding: str) -> None:
    """Same input and output lines as `torch_inception.py`."""
    from importlib.metadata import version

    with tempfile.TemporaryDirectory() as folder:
        round_of = tensorflow_rounds(np.load(pixels), precision, batch_size, encoding, Path(folder))
        print(json.dumps({"ready": f"TensorFlow {version('tensorflow')}"}), flush=True)
        for line in sys.stdin:
            round_of(1)
            seconds, waiting = round_of(int(line))
            result: Round = {
                "images_per_second": int(line) * batch_size / seconds,
                "waiting_share": waiting / seconds,
                "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
            print(json.dumps(result), flush=True)


# === Driver ===


class Side:
    """A benchmark process that is started once and runs a round on request."""

    def __init__(self, command: list[str], keep_memory: bool) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, **(KEEP_MEMORY if keep_memory else {})},
        )
        self.name = str(self._answer()["ready"])

    def round(self, steps: int) -> Round:
        """Run one round while the other process is idle."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        return self._answer()

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> Round:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"A benchmark process ended with status {self._process.wait()}.")
        return json.loads(line)


def radiographs(rows: int, columns: int) -> np.ndarray:
    """Smooth noise, uint8 [RADIOGRAPHS, rows, columns]; the time does not depend on the image content."""
    import cv2

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (RADIOGRAPHS, rows // 8, columns // 8), dtype=np.uint8)
    return np.stack([cv2.resize(picture, (columns, rows)) for picture in coarse])


def compare(arguments: argparse.Namespace, size: str, precision: str, folder: Path) -> str:
    """Run all rounds of one size and precision; returns a row of the table."""
    rows, columns = map(int, size.split("x"))
    pixels = folder / f"{size}.npy"
    if not pixels.exists():
        np.save(pixels, radiographs(rows, columns))
    common = [str(pixels), "--precision", precision, "--batch", str(arguments.batch)]
    ours = [sys.executable, str(Path(__file__).resolve()), "--side", "tf", "--pixels", *common]
    ours += ["--encoding", arguments.encoding]
    theirs = [arguments.torch_python, str(HERE / "torch_inception.py"), *common]
    theirs += ["--threads", str(THREADS), "--workers", str(arguments.workers)]
    theirs += ["--compile"] * arguments.torch_compile
    sides = {"tf": Side(ours, arguments.keep_memory), "torch": Side(theirs, True)}
    results: dict[str, list[Round]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, side in sides.items():
            results[name].append(side.round(arguments.steps))
            print(f"{size} {precision} {side.name}: {results[name][-1]}", file=sys.stderr)
    for side in sides.values():
        side.stop()

    def median(name: str, number: str) -> float:
        return statistics.median(result[number] for result in results[name])

    ratios = [
        a["images_per_second"] / b["images_per_second"]
        for a, b in zip(results["tf"], results["torch"], strict=True)
    ]
    return " | ".join(
        [
            f"| {rows} x {columns}, {precision}, {arguments.encoding}",
            *(f"{median(name, 'images_per_second'):.2f}" for name in sides),
            f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]",
            ", ".join(f"{100 * median(name, 'waiting_share'):.1f} %" for name in sides),
            ", ".join(f"{median(name, 'peak_mb'):.0f}" for name in sides) + " |",
        ]
    )


def main() -> None:
    """Print a table: medians over the rounds, and TensorFlow / PyTorch per round [min, max]."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", help="Python interpreter with torch, numpy and cv2")
    parser.add_argument("--sizes", nargs="+", default=["299x299"], metavar="ROWSxCOLUMNS")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=5, help="timed steps per round")
    parser.add_argument(
        "--workers", type=int, default=1, help="worker processes of PyTorch's DataLoader"
    )
    parser.add_argument("--torch-compile", action="store_true")
    parser.add_argument(
        "--keep-memory",
        action="store_true",
        help="configure glibc to keep memory for TensorFlow, too",
    )
    parser.add_argument(
        "--encoding", choices=("png", "raw"), default="png", help="encoding of TensorFlow's records"
    )
    parser.add_argument("--side", choices=("tf",), help=argparse.SUPPRESS)
    parser.add_argument("--pixels", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        tensorflow_side(arguments.pixels, arguments.precision, arguments.batch, arguments.encoding)
        return
    if not arguments.torch_python:
        parser.error("--torch-python is required: a Python interpreter with torch, numpy and cv2")
    print("| | TensorFlow, images/s | PyTorch | ratio | waiting | peak, MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in arguments.sizes:
            for precision in arguments.precisions:
                print(compare(arguments, size, precision, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
