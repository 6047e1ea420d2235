"""One device, two devices of one process, two processes: the same numbers."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bone_age_tf.config import override
from bone_age_tf.errors import UsageError
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training.strategy import read_cluster
from bone_age_tf.training.train import train

History = list[dict[str, float]]

SECONDS = 1800
"""A process that hangs is ended after so long."""
SETTINGS = (
    "logging.tensorboard=false",
    "train.epochs=3",
    "train.precision=float32",
    "train.normalization=synchronized",
    "train.learning_rate=3e-5",
    "model.dropout=0",
    "train.batch_size=10",
    "train.readers=2",
    "train.drop_remainder=false",
    "train.gradient_accumulation_steps=2",
    "train.global_clipnorm=0.5",
    "train.ema_momentum=0.9",
)

TRAIN = """
import json, sys
import tensorflow as tf
devices, data, *runs = sys.argv[1:]
cpu = tf.config.list_physical_devices("CPU")[0]
if devices == "2":
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from bone_age_tf.config import override
from bone_age_tf.errors import BoneAgeError
from bone_age_tf.recipes import load_recipe
from bone_age_tf.training import strategy
from bone_age_tf.training.train import train
if devices == "2":
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    strategy.choose_devices = lambda: strategy.Devices(mirrored)
for text in runs:
    run, *settings = json.loads(text)
    try:
        report = train(override(load_recipe("tiny"), settings), data=data, run=run, initial_weights="none")
    except BoneAgeError as error:
        sys.exit(f"{error.exit_code}: {error}")
    print(json.dumps(report.history))
"""
"""Each run is its folder and its settings."""


def start(data: Path, run: Path, *settings: str, tf_config: str = "{}") -> subprocess.Popen[str]:
    return start_all(data, {run: settings}, tf_config=tf_config)


def start_all(
    data: Path, runs: Mapping[Path, Sequence[str]], *, devices: int = 1, tf_config: str = "{}"
) -> subprocess.Popen[str]:
    """Trainings one after the other in one process."""
    texts = [json.dumps([str(run), *SETTINGS, *settings]) for run, settings in runs.items()]
    return subprocess.Popen(
        [sys.executable, "-c", TRAIN, str(devices), str(data), *texts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CONFIG": tf_config, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def read_history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open() as stream:
        return list(csv.DictReader(stream))


def finish(process: subprocess.Popen[str]) -> History:
    """The history that the last training printed."""
    return finish_all(process)[-1]


def finish_all(process: subprocess.Popen[str]) -> list[History]:
    try:
        output, errors = process.communicate(timeout=SECONDS)
    finally:
        process.kill()  # a worker that waits for another ignores SIGTERM
    assert process.returncode == 0, errors[-3000:]
    return [json.loads(line) for line in output.splitlines() if line.startswith("[{")]


def train_here(data: Path, run: Path, *settings: str) -> History:
    config = override(load_recipe("tiny"), [*SETTINGS, *settings])
    return train(config, data=str(data), run=str(run), initial_weights="none").history


def clusters(workers: int) -> list[str]:
    """A `TF_CONFIG` for each worker, on free ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for each in sockets:
        each.close()
    cluster = {"worker": addresses}
    return [
        json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        for index in range(workers)
    ]


def start_workers(data: Path, run: Path, *settings: str) -> list[subprocess.Popen[str]]:
    return [start(data, run, *settings, tf_config=config) for config in clusters(2)]


def assert_close(first: History, second: History) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert other == {name: pytest.approx(value, rel=1e-5) for name, value in one.items()}


@pytest.fixture(scope="module")
def alone(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> History:
    """The history of one process with one device."""
    return train_here(prepared, tmp_path_factory.mktemp("alone") / "run")


OTHERS = {
    "several steps per execution": ("train.steps_per_execution=2",),
    "sex": ("model.target=sex",),
    "label distribution": ("model.head=expectation", "train.label_distribution=1"),
}


def train_on_two(
    data: Path, folder: Path, settings: Mapping[str, Sequence[str]]
) -> dict[str, History]:
    """The histories of trainings on two devices, in one process."""
    runs = {folder / name: values for name, values in settings.items()}
    return dict(zip(settings, finish_all(start_all(data, runs, devices=2)), strict=True))


@pytest.mark.large
def test_two_devices_train_like_one(alone: History, prepared: Path, tmp_path: Path) -> None:
    (history,) = train_on_two(prepared, tmp_path, {"as it is": ()}).values()
    assert_close(alone, history)


@pytest.mark.release
def test_two_devices_train_like_one_in_other_ways(prepared: Path, tmp_path: Path) -> None:
    histories = train_on_two(prepared, tmp_path / "two", OTHERS)
    for name, settings in OTHERS.items():
        assert_close(train_here(prepared, tmp_path / name, *settings), histories[name])


@pytest.mark.large
def test_two_workers_train_like_one_process(alone: History, prepared: Path, tmp_path: Path) -> None:
    chief, other = start_workers(prepared, tmp_path / "run")
    assert_close(alone, finish(chief))
    assert_close(alone, finish(other))
    assert len(read_history(tmp_path / "run")) == len(alone)


@pytest.mark.release
def test_a_signal_to_one_worker_stops_all_and_one_process_goes_on(
    prepared: Path, tmp_path: Path
) -> None:
    """`readers` is named, so that the number of workers may change."""
    run, settings = tmp_path / "run", ("train.epochs=30",)
    chief, other = start_workers(prepared, run, *settings)
    while not (run / "checkpoint.npz").exists():
        assert chief.poll() is None, chief.communicate()[1][-3000:]
        time.sleep(0.2)
    other.send_signal(signal.SIGTERM)
    for worker in (chief, other):
        _, errors = worker.communicate(timeout=60)
        assert "143: stopped in epoch" in errors, errors[-3000:]
    whole = train_here(prepared, tmp_path / "whole", *settings)
    resumed = train_here(prepared, run, *settings)
    assert len(resumed) == 30
    for one, again in zip(whole[:5], resumed[:5], strict=True):  # rounding grows from step to step
        assert again["mae_months"] == pytest.approx(one["mae_months"], rel=1e-3)


def kill_a_worker(data: Path, run: Path, *settings: str) -> None:
    """Train with two until there is a checkpoint; then one is killed, and the other ends with a message."""
    chief, other = start_workers(data, run, *settings, "train.checkpoint_minutes=0")
    while not (run / "checkpoint.npz").exists():
        assert chief.poll() is None, chief.communicate()[1][-3000:]
        time.sleep(0.01)
    other.kill()
    _, errors = chief.communicate(timeout=SECONDS)
    other.communicate()
    assert (
        chief.returncode == 1 and "6: Worker 0 has lost the connection to the others" in errors
    ), errors[-3000:]
    assert not (run / "history.csv").exists() or len(read_history(run)) < 2


def train_with_two(data: Path, run: Path, *settings: str) -> History:
    """The history of a run of two workers, which both print."""
    workers = start_workers(data, run, *settings, "train.checkpoint_minutes=0")
    one, other = (finish(worker) for worker in workers)
    assert one == other
    return one


@pytest.mark.release
def test_a_killed_worker_ends_the_others_and_all_go_on_again(
    alone: History, prepared: Path, tmp_path: Path
) -> None:
    kill_a_worker(prepared, tmp_path / "run")
    assert_close(alone, train_with_two(prepared, tmp_path / "run"))


INCEPTION = ("model.backbone=inception_v3", "train.epochs=2", "train.gradient_accumulation_steps=1")


@pytest.mark.release
def test_workers_of_a_full_size_network_go_on_after_a_kill(prepared: Path, tmp_path: Path) -> None:
    """94 normalizations, each of which adds up statistics over the workers."""
    whole = train_with_two(prepared, tmp_path / "whole", *INCEPTION)
    kill_a_worker(prepared, tmp_path / "run", *INCEPTION)
    assert_close(whole, train_with_two(prepared, tmp_path / "run", *INCEPTION))
    assert read_history(tmp_path / "run") == read_history(tmp_path / "whole")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (0, 1)),
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', (1, 2)),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            (1, 2),
        ),
        (
            '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}',
            (0, 2),
        ),
    ],
)
def test_tf_config_names_this_worker(text: str, expected: tuple[int, int]) -> None:
    assert read_cluster(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_that_cannot_be_is_rejected(text: str) -> None:
    with pytest.raises(UsageError, match=r"TF_CONFIG.*host1:12345"):
        read_cluster(text)
