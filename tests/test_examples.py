"""Every command that the README, the docs and the helps show is run, on synthetic radiographs.

That of the demo by `cli/test_demo_steps.py`. One that shows nothing that others do not show is read, not
run (`_distinct`).
"""

import contextlib
import csv
import functools
import json
import re
import shlex
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pytest
from conftest import ROOT, Once, draw_phantom, write_kaggle_layout
from dicom_files import dicom_of

from bone_age_tf.cli import main as cli
from bone_age_tf.data_prep import download
from bone_age_tf.dicom_output import dicomweb
from bone_age_tf.dicom_output.node import node
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.serving import server
from bone_age_tf.training.loop import Loop

BATCH = 8
WITHOUT_DOWNLOAD = f"--recipe tiny --initial-weights none --set model.backbone=tiny --set train.epochs=1 --set train.batch_size={BATCH} --set train.gradient_accumulation_steps=1 --set train.steps_per_execution=1 --set logging.tensorboard=false"
"""Appended to `train`: a small network on few radiographs, and no download of ImageNet weights."""
FEW_STEPS = "--set steps=2 --set mining_rounds=0 --set batch_size=4 --set negative_share=0"
"""Appended to `train --recipe hand_localizer`."""


def _examples() -> list[str]:
    texts = [
        path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    ]
    texts += [cli.load_command(name).help or "" for name in cli.COMMANDS]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    found = [
        line
        for line in lines
        if re.match(r"bone-age-tf [a-z]+ .*--output|bone-age-tf (train|serve|dicom-node)\b", line)
    ]
    return list(dict.fromkeys(found))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Path) -> None:
    """The files that the examples name, in the current folder."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def files(once: Once, prepared: Path, run: Path, exported: Path, local: Path) -> Path:
    """The same, to be copied. Read only."""

    def write(folder: Path) -> None:
        folder.mkdir()
        with contextlib.chdir(folder):
            _write_files(prepared, run, exported, local)

    return once("files_of_examples", write)


def _write_files(prepared: Path, run: Path, exported: Path, local: Path) -> None:
    """Into the current folder."""
    write_kaggle_layout(Path("rsna-bone-age"), 12)
    cv2.imwrite("hand.png", draw_phantom(120, 1))
    Path("radiographs").mkdir()
    with Path("ages.csv").open("w", newline="") as ages, Path("children.csv").open("w") as children:
        writers = csv.writer(ages), csv.writer(children)
        writers[0].writerow(["file", "months", "sex"])
        writers[1].writerow(["id", "sex"])
        for number in range(12):
            cv2.imwrite(f"radiographs/c{number}.png", draw_phantom(24 + 10 * number, number))
            writers[0].writerow([f"c{number}.png", 24 + 10 * number, "FM"[number % 2]])
            writers[1].writerow([f"c{number}", "FM"[number % 2]])
    table = Path("children.csv").read_text().replace("sex", "sex,boneage").splitlines()
    lines = [table[0], *(f"{line},{24 + 10 * n}" for n, line in enumerate(table[1:]))]
    Path("radiographs/labels.csv").write_text("\n".join(lines) + "\n")
    for folder in ("preset-a", "preset-b"):
        Path(folder).mkdir()
        for name in ("c3.png", "c5.png", "c8.png"):
            shutil.copy(f"radiographs/{name}", folder)
    header = "child,sex,age_months,height_cm,bone_age_months,file"
    visits = [header, "c1,M,60,108,58,", "c1,M,66,111,,radiographs/c3.png"]
    Path("visits.csv").write_text("\n".join(visits) + "\n")
    _write_dicom(Path("study"), Path("archive"))
    Path("out").mkdir()
    Path("in").mkdir()
    shutil.copy("study/IM0", "in/1.2#3.dcm")  # as mercure names it
    shutil.copytree(localizer.SHIPPED, "runs/localizer")
    shutil.copytree(exported, "saved_models/bone_age")
    shutil.copytree(prepared, "prepared")
    shutil.copytree(run, "runs/1")
    shutil.copy(run / "run.toml", "run.toml")
    shutil.copytree(run, "runs/2")
    shutil.copytree(local, "local")
    shutil.copytree(exported, "saved_models/small")
    _write_local_predictions(Path("predictions/local"), exported / "1")
    settings = (ROOT / "deploy/dicom-node/node.toml").read_text()
    ports = re.sub(r"(?m)^(port|metrics_port) = (11112|9113)", r"\1 = 0", settings)
    Path("node.toml").write_text(ports.replace('"shipped"', '"saved_models/bone_age"'))
    Path("truth.csv").write_text("id,sex,boneage\n1,F,100\n2,M,30\n3,F,180\n")
    Path("theirs.csv").write_text("id,months\n1,104\n2,25\n3,181\n")


def _write_dicom(study: Path, archive: Path) -> None:
    """Three radiographs without endings, twice; `readings.csv` has the readings of one of the folders."""
    readings = ["Accession Number,bone age"]
    for number in range(3):
        attributes = {"AccessionNumber": f"A{number}", "PatientID": f"P{number}"}
        encoded = dicom_of(draw_phantom(100 + number, number), **attributes)
        for folder in (study, archive):
            folder.mkdir(exist_ok=True)
            (folder / f"IM{number}").write_bytes(encoded)
        readings.append(f"A{number},{100 + number}")
    Path("readings.csv").write_text("\n".join(readings) + "\n")


def _write_local_predictions(folder: Path, model: Path) -> None:
    """What `predict --labels` leaves where all hands of a place are read 9 months too old."""
    folder.mkdir(parents=True)
    digest = sha256_of(model / "manifest.json")
    (folder / "provenance.json").write_text(json.dumps({"model": {"manifest_sha256": digest}}))
    with (folder / "predictions.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "sex", "bone_age_months", "bone_age_months_true", "status"])
        writer.writerows([n, "FM"[n % 2], 60 + n, 51 + n + n % 3, "ok"] for n in range(30))


def test_there_are_examples_of_every_command() -> None:
    assert {shlex.split(line)[1] for line in _examples()} == set(cli.COMMANDS)


def _shortened(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same command, in less time, on less, and without a network."""
    command = arguments[0]
    if command == "train":
        is_localizer = "hand_localizer" in arguments
        return arguments + shlex.split(FEW_STEPS if is_localizer else WITHOUT_DOWNLOAD)
    if command == "download":  # what Kaggle's client gives is tested with a stand-in
        monkeypatch.setattr(download, "_fetch", lambda folder: folder.mkdir())
        monkeypatch.setattr(download, "RADIOGRAPHS", 0)
    if "--dicomweb" in arguments:  # an archive is tested with a stand-in
        monkeypatch.setattr(dicomweb, "retrieve", _copy_study)
        monkeypatch.setattr(dicomweb, "store_objects", lambda archive, folder, files: len(files))
    more = {
        "phantom": "--count 4",
        "ensemble": "--weighting mean --correction none",  # eight are too few to fit
        "stress": "" if "--against" in arguments else "--changes mirrored,borders --limit 3",
        "serve": "--rest-port 0 --grpc-port 0 --web-port 0",
    }
    if command == "prepare" and "--for-model" not in arguments:
        more[command] = "--scale 0.05"
    return arguments + shlex.split(more.get(command, ""))


def _copy_study(archive: Any, study: Any, folder: Path, on_progress: Any) -> None:
    shutil.copytree("study", folder, dirs_exist_ok=True)


def _end_servers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    ended.set()
    monkeypatch.setattr(server, "serve", functools.partial(server.serve, stop=ended))
    run = functools.partialmethod(node.Node.run, stop=ended)
    monkeypatch.setattr(node.Node, "run", run)


def _needed(arguments: list[str]) -> Iterator[str]:
    """Commands that make what the example takes for granted."""
    command = arguments[0]
    for name in ("phantoms", "infants", "oblique"):
        if name in arguments and command == "train":
            yield f"phantom --output {name} --count 4 --size 256"
    if any(argument.split("/")[0] == "dicom" for argument in arguments[1:2]):
        yield "phantom --output dicom --count 4 --size 256 --format dicom"
    if "ensembles/1" in arguments and command != "ensemble":
        yield "ensemble runs/1 --data prepared --output ensembles/1 --correction none"
    if "runs/fold2" in arguments and command == "evaluate":
        yield f"train --data prepared --run runs/fold2 --set data.fold=2/5 {WITHOUT_DOWNLOAD}"
    if "own" in arguments and command == "evaluate":
        yield "prepare radiographs --for-model saved_models/bone_age --output own"
    if command == "compare" and "--data" not in arguments:
        for number in (1, 2):
            yield f"evaluate --predictions theirs.csv --labels truth.csv --output evaluations/{number}"
    if {"status", "rerun"} & set(arguments):
        yield "dicom-node --config node.toml"
    if "evaluations/1/evaluation.json" in arguments or command == "report":
        yield "evaluate --model runs/1 --data prepared --output evaluations/1"


def _skip_steps(loop: Loop, iterator: Any, count: int, stop: Any) -> np.ndarray:
    """What `Loop.steps` gives, without a step."""
    return np.tile([BATCH, BATCH, 0.0, 0.0, 0.0], (count, 1))


IN_THE_WAY = {"prepare": "prepared", "train": "runs", "download": "rsna-bone-age"}
"""Folders of the workspace that a command makes itself."""


NOT_RUN = re.compile(r" demo | --runner dask | echo$")
"""The second needs a cluster, the third an archive."""


def _marked(example: str) -> Any:
    if "--max-shift" in example or "--localizer" in example:
        return pytest.param(example, marks=pytest.mark.release)
    is_large = re.search(r" stress |preset-|hand_localizer|--engine", example)
    return pytest.param(example, marks=pytest.mark.large) if is_large else example


def _parts(example: str) -> set[tuple[str, ...]]:
    """What an example shows: options, words that are their values, settings, kinds of input.

    Those of the commands that it needs count, too; numbers and the names of what is written do not.
    """
    arguments = shlex.split(example, comments=True)[1:]
    commands = [arguments, *map(shlex.split, _needed(arguments))]
    return {part for command in commands for part in _parts_of(command)}


def _parts_of(arguments: list[str]) -> Iterator[tuple[str, ...]]:
    command, option = arguments[0], ""
    yield (command,)
    for word in arguments[1:]:
        if word.startswith("--"):
            yield command, word
        elif option == "--set":
            yield command, option, word.split("=")[0]
        elif option not in WRITTEN:
            yield command, option, re.split(r"[-/\d]", word)[0]
        option = word if word.startswith("--") else ""


def _distinct(examples: list[str]) -> list[str]:
    """Those that show what no other one shows; the ones that show much come first."""
    chosen, shown = [], set()
    for example in sorted(examples, key=lambda one: -len(_parts(one))):
        if not _parts(example) <= shown:
            chosen.append(example)
            shown |= _parts(example)
    return sorted(chosen, key=examples.index)


WRITTEN = ("--output", "--run")
SHOWN = [example for example in _examples() if not NOT_RUN.search(example)]


@pytest.mark.parametrize("example", map(_marked, _distinct(SHOWN)))
@pytest.mark.usefixtures("workspace")
def test_example_runs(example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = localizer.load("shipped").limits  # a few steps teach no network to find hands
    monkeypatch.setattr("bone_age_tf.training.localizer.train.set_limits", lambda *given: limits)
    arguments = shlex.split(example, comments=True)[1:]
    if arguments[0] in IN_THE_WAY:
        shutil.rmtree(IN_THE_WAY[arguments[0]])
    _end_servers_at_once(monkeypatch)
    if "--set" in arguments:  # what settings do is tested in training/
        monkeypatch.setattr(Loop, "steps", _skip_steps)
    for command in _needed(arguments):
        assert cli.run([*shlex.split(command), "--quiet"]) == 0
    assert cli.run(_shortened(arguments, monkeypatch)) == 0


@pytest.mark.parametrize("example", sorted(set(SHOWN) - set(_distinct(SHOWN))))
@pytest.mark.usefixtures("workspace")
def test_the_others_can_be_typed(example: str) -> None:
    name, *rest = shlex.split(example, comments=True)[1:]
    try:
        assert not cli.load_command(name).make_context(name, rest).args
    except click.BadParameter as error:  # what another command would have made
        assert "does not exist" in error.message
