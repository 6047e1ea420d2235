"""The whole workflow on synthetic radiographs, by the commands that a user types: no data, no GPU."""

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bone_age_tf.cli import SOME_REJECTED
from bone_age_tf.cli.console import NO_NEXT
from bone_age_tf.errors import BoneAgeError
from bone_age_tf.files.provenance import PROVENANCE

log = logging.getLogger(__name__)

SEED = 1
NEW_SEED = 2
NEW_RADIOGRAPHS = 6
SIZE = 320
"""Pixels of the longer side of a phantom."""
SCALE = 0.0625
"""Of the frame: 130 x 100 pixels, enough for phantoms."""
SPLIT = "train=0.76,validation=0.12,test=0.12"
TABLE, IMAGES = "boneage-training-dataset.csv", "boneage-training-dataset"


class DemoStepError(BoneAgeError):
    """A command of the demo ended with an error, which it has printed itself."""

    def __init__(self, command: str, exit_code: int) -> None:
        super().__init__(
            f"The demo stopped: {command} ended with exit code {exit_code}. "
            "For another demo, choose another folder with --output."
        )
        self.exit_code = exit_code


class Step(NamedTuple):
    """A command of the demo."""

    sentence: str
    """What it does."""
    arguments: list[str]
    """Of `bone-age-tf`."""
    result: Path | None = None
    """What it writes last: a step whose result is there is finished. None: the command itself can tell."""

    @property
    def command(self) -> str:
        """As it is typed."""
        return shlex.join(["bone-age-tf", *self.arguments])


def steps(output: str, count: int, epochs: int) -> list[Step]:
    """All steps, in their order."""
    at = Path(output)
    images, table = (at / "new" / name for name in (IMAGES, TABLE))
    model = at / "saved_models" / "demo"  # not bone_age, where the shipped model is looked for
    result = at / "evaluation" / "evaluation.json"
    labelled = ["--model", model, "--labels", table]
    training = [
        "--recipe",
        "phantom",
        "--initial-weights",
        "none",
        "--set",
        f"train.epochs={epochs}",
    ]
    size, new = ["--size", SIZE, "--seed"], NEW_RADIOGRAPHS

    def step(sentence: str, *arguments: object, result: Path | None = None) -> Step:
        return Step(sentence, [str(argument) for argument in arguments], result)

    return [
        step(
            f"Generate {count} synthetic radiographs (phantoms) of known bone age.",
            "phantom", "--output", at / "phantoms", "--count", count, *size, SEED,
        ),
        step(
            "Check and split them, and write TFRecords of preprocessed radiographs.",
            "prepare", at / "phantoms", "--output", at / "prepared", "--scale", SCALE, "--split", SPLIT,
        ),
        step(
            "Train a small network from random weights.",
            "train", "--data", at / "prepared", "--run", at / "run", *training,
        ),
        step(
            "Evaluate it on the test split, which it has not seen.",
            "evaluate", "--model", at / "run", "--data", at / "prepared", "--output", at / "evaluation", "--overwrite",
            result=result,
        ),
        step(
            "Export one SavedModel: bytes of a file and sex in, months out.",
            "export", "--run", at / "run", "--output", model, "--evaluation", result,
            result=model / "1",
        ),
        step(
            f"Generate {new} new ones ...",
            "phantom", "--output", at / "new", "--count", new, *size, NEW_SEED,
        ),
        step(
            "... and predict their bone age with the exported model, from the files.",
            "predict", images, *labelled, "--output", at / "predictions", "--overwrite",
            result=at / "predictions" / PROVENANCE,
        ),
        step(
            "Explain the prediction for one of them.",
            "explain", images / "1.png", *labelled, "--output", at / "explained", "--overwrite",
            result=at / "explained" / PROVENANCE,
        ),
    ]  # fmt: skip


def run_demo(output: str, *, count: int, epochs: int, run: Callable[[list[str]], int]) -> None:
    """Run every step that is not finished.

    `run` takes the arguments of `bone-age-tf` and returns its exit code, as `run_command` does.
    Raises `DemoStepError` with the exit code of the command that failed.
    """
    listed = steps(output, count, epochs)
    for number, step in enumerate(listed, 1):
        log.info(f"\n[{number}/{len(listed)}] {step.sentence}\n$ {step.command}")
        if step.result is not None and step.result.exists():
            log.info(f"{step.result} is there already.")
            continue
        exit_code = run(step.arguments)
        if exit_code not in (0, SOME_REJECTED):
            raise DemoStepError(step.command, exit_code)


def run_command(arguments: list[str]) -> int:
    """Run `bone-age-tf` on this terminal, which leaves Ctrl-C to it; returns its exit code."""
    environment = {**os.environ, NO_NEXT: "1"}
    process = subprocess.Popen([sys.executable, "-m", "bone_age_tf", *arguments], env=environment)
    while True:
        try:
            code = process.wait()
            return code if code >= 0 else 128 - code  # killed by a signal, as a shell reports it
        except KeyboardInterrupt:
            continue
