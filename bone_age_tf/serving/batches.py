"""Micro-batching: prepared radiographs of concurrent requests run through one network in batches.

Nothing waits for a batch to fill: while the network is busy, radiographs gather; when it is free, it
takes them, up to `BATCH_SIZE`. So a single request is not delayed, and many share the cost of a call.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

BATCH_SIZE = 4
"""Larger batches are no faster on a CPU, and need more memory."""

Network = Callable[[np.ndarray, Sequence[str]], dict[str, np.ndarray]]
"""Prepared radiographs uint8 [N, height, width, 1] and F, M, unknown [N] -> outputs by name, [N] each."""


class _Waiting(NamedTuple):
    image: np.ndarray
    sex: str
    answer: "asyncio.Future[dict[str, Any]]"


class MicroBatcher:
    """One network, called by a dedicated thread, which ends when this object is no longer referenced."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._waiting: list[_Waiting] = []
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, image: np.ndarray, sex: str) -> dict[str, Any]:
        """A prepared radiograph uint8 [height, width, 1] -> its outputs by name. Raises what the network raises."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(image, sex, loop.create_future())
        self._waiting.append(waiting)
        if self._task is None:
            self._task = loop.create_task(self._work())
        return await waiting.answer

    async def _work(self) -> None:
        """Process batches until the queue is empty."""
        try:
            while batch := self._next_batch():
                await self._answer(batch)
        finally:
            self._task = None

    def _next_batch(self) -> list[_Waiting]:
        wanted = [one for one in self._waiting if not one.answer.done()]  # done: cancelled
        self._waiting = wanted[BATCH_SIZE:]
        return wanted[:BATCH_SIZE]

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        try:
            rows = await loop.run_in_executor(self._thread, self._rows, batch)
        except Exception as error:  # whatever it is belongs to the requests of this batch
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        for one, row in zip(batch, rows, strict=True):
            if not one.answer.done():
                one.answer.set_result(row)

    def _rows(self, batch: Sequence[_Waiting]) -> list[dict[str, Any]]:
        images, sexes = [one.image for one in batch], [one.sex for one in batch]
        outputs = self._network(np.stack(images), sexes)
        return [
            {name: values[row] for name, values in outputs.items()} for row in range(len(batch))
        ]
