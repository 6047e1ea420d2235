"""Admission: at most `max_in_flight` radiographs of all requests (REST, gRPC, page) are in flight.

A request that would exceed this is turned away at once, with 503. Everything here runs on the server's
event loop, so nothing needs a lock.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bone_age_tf.export.signatures import IMAGE_BYTES, SERVING, STATUS
from bone_age_tf.record import SEX
from bone_age_tf.serving.contract import Code, ServingError, invalid
from bone_age_tf.serving.served_model import Row, ServedModel, sexes_of


class BusyError(ServingError):
    """The maximum number of radiographs is in flight: the request may be repeated after a second."""

    def __init__(self) -> None:
        super().__init__(Code.UNAVAILABLE, "The server is at capacity. Try again in a second.")


class Admission:
    """Admission control of one server."""

    def __init__(
        self,
        max_in_flight: int,
        count: Callable[[Sequence[bytes]], None] = lambda statuses: None,
    ) -> None:
        """`count` receives the status of every radiograph of an answer."""
        self._max_in_flight = max_in_flight
        self._count = count
        self._in_flight = 0
        self._is_closed = False
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def in_flight(self) -> int:
        """Radiographs that are waiting or being processed."""
        return self._in_flight

    def require_room(self) -> None:
        """Before the work of reading a request that would be turned away. Raises `ServingError`, `BusyError`."""
        self._require_room_for(1)

    async def predict(
        self, model: ServedModel, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Inputs that fit the signature -> its outputs by name. Raises `ServingError`, `BusyError`."""
        count = len(next(iter(inputs.values())))
        if count > self._max_in_flight:
            raise invalid(
                f"A request may hold {self._max_in_flight} radiographs at most. Received {count}."
            )
        sexes = sexes_of(inputs[SEX].tolist()) if SEX in inputs else []
        if SEX in inputs:  # the SavedModel takes F, M and unknown only
            inputs = {**inputs, SEX: np.array([sex.encode() for sex in sexes], object)}
        if signature != SERVING:
            with self.slots(count):
                return await model.call(signature, inputs)
        rows = await self._rows(model, inputs[IMAGE_BYTES].tolist(), sexes)
        self._count([row.outputs[STATUS] for row in rows])
        return joined(rows, model.output_names)

    @contextlib.contextmanager
    def slots(self, count: int = 1) -> Iterator[None]:
        """Count radiographs as in flight until the block ends. Raises `BusyError`."""
        self._enter(count)
        try:
            yield
        finally:
            self._leave(count)

    async def close(self, seconds: float) -> bool:
        """Admit no more requests; whether all radiographs in flight are answered within the time."""
        self._is_closed = True
        try:
            async with asyncio.timeout(seconds):
                await self._is_idle.wait()
        except TimeoutError:
            return False
        return True

    async def _rows(
        self, model: ServedModel, files: Sequence[bytes], sexes: Sequence[str]
    ) -> list[Row]:
        """Admit all files or none; each leaves when it is answered, not when the last one is."""
        self._enter(len(files))
        tasks = [
            asyncio.create_task(model.answer_file(encoded, sex))
            for encoded, sex in zip(files, sexes, strict=True)
        ]
        for task in tasks:  # not `finally` inside: a task that is cancelled early never gets there
            task.add_done_callback(lambda _: self._leave(1))
        return await asyncio.gather(*tasks)

    def _require_room_for(self, count: int) -> None:
        if self._is_closed:
            raise ServingError(Code.UNAVAILABLE, "The server is stopping.")
        if self._in_flight + count > self._max_in_flight:
            raise BusyError

    def _enter(self, count: int) -> None:
        self._require_room_for(count)
        self._in_flight += count
        self._is_idle.clear()

    def _leave(self, count: int) -> None:
        self._in_flight -= count
        if self._in_flight == 0:
            self._is_idle.set()


def joined(rows: Sequence[Row], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows -> outputs by name. Raises `ServingError` where no file of the request could be read."""
    if all(row.rejection is not None for row in rows):
        reasons = [
            f"rejected ({row.rejection.reason}): {row.rejection.explanation}"
            for row in rows
            if row.rejection is not None
        ]
        raise invalid("; ".join(dict.fromkeys(reasons))[:2000])
    return {name: _column([row.outputs[name] for row in rows]) for name in names}


def _column(values: Sequence[Any]) -> np.ndarray:
    if isinstance(values[0], bytes):
        column = np.empty(len(values), object)
        column[:] = values
        return column
    return np.asarray(values, np.float32)
