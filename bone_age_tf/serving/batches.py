"""Prepared radiographs of many requests -> one network, in batches of what is waiting.

Nothing waits for a batch to fill: while the network is busy, radiographs gather; when it is free, it
takes them, up to `BATCH_SIZE`. So a single request is not delayed, and many share the cost of a call.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

BATCH_SIZE = 8

Network = Callable[[np.ndarray, Sequence[str]], dict[str, np.ndarray]]
"""Prepared radiographs uint8 [N, height, width, 1] and F, M, unknown [N] -> outputs by name, [N] each."""


class Batches:
    """One network and the thread that calls it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._waiting: queue.SimpleQueue[tuple[np.ndarray, str, Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def put(self, image: np.ndarray, sex: str, answer: "Future[dict[str, Any]]") -> None:
        """Let `answer` become the outputs for this radiograph, or the network's error."""
        with self._lock:
            if not self._is_stopped:
                self._waiting.put((image, sex, answer))
                return
        self._answer([(image, sex, answer)])  # a request that began before the end

    def stop(self) -> None:
        """Answer what is waiting, then end the thread."""
        with self._lock:
            self._is_stopped = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        goes_on = True
        while goes_on:
            taken = [self._waiting.get()]
            while len(taken) < BATCH_SIZE and taken[-1] is not None:
                try:
                    taken.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            goes_on = taken[-1] is not None
            jobs = [job for job in taken if job is not None and not job[2].cancelled()]
            if jobs:
                self._answer(jobs)

    def _answer(self, jobs: Sequence[tuple[np.ndarray, str, "Future[Any]"]]) -> None:
        images, sexes, answers = zip(*jobs, strict=True)
        try:
            outputs = self._network(np.stack(images), sexes)
            rows = [
                {name: values[row] for name, values in outputs.items()} for row in range(len(jobs))
            ]
        except Exception as error:  # whatever it is belongs to those who wait
            for answer in answers:
                _set(answer, error=error)
            return
        for row, answer in zip(rows, answers, strict=True):
            _set(answer, row)


def _set(answer: "Future[Any]", value: Any = None, *, error: Exception | None = None) -> None:
    if answer.set_running_or_notify_cancel():
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)
