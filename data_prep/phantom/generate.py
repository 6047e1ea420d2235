"""A folder of synthetic radiographs in Kaggle's layout, which `prepare` reads, with their ground truth.

| file                                | what                                                             |
|-------------------------------------|------------------------------------------------------------------|
| `boneage-training-dataset.csv`      | id, boneage (months), male                                       |
| `boneage-training-dataset/ID.png`   | the radiographs; `ID.dcm` as DICOM (`dicom.encode`)              |
| `truth/masks/ID.png`                | 255 hand and forearm, not where collimation hides them           |
| `truth/bones/ID.png`                | label of the bone under each pixel; names in `truth/bones.csv`   |
| `truth/key_points.csv`              | id, point, x, y in pixels (x = column), tips, joints and wrist   |
| `truth/radiographs.csv`             | how each was taken: rotation, mirroring, inversion, spacing, ... |
| `phantom.json`                      | settings and versions; `finished` when everything is written     |

A radiograph is a pure function of the settings and its number, so the files do not depend on the
processes. An interrupted command starts again and ends with the same bytes.
"""

import contextlib
import csv
import dataclasses
import io
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bone_age_tf import __version__
from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom import dicom, maturation
from bone_age_tf.data_prep.phantom.draw import Truth, draw
from bone_age_tf.data_prep.phantom.skeleton import ALL_BONES
from bone_age_tf.errors import EnvironmentFaultError, InterruptedBySignalError, UsageError
from bone_age_tf.files import locks
from bone_age_tf.files.atomic import write_json, write_text, written_whole

DESCRIPTION = "phantom.json"
LOCK = ".lock"
IMAGES = "boneage-training-dataset"
FOLDERS = (IMAGES, "truth/masks", "truth/bones")
TABLES = (f"{IMAGES}.csv", "truth/key_points.csv", "truth/radiographs.csv", "truth/bones.csv")
README = """These radiographs are synthetic (phantoms). No child was radiographed for them.

bone-age-tf rendered them for tests, demonstrations and the training of localizers. They follow published
ages of ossification approximately: results on them do not estimate the performance on real radiographs.
"""
RADIOGRAPHS_PER_TASK = 8


@dataclasses.dataclass(frozen=True)
class PhantomReport:
    """Result of `write_phantoms`."""

    counts: dict[str, int]
    """Radiographs of each sex."""
    already_complete: bool = False


def write_phantoms(
    config: PhantomConfig, *, on_progress: Callable[[str, int, int], None] | None = None
) -> PhantomReport:
    """Write the radiographs that `config` describes.

    `on_progress("draw", done, total)` is called as they are finished. Raises `UsageError` where the
    folder holds anything else, `EnvironmentFaultError` where another process writes into it, a
    process of ours is killed or pydicom is missing, `InterruptedBySignalError` on SIGINT and SIGTERM.
    """
    if config.format == "dicom":
        dicom.require_pydicom()
    notify = on_progress or (lambda stage, done, total: None)
    output = Path(config.output)
    _require_empty_or_same(output, config)
    busy = f"{output}: another process is writing into this folder. Wait for it, or choose another."
    with locks.held(output / LOCK, busy):
        if _is_complete(output, config):
            return PhantomReport(_count(output), already_complete=True)
        write_json(output / DESCRIPTION, _description(config, finished=False))
        for folder in FOLDERS:
            (output / folder).mkdir(parents=True, exist_ok=True)
        write_text(output / "README.txt", README)
        notify("draw", 0, config.count)
        rows: list[dict[str, Any]] = []
        try:
            with _sigterm_raises():
                for row in _write_all(config):
                    rows.append(row)
                    notify("draw", len(rows), config.count)
        except KeyboardInterrupt as error:
            raise _interrupted(signal.SIGINT) from error
        _write_tables(output, rows)
        write_json(output / DESCRIPTION, _description(config, finished=True))
    return PhantomReport(_count(output))


def _interrupted(number: int) -> InterruptedBySignalError:
    return InterruptedBySignalError(
        "stopped before all radiographs were written. The same command starts again and ends with the same files.",
        number,
    )


def draw_number(config: PhantomConfig, number: int) -> tuple[np.ndarray, Truth]:
    """Radiograph `number` (from 1) of a seed, and its truth."""
    rng = np.random.default_rng([config.seed, number])
    sex = "FM"[int(rng.integers(2))] if config.sex == "both" else config.sex
    bone_age = int(rng.integers(config.ages[0], config.ages[1] + 1))
    return draw(
        bone_age,
        sex,
        rng,
        size=config.size,
        style=config.style,
        with_bones=config.with_bones,
        out_of_plane_degrees=_out_of_plane(config, number),
    )


def _out_of_plane(config: PhantomConfig, number: int) -> float:
    """Degrees, to either side; from a generator of its own, so that the same children are drawn at any angle."""
    rng = np.random.default_rng([config.seed, number, 2])
    return float(rng.choice([-1, 1]) * rng.uniform(*config.out_of_plane))


def _write_all(config: PhantomConfig) -> Iterator[dict[str, Any]]:
    """Write every radiograph; yields its rows in order."""
    numbers = range(1, config.count + 1)
    groups = [
        numbers[i : i + RADIOGRAPHS_PER_TASK] for i in range(0, config.count, RADIOGRAPHS_PER_TASK)
    ]
    jobs = min(config.jobs or os.cpu_count() or 1, len(groups))
    if jobs == 1:
        for group in groups:
            yield from _write_group(config, group)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow's threads do not survive a fork
    pool = ProcessPoolExecutor(jobs, context, initializer=cv2.setNumThreads, initargs=(1,))
    try:
        for rows in pool.map(_write_group, [config] * len(groups), groups):
            yield from rows
    except BrokenProcessPool as error:
        raise EnvironmentFaultError(
            "A worker process was killed, perhaps for lack of memory. Use fewer --jobs."
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM raises an error in the block, so that no process is left running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _interrupted(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _write_group(config: PhantomConfig, numbers: Iterable[int]) -> list[dict[str, Any]]:
    return [_write_one(config, number) for number in numbers]


def _write_one(config: PhantomConfig, number: int) -> dict[str, Any]:
    radiograph, truth = draw_number(config, number)
    output, name = Path(config.output), f"{number}.png"
    if config.format == "dicom":
        _write(output / IMAGES / f"{number}.dcm", dicom.encode(config, number, radiograph, truth))
    else:
        _write_png(output / IMAGES / name, radiograph)
    _write_png(output / "truth" / "masks" / name, truth.mask)
    _write_png(output / "truth" / "bones" / name, truth.bones)
    return {
        "label": {
            "id": number,
            "boneage": round(truth.bone_age_months),
            "male": truth.sex == "M",
        },
        "points": [
            {"id": number, "point": point, "x": f"{x:.2f}", "y": f"{y:.2f}"}
            for point, (x, y) in truth.key_points.items()
        ],
        "radiograph": {
            "id": number,
            "bone_age_months": truth.bone_age_months,
            "sex": truth.sex,
            "height": radiograph.shape[0],
            "width": radiograph.shape[1],
            "pixel_spacing_mm": f"{truth.pixel_spacing_mm:.4f}",
            **_readable(truth),
        },
    }


def _readable(truth: Truth) -> dict[str, Any]:
    taken = dataclasses.asdict(truth.acquisition)
    taken["offset_x"], taken["offset_y"] = taken.pop("offset")
    return {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in taken.items()}


def _write_png(path: Path, pixels: np.ndarray) -> None:
    _, encoded = cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_COMPRESSION, 3))
    _write(path, encoded.tobytes())


def _write(path: Path, content: bytes) -> None:
    with written_whole(path, "wb") as stream:
        stream.write(content)


def _write_tables(output: Path, rows: list[dict[str, Any]]) -> None:
    points = [point for row in rows for point in row["points"]]
    names = [{"label": 1 + label, "name": name} for label, name in enumerate(ALL_BONES)]
    _write_csv(output / f"{IMAGES}.csv", [row["label"] for row in rows])
    _write_csv(output / "truth" / "key_points.csv", points)
    _write_csv(output / "truth" / "radiographs.csv", [row["radiograph"] for row in rows])
    _write_csv(output / "truth" / "bones.csv", names)


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _description(config: PhantomConfig, *, finished: bool) -> dict[str, Any]:
    settings = dataclasses.asdict(config)
    decisive = {k: v for k, v in settings.items() if k not in ("output", "jobs")}
    versions = {"bone_age_tf": __version__, "opencv": cv2.__version__, "numpy": np.__version__}
    return {
        "what": "synthetic radiographs (phantoms), not radiographs of children",
        "settings": {
            **decisive,
            "ages": list(config.ages),
            "out_of_plane": list(config.out_of_plane),
        },
        "maturation_sha256": maturation.table_sha256(),
        "versions": versions,
        "finished": finished,
    }


def _require_empty_or_same(output: Path, config: PhantomConfig) -> None:
    """Raises `UsageError` where the folder holds anything but these very phantoms."""
    if not output.is_dir() or all(path.name == LOCK for path in output.iterdir()):
        return
    found = _read_description(output)
    expected = _description(config, finished=True)
    different = [key for key in expected if key != "finished" and found.get(key) != expected[key]]
    if different:
        raise UsageError(
            f"--output: {output} holds other files than these phantoms "
            f"({', '.join(different)} differ). Choose an empty folder."
        )


def _is_complete(output: Path, config: PhantomConfig) -> bool:
    if not _read_description(output).get("finished"):
        return False
    endings = {IMAGES: "dcm"} if config.format == "dicom" else {}
    files = [
        f"{folder}/{number}.{endings.get(folder, 'png')}"
        for folder in FOLDERS
        for number in range(1, config.count + 1)
    ]
    return all((output / name).is_file() for name in (*TABLES, *files))


def _read_description(output: Path) -> dict[str, Any]:
    try:
        found = json.loads((output / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _count(output: Path) -> dict[str, int]:
    with (output / f"{IMAGES}.csv").open(encoding="utf-8", newline="") as stream:
        males = [row["male"] == "True" for row in csv.DictReader(stream)]
    return {"F": males.count(False), "M": males.count(True)}
