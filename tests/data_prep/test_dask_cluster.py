"""`prepare` on a Dask cluster of three processes: one killed, one whose disk is full, a scheduler that dies."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import write_kaggle_layout

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep.dask_runner import dask_runner
from bone_age_tf.data_prep.prepare import Runner, prepare
from bone_age_tf.errors import EnvironmentFaultError

pytestmark = [pytest.mark.release, pytest.mark.filterwarnings("ignore")]
COUNT, SHARDS = 24, 6

_FULL = """
mount -t tmpfs -o size=4k none "$1" && mkdir "$1/upper" "$1/work" &&
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" none "$2" && shift 2 && exec "$@"
"""
"""In a mount namespace of its own: sees what others write in a folder, and has 4 KB for its own files there, less than a shard."""


class Cluster:
    """A scheduler and its workers, each a process."""

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("distributed", reason="Dask (the extra `dask`) is missing")
        self._folder = folder
        self.address = folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler",
            "--host=127.0.0.1",
            "--port=0",
            "--no-dashboard",
            f"--scheduler-file={self.address}",
        )
        self.workers: list[subprocess.Popen[bytes]] = []
        _wait(self.address.exists)

    def add_worker(self, *before: str) -> subprocess.Popen[bytes]:
        worker = self._start(
            "worker",
            f"--scheduler-file={self.address}",
            "--host=127.0.0.1",
            "--nthreads=1",
            "--no-nanny",
            "--no-dashboard",
            f"--local-directory={self._folder}",
            before=before,
        )
        self.workers.append(worker)
        _wait(lambda: self._registered() == len(self.workers))
        return worker

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()

    def _start(
        self, command: str, *options: str, before: tuple[str, ...] = ()
    ) -> subprocess.Popen[bytes]:
        program = [sys.executable, "-m", f"distributed.cli.dask_{command}"]
        return subprocess.Popen(
            [*before, *program, *options],
            stderr=(self._folder / f"{command}.log").open("ab"),
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def _registered(self) -> int:
        return (self._folder / "scheduler.log").read_text().count("Register worker")


def _wait(is_done: object, seconds: float = 300) -> None:
    assert callable(is_done)
    until = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle_layout(tmp_path_factory.mktemp("dask") / "raw", COUNT)


@pytest.fixture(scope="module")
def local(raw: Path) -> dict[str, str]:
    return _prepared(raw, raw.with_name("local"), None)


def _prepared(
    raw: Path, output: Path, runner: Runner | None, on_shard: object = None
) -> dict[str, str]:
    """Digest of each file of the data set; `on_shard()` is called when the first shard is finished."""
    hooks = [on_shard] if callable(on_shard) else []
    told = []

    def on_progress(stage: str, done: int, total: int) -> None:
        if stage == "prepare":
            told.append(done)
            if done and hooks:
                hooks.pop()()

    config = PrepareConfig(
        source=str(raw),
        output=str(output),
        preprocessing=PreprocessingConfig(scale=0.05),
        shards=SHARDS,
    )
    prepare(config, runner=runner, on_progress=on_progress)
    assert told == list(range(COUNT + 1))
    assert not (output / ".prepare").exists()
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in output.glob("*.*")}


def test_a_worker_is_killed_and_the_bytes_are_those_of_the_local_run(
    cluster: Cluster, raw: Path, local: dict[str, str], tmp_path: Path
) -> None:
    cluster.add_worker()
    victim = cluster.add_worker()
    runner = dask_runner(str(cluster.address))
    assert _prepared(raw, tmp_path / "out", runner, victim.kill) == local
    assert victim.wait() == -signal.SIGKILL


def test_a_worker_has_a_full_disk_and_the_bytes_are_those_of_the_local_run(
    cluster: Cluster,
    raw: Path,
    local: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    small, output = tmp_path / "small", tmp_path / "out"
    for folder in (small, output):
        folder.mkdir()
    full = ("unshare", "--mount", "bash", "-c", _FULL, "bash", str(small), str(output))
    if subprocess.run([*full, "true"], check=False, capture_output=True).returncode:
        pytest.skip("expected the right to mount, as root has it")
    cluster.add_worker(*full)
    cluster.add_worker()
    runner = dask_runner(str(cluster.address))
    assert _prepared(raw, output, runner) == local
    assert "No space left on device" in caplog.text
    assert "gets no more shards" in caplog.text


def test_a_lost_scheduler_ends_the_run_and_the_same_command_resumes(
    cluster: Cluster, raw: Path, local: dict[str, str], tmp_path: Path
) -> None:
    cluster.add_worker()
    runner = dask_runner(str(cluster.address))
    with pytest.raises(EnvironmentFaultError, match="was lost"):
        _prepared(raw, tmp_path / "out", runner, cluster.scheduler.kill)
    assert not (tmp_path / "out/manifest.json").exists()
    assert _prepared(raw, tmp_path / "out", None) == local
