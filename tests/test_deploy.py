"""The examples of docs/training.md and deploy/: each worker gets its index, and the commands exist."""

import json
import os
import re
import shlex
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import ROOT

from bone_age_tf.cli import main as cli
from bone_age_tf.config import ExperimentConfig, override
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.strategy import read_cluster

PAGE = ROOT / "docs/training.md"
SBATCH = ROOT / "deploy/slurm/train.sbatch"
KUBERNETES = ROOT / "deploy/kubernetes/train-workers.yaml"

SAY = """#!/bin/bash
printf '%s\\0' "$TF_CONFIG" "$@" >> said
printf '\\n' >> said
"""
"""A `bone-age-tf` that only says what it was given."""

SCONTROL = """#!/bin/bash
[ "$*" = "show hostnames gpu[1-4]" ] && printf 'gpu%d\\n' 1 2 3 4
"""

SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
for ((n = 0; n < SLURM_JOB_NUM_NODES; n++)); do SLURM_PROCID=$n "$@" || exit; done
"""

Worker = tuple[str, list[str]]
"""`TF_CONFIG` and the arguments of `bone-age-tf`."""


def run_script(command: list[str], folder: Path, variables: Mapping[str, str]) -> list[Worker]:
    """The workers that a script starts, with stand-ins for the programs of a cluster."""
    folder.mkdir(exist_ok=True)
    for name, text in (("bone-age-tf", SAY), ("scontrol", SCONTROL), ("srun", SRUN)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    said = folder / "said"
    said.unlink(missing_ok=True)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, cwd=folder, env={"PATH": path, **variables}, check=True, timeout=60)
    parts = [line.split("\0")[:-1] for line in said.read_text().splitlines()]
    return [(config, arguments) for config, *arguments in parts]


def accepted(arguments: list[str], folder: Path) -> ExperimentConfig:
    """The settings of a `train` command, parsed by the program itself; its data set is made up."""
    (folder / "run.toml").touch()
    replaced = {"prepared": str(folder), "run.toml": str(folder / "run.toml")}
    words = [replaced.get(Path(word).name, word) for word in arguments]
    command = cli.load_command(words[0])
    with command.make_context(words[0], words[1:]) as context:
        recipe = load_recipe(context.params["recipe"])
        return override(recipe, context.params["assignments"])


def assert_places(workers: list[Worker], count: int) -> None:
    """Each worker has its number, and all know the same addresses."""
    assert [read_cluster(config) for config, _ in workers] == [(n, count) for n in range(count)]
    clusters = [json.loads(config)["cluster"]["worker"] for config, _ in workers]
    assert all(cluster == clusters[0] for cluster in clusters)
    assert len(set(clusters[0])) == count
    assert all(re.fullmatch(r"[a-z0-9.-]+:\d{4,5}", address) for address in clusters[0])


def assert_same_training(workers: list[Worker], count: int, folder: Path) -> None:
    """One command on all, which the program accepts and which can be divided by the workers."""
    commands = [arguments for _, arguments in workers]
    assert all(command == commands[0] for command in commands)
    assert commands[0][0] == "train"
    settings = accepted(commands[0], folder).train
    assert settings.readers is not None
    assert settings.readers % count == 0
    assert settings.batch_size % settings.readers == 0


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """The Kubernetes objects by kind."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return {each["kind"]: each for each in yaml.safe_load_all(KUBERNETES.read_text())}


def kubernetes_workers(job: dict[str, Any], folder: Path) -> list[Worker]:
    (container,) = job["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each["value"] for each in container["env"]}
    command = [*container["command"], *container["args"]]
    return [
        worker
        for index in range(job["spec"]["completions"])
        for worker in run_script(command, folder, {**variables, "JOB_COMPLETION_INDEX": str(index)})
    ]


def test_kubernetes_workers_know_their_places(objects: dict[str, Any], tmp_path: Path) -> None:
    job = objects["Job"]
    assert job["spec"]["completionMode"] == "Indexed"
    count = job["spec"]["completions"]
    assert job["spec"]["parallelism"] == count
    workers = kubernetes_workers(job, tmp_path)
    assert_places(workers, count)
    assert_same_training(workers, count, tmp_path)


def test_kubernetes_workers_find_each_other(objects: dict[str, Any], tmp_path: Path) -> None:
    service, job = objects["Service"], objects["Job"]
    template = job["spec"]["template"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    name = service["metadata"]["name"]
    assert template["spec"]["subdomain"] == name
    config, _ = kubernetes_workers(job, tmp_path)[0]
    hosts = [each.partition(":")[0] for each in json.loads(config)["cluster"]["worker"]]
    pods = [f"{job['metadata']['name']}-{index}" for index in range(job["spec"]["completions"])]
    assert hosts == [f"{pod}.{name}" for pod in pods]


def test_kubernetes_workers_go_on_in_one_folder(objects: dict[str, Any], tmp_path: Path) -> None:
    template = objects["Job"]["spec"]["template"]["spec"]
    assert template["restartPolicy"] == "OnFailure"
    (container,) = template["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] >= 1
    volumes = {each["name"]: each for each in template["volumes"]}
    mounts = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    (shared,) = [path for path, volume in mounts.items() if "persistentVolumeClaim" in volume]
    _, arguments = kubernetes_workers(objects["Job"], tmp_path)[0]
    folders = [arguments[arguments.index(option) + 1] for option in ("--data", "--run")]
    assert all(folder.startswith(f"{shared}/") for folder in folders)


def test_kubernetes_leaves_the_script_as_it_is(objects: dict[str, Any]) -> None:
    """Kubernetes itself replaces $(NAME) in a command, and $$ by $."""
    (container,) = objects["Job"]["spec"]["template"]["spec"]["containers"]
    assert not any("$(" in text or "$$" in text for text in container["args"])


def test_slurm_workers_know_their_places(tmp_path: Path) -> None:
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", SBATCH.read_text(), re.MULTILINE))
    assert options["ntasks-per-node"] == "1"
    variables = {
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NODELIST": "gpu[1-4]",
        "SLURM_JOB_NUM_NODES": options["nodes"],
        "SLURM_CPUS_PER_TASK": options["cpus-per-task"],
    }
    workers = run_script(["bash", str(SBATCH)], tmp_path, variables)
    assert_places(workers, int(options["nodes"]))
    assert_same_training(workers, int(options["nodes"]), tmp_path)
    assert json.loads(workers[0][0])["cluster"]["worker"][0] == "gpu1:23456"


def commands() -> list[str]:
    """The `train` commands of the page."""
    found = re.findall(r"^.*?\b(bone-age-tf train .*)$", PAGE.read_text(), re.MULTILINE)
    return [line for line in found if "`" not in line and '"$@"' not in line]


def test_the_page_has_commands() -> None:
    assert len(commands()) > 5


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_page_is_accepted(command: str, tmp_path: Path) -> None:
    accepted(shlex.split(command)[1:], tmp_path)


def test_a_setting_that_does_not_exist_is_not_accepted(tmp_path: Path) -> None:
    """So that the tests above say something."""
    words = ["train", "--data", "prepared", "--run", "runs/1"]
    with pytest.raises(click.UsageError):
        accepted([*words, "--no-such-option"], tmp_path)
    with pytest.raises(Exception, match="no setting 'epoch'"):
        accepted([*words, "--set", "train.epoch=1"], tmp_path)


@pytest.mark.parametrize(("language", "file"), [("bash", SBATCH), ("yaml", KUBERNETES)])
def test_what_the_page_quotes_is_in_the_file(language: str, file: Path) -> None:
    quotes = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert quotes
    text = "\n".join(line.strip() for line in file.read_text().splitlines())
    for quote in quotes:
        plain = "\n".join(line.strip() for line in textwrap.dedent(quote).splitlines())
        assert plain in text


def test_links_of_the_page_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", PAGE.read_text())
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
