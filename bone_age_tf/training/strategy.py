"""Devices and workers (the only module that uses `tf.distribute`), and their precision.

| machines | devices | strategy                                                                      |
|----------|---------|-------------------------------------------------------------------------------|
| one      | one     | none                                                                          |
| one      | several | MirroredStrategy over all GPUs                                                |
| several  | any     | MultiWorkerMirroredStrategy over the workers that `TF_CONFIG` names           |

A replica is one device's copy of the model. The first worker is the chief: it alone writes.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf.errors import EnvironmentFaultError, UsageError

_BF16_FLAGS = ("avx512_bf16", "amx_bf16")
_PEER_IS_GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@dataclasses.dataclass(frozen=True)
class Devices:
    """All the devices of a run, and this worker's part of them."""

    strategy: tf.distribute.Strategy
    worker: int = 0
    """This process's number among the workers; 0 is the chief."""
    workers: int = 1

    @property
    def replicas(self) -> int:
        """Copies of the model on all workers together."""
        return self.strategy.num_replicas_in_sync

    @property
    def local_replicas(self) -> int:
        """Copies of the model on this worker."""
        return self.replicas // self.workers

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run folder."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Variables made inside live on every device."""
        return self.strategy.scope()

    def iterate(self, make: Callable[[], tf.data.Dataset]) -> Iterator[Any]:
        """Elements of this worker's data set, one after another for each of its replicas.

        Every `next` takes one element for each local replica.
        """
        return iter(self.strategy.distribute_datasets_from_function(lambda context: make()))

    def run(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """`step` on every replica; inside a graph."""
        return self.strategy.run(step, args=arguments)

    def total(self, value: Any) -> tf.Tensor:
        """Sum over all replicas of what `run` returned."""
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)

    def concatenated(self, value: Any) -> tf.Tensor:
        """What `run` returned, [n, ...] of every replica, as one [N, ...] on every worker."""
        return value if self.replicas == 1 else self.strategy.gather(value, axis=0)

    def move(
        self, targets: Sequence[keras.Variable], sources: Sequence[keras.Variable], share: tf.Tensor
    ) -> None:
        """Move targets by this share of the way to the sources, on each device by itself; outside of
        `run`."""
        for target, source in zip(targets, sources, strict=True):
            self.strategy.extended.update(
                target.value, _move, args=(source.value, share), group=False
            )

    def agree(self, values: Sequence[float], what: str) -> None:
        """Wait for every worker. Raises `EnvironmentFaultError` where their values differ."""
        if self.workers == 1:
            return
        own = tf.constant([values], tf.float64)

        @tf.function
        def gathered() -> tf.Tensor:
            return self.concatenated(self.run(lambda: tf.identity(own)))

        found = gathered().numpy()
        if not (found == found[0]).all():
            raise EnvironmentFaultError(
                f"The workers do not agree on {what}: {np.unique(found, axis=0).tolist()}. Expected one "
                "--run folder that every worker sees, and the same command on each."
            )

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turns what TensorFlow raises when another worker is gone into an `EnvironmentFaultError`."""
        try:
            yield
        except _PEER_IS_GONE as error:
            if self.workers == 1:
                raise
            raise EnvironmentFaultError(
                f"Worker {self.worker} has lost the connection to the others: one of {self.workers} workers, or the "
                "network, is down. Start the same command on every worker again: training resumes from the "
                f"last checkpoint. (TensorFlow: {type(error).__name__})"
            ) from error


def _move(target: tf.Variable, source: tf.Tensor, share: tf.Tensor) -> None:
    target.assign_sub((target - source) * share)


def all_reduce_sum(tensors: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Sum of every tensor over all replicas; inside of `Devices.run`."""
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))


def choose_devices() -> Devices:
    """The devices given by `TF_CONFIG` and the GPUs of this machine. To be called before any other
    computation. Raises `UsageError` where `TF_CONFIG` cannot be parsed.
    """
    if not os.environ.get("TF_CONFIG", "").strip():
        os.environ.pop("TF_CONFIG", None)  # TensorFlow fails on an empty one
    worker, workers = read_cluster(os.environ.get("TF_CONFIG", ""))
    if workers > 1:
        return Devices(tf.distribute.MultiWorkerMirroredStrategy(), worker, workers)
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return Devices(tf.distribute.MirroredStrategy())
    return Devices(tf.distribute.get_strategy())


def read_cluster(text: str) -> tuple[int, int]:
    """This worker's number (0: the chief) and the number of workers, from the text of `TF_CONFIG`."""
    if not text:
        return 0, 1
    try:
        settings = json.loads(text)
        cluster, task = settings.get("cluster", {}), settings.get("task", {})
        chiefs, workers = len(cluster.get("chief", [])), len(cluster.get("worker", []))
        others = set(cluster) - {"chief", "worker", "evaluator"}
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, AttributeError, TypeError) as error:
        raise UsageError(f"TF_CONFIG cannot be parsed ({error}). {_TF_CONFIG_HELP}") from error
    number = index + (chiefs if kind == "worker" else 0)
    if chiefs + workers == 0:
        return 0, 1
    if others or kind not in ("chief", "worker") or not 0 <= number < chiefs + workers:
        raise UsageError(
            f"TF_CONFIG names a task or cluster that is not valid: {text}. {_TF_CONFIG_HELP}"
        )
    return number, chiefs + workers


_TF_CONFIG_HELP = (
    'Expected, as on the first of two workers: {"cluster": {"worker": ["host1:12345", "host2:12345"]}, '
    '"task": {"type": "worker", "index": 0}}.'
)


def choose_precision(setting: str) -> str:
    """A Keras dtype policy: the setting, or for `auto` bfloat16 where the device computes in it."""
    if setting != "auto":
        return setting
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        capability = min(detail.get("compute_capability", (0, 0)) for detail in details)
        return _gpu_precision(capability)
    flags = Path("/proc/cpuinfo")
    has_bf16 = flags.exists() and any(flag in flags.read_text() for flag in _BF16_FLAGS)
    return "mixed_bfloat16" if has_bf16 else "float32"


def _gpu_precision(capability: tuple[int, int]) -> str:
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"
