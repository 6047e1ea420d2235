"""The same input gives the same bytes, whatever the number of jobs and processors, the time zone, the locale and the folder."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.release

SCRIPT = """
import json, os, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from bone_age_tf.cli import main as cli
for words in json.loads(sys.argv[2]):
    code = cli.run([*words, "--quiet"])
    assert code == 0, (code, words)
"""
AS_IT_IS = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
OTHER = {"TZ": "Asia/Kathmandu", "LC_ALL": "en_US.UTF-8", "PYTHONHASHSEED": "7"}
TOLD = ("provenance.json",)
"""Files that tell when and how long."""


def made(
    folder: Path, raw: Path, model: Path, environment: dict[str, str], jobs: int, processors: int
) -> dict[str, str]:
    """sha256 of everything that `prepare`, `evaluate` and `predict` write into a folder."""
    folder.mkdir(parents=True)
    source, model = (os.path.relpath(path, folder) for path in (raw, model))
    images = f"{source}/boneage-training-dataset"
    commands = [
        ["prepare", source, "--output", "data", "--scale", "0.05", "--jobs", str(jobs)],
        ["evaluate", "--model", model, "--data", "data", "--output", "evaluated"],
        ["predict", images, "--labels", f"{images}.csv", "--model", model, "--output", "predicted"],
    ]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(processors), json.dumps(commands)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TOLD
    }


def test_bytes_do_not_depend_on_the_surroundings(
    phantoms: Path, exported: Path, tmp_path: Path
) -> None:
    first = made(tmp_path / "a", phantoms, exported, AS_IT_IS, 1, 1)
    again = made(tmp_path / "a further/folder ü", phantoms, exported, OTHER, 8, 64)
    assert {"data/manifest.json", "evaluated/evaluation.json", "predicted/predictions.csv"} <= {
        *first
    }
    assert [name for name in first | again if first.get(name) != again.get(name)] == []
