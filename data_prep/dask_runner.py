"""`write_shard` on the workers of a Dask cluster (extra `[dask]`).

A shard whose worker died is written by another. A worker that cannot do its part, since a disk is full, a
folder is not shared or a version differs, gets no more shards: the others write them. Workers may come and go.
"""

import concurrent.futures
import functools
import importlib.metadata
import logging
import pickle
import platform
import queue
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data_prep.shards import ShardResult, ShardTask, write_shard
from bone_age_tf.errors import BoneAgeError, EnvironmentFaultError, UsageError
from bone_age_tf.preprocessing import pipeline

log = logging.getLogger(__name__)

CONNECT_SECONDS = 15
SILENT_SECONDS = 30
"""Without a finished shard: then it is checked whether there are workers."""
PACKAGES = ("bone-age-tf", "tensorflow", "numpy", "opencv-python-headless", "pillow", "pydicom")
"""Whose versions decide the bytes."""

AGAIN = "Then run the same command again: it resumes."

OnRecord = Callable[[], None]


def dask_runner(scheduler: str) -> Callable[[Sequence[ShardTask], OnRecord], list[ShardResult]]:
    """A runner for `prepare`; `scheduler` is an address, as in `tcp://host:8786`, or a scheduler file (`.json`).

    Source and output must be accessible to every worker under the same path. Raises `UsageError` where Dask
    is not installed, `EnvironmentFaultError` where no scheduler answers; so does the runner, and where no
    worker is left that can write.
    """
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--runner dask needs Dask. Install it, on the workers too, with: pip install 'bone-age-tf[dask]'"
        ) from error

    _connect(scheduler).close()  # now, not after minutes of checks

    def run(tasks: Sequence[ShardTask], on_record: OnRecord) -> list[ShardResult]:
        client = _connect(scheduler)
        try:
            return _Run(client, scheduler, on_record).write(tasks)
        except (concurrent.futures.CancelledError, OSError) as error:
            raise EnvironmentFaultError(
                f"The Dask scheduler {scheduler} was lost. Start it again. {AGAIN}"
            ) from error
        finally:
            client.close(timeout=2)

    return run


def _connect(scheduler: str) -> Any:
    import distributed

    is_file = scheduler.endswith(".json")
    if is_file and not Path(scheduler).is_file():
        raise UsageError(f"--scheduler {scheduler}: there is no such scheduler file.")
    where = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions, which a worker reports itself
            return distributed.Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except ValueError as error:
        raise UsageError(
            f"--scheduler {scheduler}: expected an address as in tcp://host:8786, or a scheduler file. {error}."
        ) from error
    except (OSError, TimeoutError) as error:
        raise EnvironmentFaultError(
            f"--scheduler {scheduler}: no Dask scheduler answers there. Start one with `dask scheduler`, which prints "
            "its address, and check that no firewall is in between."
        ) from error


class _Run:
    """One run: its shards in progress, and the workers that get no more."""

    def __init__(self, client: Any, scheduler: str, on_record: OnRecord) -> None:
        self._client = client
        self._scheduler = scheduler
        self._on_record = on_record
        self._write_shard = _write_shard_function()
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._running: dict[str, tuple[Any, ShardTask, frozenset[str]]] = {}
        """By key: future, its shard, the workers that it may run on (none: all)."""
        self._faults: dict[str, str] = {}

    def write(self, tasks: Sequence[ShardTask]) -> list[ShardResult]:
        """Write all shards; returns their results in order."""
        self._check_workers()
        self._versions = environment(tasks[0].preprocessing)
        for task in tasks:
            self._submit(task)
        results = {}
        while self._running:
            future, task = self._next()
            worker, answer = self._answer(future, task)
            if isinstance(answer, str):
                self._exclude(worker, answer)
                self._submit(task, self._sound_workers())
            else:
                results[task.name] = answer
                for _ in task.rows:
                    self._on_record()
        return [results[task.name] for task in tasks]

    def _submit(self, task: ShardTask, workers: frozenset[str] = frozenset()) -> None:
        payload = pickle.dumps((task, self._versions))
        future = self._client.submit(
            self._write_shard, payload, pure=False, workers=list(workers) or None
        )
        self._running[future.key] = future, task, workers
        future.add_done_callback(self._finished.put)

    def _next(self) -> tuple[Any, ShardTask]:
        """A future that is done, and its shard."""
        while True:
            try:
                future = self._finished.get(timeout=SILENT_SECONDS)
            except queue.Empty:
                self._check_workers()
                continue
            if future.key in self._running:
                return future, self._running.pop(future.key)[1]

    def _answer(self, future: Any, task: ShardTask) -> tuple[str, ShardResult | str]:
        """The worker, and the finished shard, or the worker's fault."""
        from distributed import KilledWorker

        try:
            worker, answer = future.result()
        except KilledWorker as error:
            raise EnvironmentFaultError(
                f"{task.name}: every worker that wrote it died, the last at {error.last_worker.address}. Is its memory "
                f"enough? {AGAIN}"
            ) from error
        if isinstance(answer, ShardResult) and not _is_seen(task, answer):
            return worker, f"what it wrote to {task.folder} is not seen here"
        return worker, answer

    def _exclude(self, worker: str, fault: str) -> None:
        if worker not in self._faults:
            log.warning("WARNING: the worker %s gets no more shards: %s", worker, fault)
        self._faults[worker] = fault
        if not self._sound_workers():
            faults = "".join(f"\n  {worker}: {fault}" for worker, fault in self._faults.items())
            raise EnvironmentFaultError(
                f"No worker of {self._scheduler} can write shards.{faults}\nMend one or add another. {AGAIN}"
            )

    def _sound_workers(self) -> frozenset[str]:
        return frozenset(self._client.nthreads()) - self._faults.keys()

    def _check_workers(self) -> None:
        """Say where there are none, and release the shards that only such workers could write as have left."""
        workers = frozenset(self._client.nthreads())
        if not workers:
            log.warning("%s has no worker: waiting for one.", self._scheduler)
        for key, (_, task, allowed) in [*self._running.items()]:
            if workers and allowed and not allowed & workers:
                del self._running[key]
                self._submit(task, self._sound_workers())


def _is_seen(task: ShardTask, result: ShardResult) -> bool:
    file = Path(task.folder) / task.name
    return file.is_file() and file.stat().st_size == result.shard.bytes


# === On a worker ===


def _write_shard_function() -> Callable[[bytes], tuple[str, Any]]:
    """What is submitted: a local function travels as code, so that the scheduler needs neither this package nor TensorFlow."""

    def write_shard(payload: bytes) -> tuple[str, Any]:
        import distributed

        worker = distributed.get_worker().address
        try:
            from bone_age_tf.data_prep.dask_runner import write_on_worker
        except ImportError as error:
            return worker, f"it cannot import bone-age-tf ({error}); install it in the same version"
        return worker, write_on_worker(payload)

    return write_shard


def write_on_worker(payload: bytes) -> ShardResult | str:
    """Write a shard in this process; returns a sentence where a fault of this machine prevents it.

    `payload` is a pickled `ShardTask` with the `environment` of the process that sends it.
    """
    try:
        task, versions = pickle.loads(payload)
        return _unlike(task, versions) or _not_shared(task) or write_shard(task)
    except (BoneAgeError, OSError) as error:
        return str(error)
    except (AttributeError, ImportError, pickle.UnpicklingError) as error:
        return f"it has another version of bone-age-tf ({error})"


@functools.cache
def environment(config: PreprocessingConfig) -> Mapping[str, str]:
    """What decides the bytes of a shard, of this process: Python, packages and the fingerprint of the preprocessing."""
    major, minor, _ = platform.python_version_tuple()
    versions = {name: _version(name) for name in PACKAGES}
    fingerprint = pipeline.fingerprint(config)
    return {"python": f"{major}.{minor}", **versions, "preprocessing": fingerprint[:12]}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _unlike(task: ShardTask, versions: Mapping[str, str]) -> str:
    own = environment(task.preprocessing)
    other = [
        f"{key} {own[key]} instead of {versions[key]}" for key in own if own[key] != versions[key]
    ]
    return f"it has {', '.join(other)}" if other else ""


def _not_shared(task: ShardTask) -> str:
    needed = [task.folder, *(row.file.path for row in task.rows)]
    missing = [path for path in needed if not Path(path).exists()]
    return (
        f"it does not see {missing[0]}; folders must be shared under the same path"
        if missing
        else ""
    )
