"""The jobs of .neuro/live.yml, evaluated by apolo-flow, which conflicts with our dependencies."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from bone_age_tf.cli import main as cli

APOLO_FLOW = "apolo-flow==26.7.2"
OURS = {"setup": "prepare", "training": "train"}
"""Jobs that run our own program, and the command."""


@pytest.fixture(scope="module")
def flow_python(pytestconfig: pytest.Config) -> str:
    """A Python that has apolo-flow: BONE_AGE_FLOW_PYTHON, or under CI one of its own, made in 15 to 25 seconds."""
    named = os.environ.get("BONE_AGE_FLOW_PYTHON")
    if named:
        return named
    if not os.environ.get("CI"):
        pytest.skip("BONE_AGE_FLOW_PYTHON names no Python that has apolo-flow, and this is not CI")
    cache = pytestconfig.cache
    assert cache is not None
    folder = cache.mkdir("apolo-flow")
    python, made = folder / "bin/python", folder / APOLO_FLOW
    if not made.exists():
        options = ["--quiet", "--disable-pip-version-check", "--no-compile"]
        try:
            for words in (
                [sys.executable, "-m", "venv", "--clear", folder],
                [python, "-m", "pip", "install", *options, APOLO_FLOW],
            ):
                subprocess.run(words, check=True, timeout=120, capture_output=True)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            pytest.skip(f"{APOLO_FLOW} cannot be installed here: {error}")
        made.touch()
    return str(python)


@pytest.fixture(scope="module")
def live(flow_python: str) -> dict[str, Any]:
    """Images, volumes and jobs after all expressions."""
    given = {"training": {"run": "runs/2", "options": "--set train.epochs=3"}}
    words = [flow_python, Path(__file__).with_name("read_live.py"), ROOT, json.dumps(given)]
    done = subprocess.run(words, check=False, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_jobs_are_there(live: dict[str, Any]) -> None:
    assert set(live["jobs"]) == {"setup", "jupyter", "training", "tensorboard", "filebrowser"}


def test_the_image_is_built_from_our_dockerfile(live: dict[str, Any]) -> None:
    image = live["images"]["bone_age"]
    assert image["ref"] == "image:bone_age_tf:v1"
    assert Path(image["context"]) == ROOT
    assert Path(image["dockerfile"]).is_file()
    option, _, target = image["extra_kaniko_args"].partition("=")
    text = Path(image["dockerfile"]).read_text()
    assert option == "--target"
    assert f" AS {target}\n" in text
    for argument in image["build_args"]:
        assert f"ARG {argument.partition('=')[0]}=" in text
    refs = {name: job["image"] for name, job in live["jobs"].items()}
    assert refs.pop("filebrowser").startswith("filebrowser/filebrowser:v")
    assert set(refs.values()) == {image["ref"]}


def test_data_code_and_runs_are_volumes(live: dict[str, Any]) -> None:
    volumes = live["volumes"]
    assert {name: volume["mount"] for name, volume in volumes.items()} == {
        "data": "/bone-age/data",
        "code": "/bone-age/code",
        "runs": "/bone-age/runs",
    }
    assert {volume["remote"] for volume in volumes.values()} == {
        f"storage:bone_age_tf/{name}" for name in volumes
    }
    assert volumes["code"]["full_local_path"] == str(ROOT)


@pytest.mark.parametrize(
    ("job", "writable", "readable"),
    [
        ("setup", {"data"}, set()),
        ("jupyter", {"data", "code", "runs"}, set()),
        ("training", {"runs"}, {"data"}),
        ("tensorboard", set(), {"runs"}),
        ("filebrowser", {"data", "code", "runs"}, set()),
    ],
)
def test_a_job_sees_its_volumes(
    live: dict[str, Any], job: str, writable: set[str], readable: set[str]
) -> None:
    expected = {f"storage:bone_age_tf/{name}:/bone-age/{name}:rw" for name in writable}
    expected |= {f"storage:bone_age_tf/{name}:/bone-age/{name}:ro" for name in readable}
    assert set(live["jobs"][job]["volumes"]) == expected


@pytest.mark.parametrize("job", OURS)
def test_our_program_accepts_the_command(
    live: dict[str, Any], job: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data/rsna-bone-age", "data/prepared"):
        Path(folder).mkdir(parents=True)
    assert live["jobs"][job]["entrypoint"] is None  # the image's own: bone-age-tf
    name, *words = shlex.split(live["jobs"][job]["cmd"])
    assert name == OURS[job]
    with cli.load_command(name).make_context(name, words) as context:
        if name == "train":
            assert context.params["run"] == "runs/2"
            assert context.params["assignments"] == ("train.epochs=3",)
        else:
            assert context.params["output"] == "data/prepared"


@pytest.mark.parametrize("job", ["jupyter", "tensorboard", "filebrowser"])
def test_a_page_is_behind_the_platform(live: dict[str, Any], job: str) -> None:
    found = live["jobs"][job]
    assert found["http_auth"] is True
    words = found["cmd"].replace("=", " ").split()
    assert int(words[words.index("--port") + 1]) == found["http_port"]


def test_training_has_a_gpu_and_time(live: dict[str, Any]) -> None:
    job = live["jobs"]["training"]
    assert job["preset"] == "gpu-small"
    assert job["life_span"] == 5 * 24 * 3600
