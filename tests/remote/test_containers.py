"""The Dockerfile and the files that it copies, checked without a container engine."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

TEXT = (ROOT / "Dockerfile").read_text()
INSTALLED = re.findall(r'--constraint (\S+) "\.\[([^]]+)\]"', TEXT)
"""File of versions and extras of each `pip install`."""


def test_hadolint_finds_nothing() -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    hadolint = shutil.which("hadolint", path=path)
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(
        [hadolint, ROOT / "Dockerfile"], check=False, timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "")


def stages() -> dict[str, tuple[str, str]]:
    """Name: what it starts from, and its text."""
    found = re.findall(r"^FROM (\S+) AS (\S+)\n(.*?)(?=^FROM|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return {name: (origin, text) for origin, name, text in found}


@pytest.mark.parametrize("target", ["cpu", "gpu", "serve", "mercure", "beam"])
def test_a_target_runs_our_program_as_a_user(target: str) -> None:
    lines = []
    while target in stages():
        target, text = stages()[target]
        lines += text.splitlines()
    assert 'ENTRYPOINT ["bone-age-tf"]' in lines
    assert "USER 1000" in lines  # a number, so that Kubernetes knows it is not root
    assert target == "python:3.11-slim"


def test_only_what_serves_has_a_health_check() -> None:
    assert [name for name, (_, text) in stages().items() if "HEALTHCHECK" in text] == ["serve"]


def test_what_is_installed_exists_and_is_pinned() -> None:
    from importlib.metadata import PackageNotFoundError, metadata

    assert len(INSTALLED) == TEXT.count("RUN pip install") == 4
    assert TEXT.count("--no-cache-dir") == 4
    try:
        extras = set(metadata("bone-age-tf").get_all("Provides-Extra") or [])
    except PackageNotFoundError:
        pytest.skip("bone-age-tf is not installed")
    for constraints, words in INSTALLED:
        assert (ROOT / constraints).is_file()
        assert set(words.replace("$EXTRAS", "serve").split(",")) <= extras


def test_what_is_copied_is_there_and_not_ignored() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE)
    names = {name for words in copied for name in words.split()}
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert [line for line in ignore if not line.startswith(("#", "!"))] == ["*", "**/__pycache__"]
    assert names == {line[1:] for line in ignore if line.startswith("!")}
    assert all((ROOT / name).exists() for name in names)


def test_both_sets_of_versions_have_the_same_tensorflow() -> None:
    """For Beam's workers shall write the same bytes."""
    pins = [
        dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("constraints.txt", "deploy/flink/constraints.txt")
    ]
    for name in ("tensorflow", "numpy", "keras"):
        assert pins[0][name] == pins[1][name]
