"""The runner in a cluster of threads; processes, kills and full disks are in `test_dask_cluster.py`."""

import dataclasses
import errno
import hashlib
import pickle
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import write_kaggle_layout

from bone_age_tf.cli import main as cli
from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep import dask_runner as module
from bone_age_tf.data_prep.dask_runner import dask_runner, environment, write_on_worker
from bone_age_tf.data_prep.prepare import Runner, prepare
from bone_age_tf.data_prep.shards import ShardResult, ShardTask, write_shard
from bone_age_tf.errors import EnvironmentFaultError, UsageError

pytestmark = pytest.mark.filterwarnings("ignore")  # Dask's own
LETTERBOX = PreprocessingConfig(method="letterbox", scale=0.05)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler and the workers 0 and 1, a thread each."""
    distributed = pytest.importorskip("distributed", reason="Dask (the extra `dask`) is missing")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as made:
        yield made


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle_layout(tmp_path_factory.mktemp("dask") / "raw", 6)


def _prepare(raw: Path, output: Path, runner: Runner | None) -> list[tuple[int, int]]:
    """The progress that was told."""
    told: list[tuple[int, int]] = []
    config = PrepareConfig(source=str(raw), output=str(output), preprocessing=LETTERBOX, shards=3)
    prepare(
        config,
        runner=runner,
        on_progress=lambda stage, done, total: (
            told.append((done, total)) if stage == "prepare" else None
        ),
    )
    return told


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _only_on(worker: int, fault: Exception) -> Any:
    """`write_shard` with this fault on all other workers."""

    def write(task: ShardTask) -> ShardResult:
        import distributed

        if distributed.get_worker().name != worker:
            raise fault
        return write_shard(task)

    return write


@pytest.mark.large
def test_a_worker_with_a_full_disk_gets_no_more_shards(
    cluster: Any,
    raw: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _prepare(raw, tmp_path / "local", None)
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(module, "write_shard", _only_on(1, full))
    told = _prepare(raw, tmp_path / "dask", dask_runner(cluster.scheduler_address))
    assert _digests(tmp_path / "dask") == _digests(tmp_path / "local")
    assert told == [(done, 6) for done in range(7)]
    (line,) = [one.getMessage() for one in caplog.records if "no more shards" in one.getMessage()]
    assert cluster.workers[0].address in line
    assert "No space left on device" in line


@pytest.mark.large
def test_where_no_worker_can_write_nothing_is_left_and_each_says_why(
    cluster: Any, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = EnvironmentFaultError("the disk is full")
    monkeypatch.setattr(module, "write_shard", _only_on(2, fault))
    with pytest.raises(EnvironmentFaultError, match=r"(?s)No worker.*resumes") as caught:
        _prepare(raw, tmp_path / "out", dask_runner(cluster.scheduler_address))
    for worker in cluster.workers.values():
        assert f"{worker.address}: the disk is full" in str(caught.value)
    assert not [path for path in (tmp_path / "out").rglob("*") if "tfrecord" in path.name]


def test_the_scheduler_needs_neither_this_package_nor_tensorflow() -> None:
    """It unpickles what is submitted."""
    cloudpickle = pytest.importorskip("cloudpickle")
    sent = cloudpickle.dumps(module._write_shard_function())
    program = "import pickle, sys; pickle.loads(sys.stdin.buffer.read()); print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-S", "-c", program],
        input=sent,
        env={"PYTHONPATH": str(Path(cloudpickle.__file__).parents[1])},
        capture_output=True,
        check=True,
    )
    assert not {b"bone_age_tf", b"tensorflow"} & {*told.stdout.split()}


@pytest.fixture(scope="module")
def task(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardTask:
    tasks: list[ShardTask] = []

    def catch(sent: Sequence[ShardTask], on_record: Any) -> list[ShardResult]:
        tasks.extend(sent)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _prepare(raw, tmp_path_factory.mktemp("task") / "out", catch)
    return tasks[0]


def test_a_worker_with_other_versions_says_which(task: ShardTask) -> None:
    versions = {**environment(LETTERBOX), "tensorflow": "1.0"}
    fault = write_on_worker(pickle.dumps((task, versions)))
    assert fault == f"it has tensorflow {environment(LETTERBOX)['tensorflow']} instead of 1.0"


@pytest.mark.parametrize("missing", ["folder", "source"])
def test_a_worker_names_what_it_does_not_see(task: ShardTask, tmp_path: Path, missing: str) -> None:
    absent = tmp_path / "absent"
    if missing == "folder":
        task = dataclasses.replace(task, folder=str(absent))
    else:
        row = task.rows[0]
        row = dataclasses.replace(row, file=dataclasses.replace(row.file, path=str(absent)))
        task = dataclasses.replace(task, rows=(row, *task.rows[1:]))
    fault = write_on_worker(pickle.dumps((task, environment(LETTERBOX))))
    assert str(fault).startswith(f"it does not see {absent}")


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"bone-age-tf\[dask\]"):
        dask_runner("tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("scheduler", "error", "words"),
    [
        ("tcp://127.0.0.1:1", EnvironmentFaultError, "no Dask scheduler answers"),
        ("nonsense://x", UsageError, "expected an address as in tcp://host:8786"),
        ("absent.json", UsageError, "there is no such scheduler file"),
    ],
)
def test_a_scheduler_that_cannot_be_reached_is_an_error_before_the_checks(
    monkeypatch: pytest.MonkeyPatch, scheduler: str, error: type[Exception], words: str
) -> None:
    pytest.importorskip("distributed", reason="Dask (the extra `dask`) is missing")
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.3)
    with pytest.raises(error, match=words):
        dask_runner(scheduler)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--runner", "dask"], "--runner dask needs --scheduler"),
        (["--scheduler", "tcp://host:8786"], "--runner local, --scheduler tcp://host:8786"),
        (["--beam-option", "--x=y"], "--beam-option needs --runner beam"),
    ],
)
def test_options_of_another_runner_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert cli.run(["prepare", str(tmp_path), "--output", str(tmp_path / "out"), *arguments]) == 2
    assert words in capsys.readouterr().err
