"""Throughput of `prepare` against decoding alone and against plain OpenCV, on the same files.

Two threads each, interleaved rounds in one run. Decoding: TensorFlow's decoder, as `prepare` uses it. OpenCV: read,
decode, resize (area) to 520 x 400, encode; no file checks, no localization, no contrast normalization. Then the
time of each preprocessing step with one thread, as the difference between graphs with one more step each.

    python benchmarks/prepare_speed.py FOLDER_OF_PNG [--rounds 5]
"""

import argparse
import functools
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data.labels import LabelRow
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.shards import PNG_COMPRESSION, ShardTask, write_shard
from bone_age_tf.files.images import SourceFile
from bone_age_tf.preprocessing import decoding as radiograph
from bone_age_tf.preprocessing.preprocessor import Preprocessor, graph_of
from bone_age_tf.sex import Sex

THREADS = 2


def with_opencv(paths: list[Path]) -> None:
    """Read, resize and encode with OpenCV."""

    def one(path: Path) -> int:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        small = cv2.resize(image, (400, 520), interpolation=cv2.INTER_AREA)
        return len(cv2.imencode(".png", small)[1])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, paths))


def with_prepare(paths: list[Path], method: str) -> None:
    """Write shards as `prepare` does, one shard per thread."""
    config = PreprocessingConfig(method=method)
    rows = [
        CheckedRow(LabelRow(str(n), Sex.F, 100.0, "", n), SourceFile(path.name, str(path)), None)
        for n, path in enumerate(paths)
    ]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(THREADS) as pool:
        tasks = [
            ShardTask("train", f"{n}.tfrecord", folder, tuple(rows[n::THREADS]), config)
            for n in range(THREADS)
        ]
        list(pool.map(write_shard, tasks))


def with_decoding_alone(paths: list[Path]) -> None:
    """Read and decode only: the lower bound of the time."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda path: _decode(path.read_bytes()), paths))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def _decode(encoded: tf.Tensor) -> tf.Tensor:
    return tf.shape(radiograph.decode(encoded))


def parts(paths: list[Path]) -> None:
    """Print the time of each step of `registered` in milliseconds, with one thread."""
    preprocessor = Preprocessor(PreprocessingConfig())

    def examined(encoded: tf.Tensor) -> tuple[tf.Tensor, ...]:
        found, _ = preprocessor.examine(radiograph.decode(encoded))
        return found.status, found.hand.points, found.hand.found.mask

    def encoded_again(encoded: tf.Tensor) -> tf.Tensor:
        return tf.io.encode_png(preprocessor(encoded).image, compression=PNG_COMPRESSION)

    graphs = {
        "decode": _decode,
        "pyramid, localizer (2 passes), quality": graph_of(examined),
        "warp, contrast, mask": preprocessor.graph,
        "encode": graph_of(encoded_again),
    }
    files = [path.read_bytes() for path in paths[:48]]
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for encoded in [files[0], *files]:
        for name, graph in graphs.items():
            start = time.perf_counter()
            graph(encoded)
            times[name].append(time.perf_counter() - start)
    before = 0.0
    for name, values in times.items():
        median = 1000 * statistics.median(values[1:])
        print(f"{name:40s} {median - before:6.1f} ms")
        before = median


def main() -> None:
    """Print images/s (median over the rounds), and the time relative to decoding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    paths = sorted(arguments.folder.glob("*.png"))
    paths *= max(1, 64 // len(paths))
    cv2.setNumThreads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    candidates = {
        "decode alone": with_decoding_alone,
        "OpenCV": with_opencv,
        "letterbox": functools.partial(with_prepare, method="letterbox"),
        "registered": functools.partial(with_prepare, method="registered"),
    }
    for candidate in candidates.values():
        candidate(paths[:THREADS])
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(arguments.rounds):
        for name, candidate in candidates.items():
            start = time.perf_counter()
            candidate(paths)
            rates[name].append(len(paths) / (time.perf_counter() - start))
    sizes = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED).shape for path in sorted(set(paths))]
    print(f"{len(paths)} files, median size {np.median([s[0] * s[1] for s in sizes]) / 1e6:.1f} MP")
    alone = rates["decode alone"]
    for name, values in rates.items():
        median = statistics.median(values)
        ratio = statistics.median(a / b for a, b in zip(alone, values, strict=True))
        print(f"{name:14s} {median:7.1f} images/s   {ratio:5.2f} x decoding")
    parts(paths)


if __name__ == "__main__":
    main()
