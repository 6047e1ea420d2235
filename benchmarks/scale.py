"""The workflow at the size of the whole challenge: time, processor time and memory by the number of radiographs.

    python benchmarks/scale.py scale --count 1000
    python benchmarks/scale.py scale --count 12611
    python benchmarks/scale.py scale --report

Makes `--count` radiographs of about 3 megapixels from some hundred drawings, each time moved, turned, enlarged and of
another contrast (JPEG, 0.2 MB each: 2.5 GB for the challenge's 12,611). Then runs the commands of the product, each in
its own process: `prepare`, killed with SIGKILL at 90 % of its shards and resumed, an epoch of `train` with the smallest
backbone, `export`, `evaluate`, `predict` of all radiographs. Results are kept in `FOLDER/COUNT.json`; a finished step
is not run again. `--report` prints a table of all counts, the projection, and draws memory over time.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

PROGRAM = [sys.executable, "-m", "bone_age_tf"]
LABELS = "boneage-training-dataset.csv"
IMAGES = "boneage-training-dataset"
STEPS = ("prepare, killed at 90 %", "prepare, resumed", "train", "export", "evaluate", "predict")
SECONDS_BETWEEN_SAMPLES = 0.5
CORES = (1, 8, 64)
BUCKET = 1_000_000


# === Radiographs ===


def make_radiographs(folder: Path, count: int, drawings: int) -> Path:
    """Kaggle's layout with `count` radiographs, all different; those that are there already are kept."""
    drawn = folder / "drawings"
    subprocess.run(
        [
            *PROGRAM,
            "phantom",
            "--output",
            drawn,
            "--count",
            str(drawings),
            "--size",
            "1024",
            "--quiet",
        ],
        check=True,
    )
    rows = _rows(drawn)
    made = folder / f"radiographs-{count}"
    (made / IMAGES).mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        [
            *pool.map(
                lambda number: _make(drawn, made, rows[number % len(rows)], number), range(count)
            )
        ]
    with (made / LABELS).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "boneage", "male"])
        for number in range(count):
            row = rows[number % len(rows)]
            writer.writerow([10_000 + number, row["boneage"], row["male"]])
    return made


def _rows(drawn: Path) -> list[dict[str, str]]:
    with (drawn / LABELS).open(newline="") as stream:
        return [*csv.DictReader(stream)]


def _make(drawn: Path, made: Path, row: dict[str, str], number: int) -> None:
    path = made / IMAGES / f"{10_000 + number}.jpg"
    if not path.exists():
        drawing = cv2.imread(str(drawn / IMAGES / f"{row['id']}.png"), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(path), vary(drawing, number), [cv2.IMWRITE_JPEG_QUALITY, 85])


def vary(drawing: np.ndarray, number: int) -> np.ndarray:
    """uint8 [height, width] of 1,800 to 2,300 rows: moved, turned by up to 8 degrees, with another contrast."""
    rng = np.random.default_rng(number)
    height = int(rng.integers(1800, 2300))
    width = round(height * drawing.shape[1] / drawing.shape[0])
    zoom = height / drawing.shape[0] * rng.uniform(0.88, 0.97)
    matrix = cv2.getRotationMatrix2D(
        (drawing.shape[1] / 2, drawing.shape[0] / 2), rng.uniform(-8, 8), zoom
    )
    matrix[:, 2] += np.array([width, height]) / 2 - np.array(drawing.shape[::-1]) / 2
    matrix[:, 2] += rng.uniform(-0.01, 0.01, 2) * height
    levels = (np.arange(256) / 255) ** rng.uniform(0.8, 1.25) * 255
    bright = cv2.LUT(drawing, np.round(levels).astype(np.uint8))
    return cv2.warpAffine(bright, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)


# === Measuring ===


def measure(command: list[str], stop: Callable[[], bool] = lambda: False) -> dict[str, object]:
    """Run a command; seconds, processor seconds and memory in MiB, at its peak and over time.

    With SIGKILL at the moment when `stop()`.
    """
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    memory = []
    was_killed = False
    while not _has_ended(process.pid):
        if mib := _resident_mib(process.pid):  # 0 at its end
            memory.append((round(time.monotonic() - began, 1), mib))
        if stop() and not was_killed:
            process.kill()
            was_killed = True
        time.sleep(SECONDS_BETWEEN_SAMPLES)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 4) and not was_killed:
        sys.exit(f"exit code {process.returncode}: {' '.join(command)}")
    return {
        "seconds": time.monotonic() - began,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
        "memory": memory,
    }


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _resident_mib(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def label_checks(source: Path) -> dict[str, object]:
    """Everything but the files' content: listing, table, joining, splits. In this process, processor seconds."""
    from bone_age_tf.config import PrepareConfig
    from bone_age_tf.data_prep.checks import check
    from bone_age_tf.data_prep.sources import find_source
    from bone_age_tf.data_prep.splits import assign_splits

    config = PrepareConfig(source=str(source), output="unused")
    began, processor = time.monotonic(), time.process_time()
    found = find_source(config)
    rows, _ = check(found, config.label_options, limit=1, seed=0, jobs=1)
    assign_splits(rows, config.split, config.seed)
    return {
        "seconds": time.monotonic() - began,
        "processor_seconds": time.process_time() - processor,
    }


def run(folder: Path, count: int, drawings: int, scale: float) -> None:
    """All steps for `count` radiographs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{count}.json"
    done = json.loads(path.read_text()) if path.exists() else {"count": count, "scale": scale}
    raw = make_radiographs(folder, count, drawings)
    work = folder / f"work-{count}"
    data, trained, model = work / "prepared", work / "run", work / "model"
    prepare = ["prepare", raw, "--output", data, "--scale", scale]
    train = ["train", "--data", data, "--run", trained, "--recipe", "phantom"]
    small = ["model.backbone=tiny", "train.epochs=1", "train.batch_size=16"]
    commands = {
        STEPS[0]: prepare,
        STEPS[1]: prepare,
        STEPS[2]: [
            *train,
            "--initial-weights",
            "none",
            *(word for one in small for word in ("--set", one)),
        ],
        STEPS[3]: ["export", "--run", trained, "--output", model],
        STEPS[4]: ["evaluate", "--model", trained, "--data", data, "--output", work / "evaluation"],
        STEPS[5]: [
            *("predict", raw / IMAGES, "--labels", raw / LABELS, "--model", model),
            *("--output", work / "predictions"),
        ],
    }
    if "label checks" not in done:
        done["label checks"] = label_checks(raw)
    for step, words in commands.items():
        if step in done:
            continue
        print(f"{count}: {step}", flush=True)
        stop = _nine_tenths(data, count) if step == STEPS[0] else lambda: False
        done[step] = measure([*PROGRAM, *map(str, words), "--quiet"], stop)
        path.write_text(json.dumps(done))
    shutil.rmtree(work)


def _nine_tenths(data: Path, count: int) -> Callable[[], bool]:
    """Whether nine tenths of the shards are finished: by 128 radiographs, as in `prepare`."""
    shards = sum(-(-round(count * share) // 128) for share in (0.8, 0.1, 0.1))
    enough = max(1, int(0.9 * shards))
    return lambda: len([*data.glob(".prepare/*/bone_age-*.json")]) >= enough


# === Report ===


def report(folder: Path) -> None:
    """Print the tables of all counts, and draw memory over time."""
    found = sorted(
        (json.loads(path.read_text()) for path in folder.glob("[0-9]*.json")),
        key=lambda one: one["count"],
    )
    complete = [one for one in found if all(step in one for step in STEPS)]
    if not complete:
        sys.exit(f"{folder}: no finished run. Run it with --count first.")
    print(
        "| radiographs | step | minutes | processor s | ms each | peak memory, MiB | to the first |"
    )
    print("|---|---|---|---|---|---|---|")
    for one in complete:
        for line in _lines(one, complete[0]):
            print(f"| {one['count']:,} | " + " | ".join(line) + " |")
    print("\n| radiographs | 1 core | 8 cores | 64 cores |\n|---|---|---|---|")
    for count in (complete[-1]["count"], BUCKET):
        times = [_in_words(_hours(complete, count, cores)) for cores in CORES]
        print(f"| {count:,} | " + " | ".join(times) + " |")
    _draw(folder / "memory.png", complete)


def _lines(one: dict, first: dict) -> Iterator[list[str]]:
    yield ["label checks", "", f"{one['label checks']['processor_seconds']:.1f}", "", "", ""]
    for step in STEPS:
        each = one[step]
        yield [
            step,
            f"{each['seconds'] / 60:.1f}",
            f"{each['processor_seconds']:.0f}",
            f"{1000 * each['processor_seconds'] / one['count']:.0f}",
            f"{each['peak_mib']:,.0f}",
            f"x {each['peak_mib'] / first[step]['peak_mib']:.2f}",
        ]


def _hours(runs: list[dict], count: int, cores: int) -> float:
    """Of `prepare`, by a straight line through the smallest and the largest run; what grows is divided by the cores.

    Both parts of the run are counted, with the second reading of all files.
    """
    counts = [one["count"] for one in (runs[0], runs[-1])]
    totals = [
        sum(one[step]["processor_seconds"] for step in STEPS[:2]) for one in (runs[0], runs[-1])
    ]
    if len(runs) == 1:
        return totals[0] / counts[0] * count / cores / 3600
    slope = (totals[1] - totals[0]) / (counts[1] - counts[0])
    start = max(0.0, totals[0] - slope * counts[0])
    return (start + slope * count / cores) / 3600


def _in_words(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.0f} min"


def _draw(path: Path, runs: list[dict]) -> None:
    """Resident memory of each step over the share of its time, a colour for each count."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(11, 6), sharey=True, layout="constrained")
    for step, axis in zip(STEPS, axes.flat, strict=True):
        for one in runs:
            seconds, mib = np.array(one[step]["memory"], float).T
            axis.plot(100 * seconds / max(seconds[-1], 1e-9), mib, label=f"{one['count']:,}")
        axis.set(title=step, ylim=(0, None))
    for axis in axes[1]:
        axis.set_xlabel("time, % of the step")
    for axis in axes[:, 0]:
        axis.set_ylabel("resident memory, MiB")
    axes[0, 0].legend(title="radiographs", frameon=False)
    figure.savefig(path, dpi=100)
    print(f"\n{path}")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--drawings", type=int, default=400)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--report", action="store_true")
    chosen = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if chosen.count:
        run(chosen.folder, chosen.count, chosen.drawings, chosen.scale)
    if chosen.report or not chosen.count:
        report(chosen.folder)


if __name__ == "__main__":
    main()
