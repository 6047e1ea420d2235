"""The whole workflow on synthetic radiographs, by the commands that a user types: no data, no GPU."""

import csv
import dataclasses
import json
import logging
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bone_age_tf.cli import SOME_REJECTED
from bone_age_tf.errors import BoneAgeError

log = logging.getLogger(__name__)

SEED = 1
NEW_SEED = 2
NEW_RADIOGRAPHS = 6


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """Result of the demo."""

    mae_months: float
    low: float | None
    high: float | None
    """95 % confidence interval of the mean absolute error; None where there are too few radiographs."""
    constant_mae_months: float
    """MAE of predicting the mean bone age of the training split, on the same radiographs."""
    test_radiographs: int
    seconds: float


class DemoStepError(BoneAgeError):
    """A command of the demo ended with an error, which it has printed itself."""

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(
            f"The demo stopped: {command} ended with exit code {exit_code}. "
            "For another demo, choose another folder with --output."
        )
        self.exit_code = exit_code


def steps(output: str, count: int, epochs: int) -> list[tuple[str, list[str]]]:
    """Each step: a sentence about it, and the arguments of `bone-age-tf`."""
    at = {
        name: str(Path(output) / name)
        for name in (
            "phantoms",
            "prepared",
            "run",
            "evaluation",
            "saved_models",
            "new",
            "predictions",
        )
    }
    model = str(Path(at["saved_models"]) / "bone_age")
    size, seed = ["--size", "512"], ["--seed", str(SEED)]
    new_table = str(Path(at["new"]) / "boneage-training-dataset.csv")
    new_images = str(Path(at["new"]) / "boneage-training-dataset")
    result = str(Path(at["evaluation"]) / "evaluation.json")
    train = ["--recipe", "phantom", "--initial-weights", "none", "--set", f"train.epochs={epochs}"]
    return [
        (
            f"Generate {count} synthetic radiographs (phantoms) of known bone age.",
            ["phantom", "--output", at["phantoms"], "--count", str(count), *size, *seed],
        ),
        (
            "Check and split them, and write TFRecords of preprocessed radiographs.",
            ["prepare", at["phantoms"], "--output", at["prepared"], "--scale", "0.125"],
        ),
        (
            "Train a small network from random weights.",
            ["train", "--data", at["prepared"], "--run", at["run"], *train],
        ),
        (
            "Evaluate it on the test split, which it has not seen.",
            ["evaluate", "--model", at["run"], "--data", at["prepared"], "--output", at["evaluation"]],
        ),
        (
            "Export one SavedModel: bytes of a file and sex in, months out.",
            ["export", "--run", at["run"], "--output", model, "--evaluation", result],
        ),
        (
            f"Generate {NEW_RADIOGRAPHS} new ones ...",
            ["phantom", "--output", at["new"], "--count", str(NEW_RADIOGRAPHS), *size, "--seed", str(NEW_SEED)],
        ),
        (
            "... and predict their bone age with the exported model, from the files.",
            ["predict", new_images, "--model", model, "--labels", new_table, "--output", at["predictions"]],
        ),
    ]  # fmt: skip


def run_demo(
    output: str, *, count: int, epochs: int, run: Callable[[list[str]], int]
) -> DemoReport:
    """Run every step; finished ones are skipped where their command can tell.

    `run` takes the arguments of `bone-age-tf` and returns its exit code, as `run_command` does.
    Raises `DemoStepError` with the exit code of the command that failed.
    """
    started = time.monotonic()
    log.info("The data of this demo are synthetic radiographs, not of children.")
    listed = steps(output, count, epochs)
    for number, (sentence, arguments) in enumerate(listed, 1):
        command = shlex.join(["bone-age-tf", *arguments])
        log.info(f"\n[{number}/{len(listed)}] {sentence}\n$ {command}")
        exit_code = run(arguments)
        if exit_code not in (0, SOME_REJECTED):
            raise DemoStepError(command, exit_code)
    return _report(Path(output), time.monotonic() - started)


def _report(output: Path, seconds: float) -> DemoReport:
    result = json.loads((output / "evaluation" / "evaluation.json").read_text(encoding="utf-8"))
    labels = json.loads((output / "prepared" / "manifest.json").read_text(encoding="utf-8"))[
        "labels"
    ]
    with (output / "evaluation" / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        true = [float(row["bone_age_months_true"]) for row in csv.DictReader(stream)]
    constant = sum(abs(months - labels["train"]["mean_months"]) for months in true) / len(true)
    mae = result["overall"]["mae_months"]
    return DemoReport(mae["value"], mae["low"], mae["high"], constant, len(true), seconds)


def run_command(arguments: list[str]) -> int:
    """Run `bone-age-tf` on this terminal, which leaves Ctrl-C to it; returns its exit code."""
    process = subprocess.Popen([sys.executable, "-m", "bone_age_tf", *arguments])
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code  # killed by a signal, as a shell reports it
        except KeyboardInterrupt:
            continue
