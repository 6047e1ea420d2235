import dataclasses
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import write_kaggle_layout

from bone_age_tf.config import PrepareConfig, PreprocessingConfig
from bone_age_tf.data_prep.prepare import prepare
from bone_age_tf.data_prep.shards import ShardResult, ShardTask, write_shard
from bone_age_tf.errors import EnvironmentFaultError

ENOUGH_FOR_NOTHING = 1024
"""Bytes; a shard of these tests is larger."""


class _StopError(Exception):
    pass


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kaggle_layout(tmp_path_factory.mktemp("shards") / "raw", 4)


@pytest.fixture
def task(raw: Path, tmp_path: Path) -> ShardTask:
    """The only shard of four radiographs, not yet written."""
    return _task(raw, tmp_path / "out", 0.05)


def _config(raw: Path, output: Path, scale: float) -> PrepareConfig:
    preprocessing = PreprocessingConfig(method="letterbox", scale=scale)
    return PrepareConfig(
        source=str(raw), output=str(output), preprocessing=preprocessing, split={"train": 1.0}
    )


def _task(raw: Path, output: Path, scale: float) -> ShardTask:
    """Of a run that was interrupted before it wrote it."""
    sent: list[ShardTask] = []

    def stop(tasks: Sequence[ShardTask], on_record: Callable[[], None]) -> list[ShardResult]:
        sent.extend(tasks)
        raise _StopError

    with suppress(_StopError):
        prepare(_config(raw, output, scale), runner=stop)
    (task,) = sent
    return task


@contextmanager
def _full_disk() -> Iterator[None]:
    """No file of this process can grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ENOUGH_FOR_NOTHING, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_a_fault_of_the_environment_and_leaves_nothing(task: ShardTask) -> None:
    with _full_disk(), pytest.raises(EnvironmentFaultError, match="cannot be written.*resumes"):
        write_shard(task)
    assert list(Path(task.folder).iterdir()) == []
    assert write_shard(task).shard.records == 4


def test_a_shard_that_two_write_at_once_is_one_shard(task: ShardTask) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(write_shard, [task] * 4)]
    assert len(set(results)) == 1
    assert sorted(path.name for path in Path(task.folder).iterdir()) == [
        task.name,
        f"{task.name}.json",
    ]
    assert (Path(task.folder) / task.name).stat().st_size == results[0].shard.bytes


def test_a_file_that_changed_since_the_check_is_not_prepared(task: ShardTask) -> None:
    changed = dataclasses.replace(task.rows[2], sha256="0" * 64)
    result = write_shard(dataclasses.replace(task, rows=(*task.rows[:2], changed, *task.rows[3:])))
    assert result.shard.records == 3
    (reject,) = result.rejects
    assert (reject.id, reject.code) == (changed.id, "unreadable")
    assert "has changed" in reject.message


def test_a_late_worker_of_a_run_with_other_settings_writes_into_no_other_run(
    raw: Path, task: ShardTask, tmp_path: Path
) -> None:
    """It has not heard that its run was interrupted, and finishes its shard while the next run works."""
    late: list[str] = []

    def runner(tasks: Sequence[ShardTask], on_record: Callable[[], None]) -> list[ShardResult]:
        assert [one.name for one in tasks] == [task.name]
        with pytest.raises(EnvironmentFaultError) as caught:
            write_shard(task)
        late.append(str(caught.value))
        return [write_shard(one) for one in tasks]

    prepare(_config(raw, tmp_path / "out", 0.1), runner=runner)
    assert len(late) == 1
    prepare(_config(raw, tmp_path / "straight", 0.1))
    name = next((tmp_path / "out").glob("*.tfrecord-*")).name
    assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert not (tmp_path / "out/.prepare").exists()


def test_tasks_name_files_by_paths_that_hold_in_every_folder(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(raw.parent)
    task = _task(Path("raw"), Path(tmp_path.name), 0.05)
    assert Path(task.folder).is_absolute()
    assert {Path(row.file.path).parent for row in task.rows} == {raw / "boneage-training-dataset"}
