"""What `predict` and `serve` cost: this checkout against an earlier one, in turns, on the same radiographs.

    python benchmarks/prediction_cost.py EARLIER [NEW] --radiographs FOLDER [--count 32] [--rounds 5]

EARLIER and NEW are clones of the repository whose `.venv` was set up; without NEW it is this one. FOLDER is one of
radiographs (PNG, JPEG), of which the first `--count` are used; without it, phantoms are drawn. `--model` is used by both
sides; without it, each uses its own shipped one. `--engine` is that with which NEW serves. Prints a Markdown table: the median of the rounds and their range, and the ratio of the medians.
CPU seconds are those of the process and its children, and change less than wall time where other work runs beside.

Five rounds of 32 radiographs take about 10 minutes on two idle cores; `--parts` chooses what is measured.
"""

import argparse
import base64
import csv
import dataclasses
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
PARTS = ("one", "many", "serve")
Figures = dict[str, list[float]]


@dataclasses.dataclass(frozen=True)
class Side:
    """A checkout."""

    name: str
    folder: Path
    model: Path
    engine: tuple[str, ...] = ()
    """Option of `serve`."""

    def command(self, *words: str) -> list[str]:
        """`bone-age-tf ...`."""
        python = self.folder / ".venv/bin/python"
        return [str(python), "-m", "bone_age_tf", *words, "--model", str(self.model)]


# === predict ===


def predict(side: Side, radiographs: Path, output: Path) -> tuple[float, float, float]:
    """Wall and CPU seconds and the largest memory in MB of one run of the command."""
    words = ("predict", str(radiographs), "--sex", "F", "--output", str(output), "--quiet")
    begun = time.monotonic()
    process = subprocess.Popen(side.command(*words), cwd=side.folder, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 4):  # 4: some are rejected
        raise SystemExit(f"{side.name}: predict ended with {process.returncode}")
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def months_of(output: Path) -> dict[str, float]:
    """File -> bone age, of those that have one."""
    with (output / "predictions.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {row["file"]: float(row["bone_age_months"]) for row in rows if row["bone_age_months"]}


# === serve ===


def serve(side: Side, bodies: list[bytes], clients: int, requests: int) -> dict[str, float]:
    """Seconds until it is ready, radiographs a second, CPU seconds for each, and memory in MB under the load."""
    ports = ("--rest-port", "0", "--grpc-port", "0", "--web-port", "0")
    begun = time.monotonic()
    server = subprocess.Popen(
        side.command("serve", *ports, *side.engine, "--quiet"),
        cwd=side.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        ready = time.monotonic() - begun
        process = psutil.Process(server.pid)
        at_start = cpu_of(process)
        send(url, bodies[0])
        before, begun = cpu_of(process), time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(lambda n: send(url, bodies[n % len(bodies)]), range(requests)))
        seconds = time.monotonic() - begun
        return {
            "ready after, s": ready,
            "CPU until ready, s": at_start,
            f"radiographs/s, {clients} clients": requests / seconds,
            f"CPU ms a radiograph, {clients} clients": 1000 * (cpu_of(process) - before) / requests,
            f"memory with {clients} clients, MB": process.memory_info().rss / 2**20,
        }
    finally:
        server.terminate()
        server.wait(60)


def cpu_of(process: psutil.Process) -> float:
    """User and system seconds so far."""
    used = process.cpu_times()
    return used.user + used.system


def send(url: str, body: bytes) -> None:
    """One request; again while the server is full."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                json.load(answer)
                return
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise SystemExit(f"{error}: {error.read()[:300]!r}") from error
            time.sleep(0.05)


def body_of(file: Path) -> bytes:
    """The request for one radiograph."""
    encoded = base64.b64encode(file.read_bytes()).decode()
    return json.dumps({"instances": [{"image_bytes": {"b64": encoded}, "sex": "F"}]}).encode()


# === Rounds ===


def measure(
    sides: list[Side], files: Path, parts: list[str], rounds: int, requests: int
) -> Figures:
    """Figures by `SIDE FIGURE`, a value of each round."""
    figures: Figures = defaultdict(list)
    names = sorted(path.name for path in files.iterdir())
    one, bodies = files / names[0], [body_of(files / name) for name in names]
    with tempfile.TemporaryDirectory() as work:
        for number, side in turns(sides, rounds):
            output = Path(work, f"{side.name}-{number}")
            cpu_of_one = 0.0
            if "one" in parts or "many" in parts:
                wall, cpu_of_one, memory = predict(side, one, output / "one")
                add(figures, side, {"one file: wall, s": wall, "one file: CPU, s": cpu_of_one})
                add(figures, side, {"one file: memory, MB": memory})
            if "many" in parts and number < max(1, rounds // 2):
                wall, cpu, memory = predict(side, files, output / "many")
                each = 1000 * (cpu - cpu_of_one) / (len(names) - 1)
                add(figures, side, {f"{len(names)} files: CPU ms a radiograph": each})
                add(figures, side, {f"{len(names)} files: memory, MB": memory})
            if "serve" in parts and number < max(1, rounds // 2):
                for clients in (8, 32):
                    add(figures, side, serve(side, bodies, clients, requests))
            print(f"round {number + 1} of {rounds}: {side.name}", file=sys.stderr)
        if "many" in parts:
            say_difference(*(months_of(Path(work, f"{side.name}-0", "many")) for side in sides))
    return figures


def turns(sides: list[Side], rounds: int) -> Iterator[tuple[int, Side]]:
    """Each round begins with the other side."""
    for number in range(rounds):
        yield from itertools.product([number], sides[:: 1 if number % 2 else -1])


def add(figures: Figures, side: Side, values: dict[str, float]) -> None:
    """Another value of each figure."""
    for name, value in values.items():
        figures[f"{side.name} {name}"].append(value)


def say_difference(earlier: dict[str, float], new: dict[str, float]) -> None:
    """How far the months of both sides are apart."""
    apart = [abs(earlier[name] - new[name]) for name in sorted(set(earlier) & set(new))]
    print(
        f"\nmonths of {len(apart)} radiographs: mean difference {statistics.mean(apart):.4f}, largest {max(apart):.4f}; "
        f"with a bone age on one side only: {len(set(earlier) ^ set(new))}\n"
    )


def table(figures: Figures, sides: list[Side]) -> str:
    """Markdown: a line for each figure."""
    names = [key.partition(" ")[2] for key in figures if key.startswith(f"{sides[0].name} ")]
    lines = ["| figure | earlier | new | new / earlier |", "|---|---|---|---|"]
    for name in names:
        earlier, new = (figures[f"{side.name} {name}"] for side in sides)
        ratio = statistics.median(new) / statistics.median(earlier)
        lines.append(f"| {name} | {shown(earlier)} | {shown(new)} | {ratio:.2f} |")
    return "\n".join(lines)


def shown(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}]"


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--radiographs", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--engine", help="with which NEW serves")
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=96, help="of each load on a server")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    chosen = parser.parse_args()
    sides = [
        Side(name, folder.resolve(), (chosen.model or folder / "saved_models/bone_age").resolve())
        for name, folder in (("earlier", chosen.earlier), ("new", chosen.new))
    ]
    if chosen.engine:
        sides[1] = dataclasses.replace(sides[1], engine=("--engine", chosen.engine))
    with tempfile.TemporaryDirectory() as work:
        files = Path(work, "radiographs")
        files.mkdir()
        for path in radiographs_of(chosen.radiographs, chosen.count, Path(work)):
            shutil.copy(path, files)
        figures = measure(sides, files, chosen.parts, chosen.rounds, chosen.requests)
    print(table(figures, sides))


def radiographs_of(folder: Path | None, count: int, work: Path) -> list[Path]:
    """The first of a folder, or phantoms of the usual size."""
    if folder is None:
        folder = work / "phantoms"
        words = ["phantom", "--output", str(folder), "--count", str(count), "--size", "1800"]
        subprocess.run([sys.executable, "-m", "bone_age_tf", *words, "--quiet"], check=True)
        folder /= "boneage-training-dataset"
    found = [path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg")]
    return sorted(found)[:count]


if __name__ == "__main__":
    main()
