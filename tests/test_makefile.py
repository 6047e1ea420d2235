"""The commands of each make target, by `make -n`, without running them."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

MAKE = shutil.which("make")
pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment that make takes for finished."""
    for marker in (".installed", ".dev", ".jupyter"):
        (tmp_path / marker).touch()
    return tmp_path


def make(*words: str) -> str:
    """What make prints, also where these tests are themselves run by `make test`."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        [str(MAKE), *words],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("jupyter", "jupyter lab notebooks"),
        ("jupyter ARGS=--no-browser", "jupyter lab --no-browser notebooks"),
        ("training", "bone-age-tf train --data prepared --run runs/1"),
        (
            "training DATA=raw RUN=runs/2 ARGS='--set train.epochs=3'",
            "bone-age-tf train --data raw --run runs/2 --set train.epochs=3",
        ),
        ("tensorboard", "tensorboard --logdir runs"),
        ("tensorboard RUNS=elsewhere", "tensorboard --logdir elsewhere"),
        ("serve", "bone-age-tf serve --model saved_models/bone_age"),
        ("serve MODEL=mine", "bone-age-tf serve --model mine"),
        (
            "test",
            "python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m 'not large and not release'",
        ),
        (
            "test-large",
            "python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m large",
        ),
        (
            "notebooks",
            "jupyter nbconvert --execute --to html --output-dir build/notebooks notebooks/*.ipynb",
        ),
    ],
)
def test_a_target_runs(words: str, command: str, venv: Path) -> None:
    lines = make("-n", f"VENV={venv}", *shlex.split(words)).splitlines()
    assert " ".join(lines[-1].split()) == f"{venv}/bin/{command}"
    assert not any("pip install" in line for line in lines)


def test_docker_builds_both_targets() -> None:
    assert make("-n", "docker").splitlines() == [
        f"docker build --target {target} --tag bone-age-tf:{target} ." for target in ("cpu", "gpu")
    ]


PIP = "pip install --quiet --constraint constraints.txt --editable "


@pytest.mark.parametrize(
    ("target", "extra"),
    [
        ("jupyter", "notebooks"),
        ("notebooks", "notebooks"),
        ("test", "dev"),
        ("check", "dev"),
        ("docs", "dev"),
    ],
)
def test_what_a_target_needs_is_added_once(target: str, extra: str, venv: Path) -> None:
    marker = venv / {"notebooks": ".jupyter", "dev": ".dev"}[extra]
    assert PIP not in make("-n", f"VENV={venv}", target)
    marker.unlink()
    text = make("-n", f"VENV={venv}", target)
    assert text.count(PIP) == 1
    assert f"{PIP}'.[{extra}]'\ntouch {marker}" in text


@pytest.mark.parametrize("target", ["setup", "demo", "training"])
def test_a_new_clone_is_set_up_for_a_user(target: str, tmp_path: Path) -> None:
    text = make("-n", f"VENV={tmp_path}", target)
    assert re.findall(r"--editable '(.*)'", text) == [".[dicom-output,serve]"]
    assert target == "setup" or text.index("--editable") < text.index("bin/bone-age-tf")


def test_a_new_clone_is_set_up_before_the_tests(tmp_path: Path) -> None:
    text = make("-n", f"VENV={tmp_path}", "test")
    assert re.findall(r"--editable '(.*)'", text) == [".[dicom-output,serve]", ".[dev]"]
    assert text.index("'.[dev]'") < text.index("-m pytest")


def test_make_alone_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    named = re.findall(r"^  make (\S+) +\S", make(), re.MULTILINE)
    assert sorted(named) == sorted(phony[1].split())
    assert {"jupyter", "training", "tensorboard", "serve", "notebooks", "docker"} <= set(named)


def test_without_a_notebook_it_says_so(venv: Path) -> None:
    for name in ("Makefile", "setup.py", "pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, venv / name)
    for marker in (".installed", ".jupyter"):
        (venv / marker).touch()
    done = subprocess.run(
        [str(MAKE), "VENV=.", "notebooks"],
        cwd=venv,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert "There is no notebook in notebooks/ yet" in done.stdout
