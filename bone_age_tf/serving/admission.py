"""Where every way in (REST, gRPC, page) hands its requests: a bounded number of them, or a clear no."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from bone_age_tf.export.exported_model import IMAGE_BYTES, SERVING, STATUS
from bone_age_tf.record import SEX
from bone_age_tf.serving.contract import Code, ServingError, invalid
from bone_age_tf.serving.served_model import Row, ServedModel, sexes_of


class BusyError(ServingError):
    """All places are taken: the request may come again in a second."""

    def __init__(self) -> None:
        super().__init__(Code.UNAVAILABLE, "All places are taken. Try again in a second.")


class Work(NamedTuple):
    """What has been begun for a request."""

    futures: Sequence["Future[Any]"]
    finish: Callable[[Sequence[Any]], dict[str, np.ndarray]]
    """Their results -> the outputs by name. Raises `ServingError`."""


class Desk:
    """Thread-safe."""

    def __init__(
        self,
        places: int,
        count: Callable[[Sequence[bytes]], None] = lambda statuses: None,
    ) -> None:
        """`places` are radiographs in the house; `count` is told the status of every file that was answered."""
        self.places = places
        self._count = count
        self._taken = 0
        self._is_closed = False
        self._lock = threading.Lock()
        self._is_empty = threading.Condition(self._lock)

    @property
    def taken(self) -> int:
        """Radiographs in the house."""
        return self._taken

    def begin(self, model: ServedModel, signature: str, inputs: Mapping[str, np.ndarray]) -> Work:
        """Begin a request whose inputs fit the signature. Raises `ServingError`, `BusyError`."""
        count = len(next(iter(inputs.values())))
        if count > self.places:
            raise invalid(
                f"A request may hold {self.places} radiographs at most. Received {count}."
            )
        if SEX in inputs:
            sexes = sexes_of(inputs[SEX].tolist())
        if signature != SERVING:
            return Work(self._admit([lambda: model.call(signature, inputs)], count), lambda r: r[0])
        files = zip(inputs[IMAGE_BYTES].tolist(), sexes, strict=True)
        calls = [lambda e=encoded, s=sex: model.answer_file(e, s) for encoded, sex in files]
        names = model.output_names

        def finish(rows: Sequence[Row]) -> dict[str, np.ndarray]:
            self._count([row.outputs[STATUS] for row in rows])
            return joined(rows, names)

        return Work(self._admit(calls, 1), finish)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """A place for work beside the model's answer. Raises `BusyError`."""
        self._enter(1)
        try:
            yield
        finally:
            self._leave(1)

    def close(self, seconds: float) -> bool:
        """Take no more; whether all that was begun is done within that time."""
        with self._is_empty:
            self._is_closed = True
            return self._is_empty.wait_for(lambda: self._taken == 0, seconds)

    def _admit(
        self, calls: Sequence[Callable[[], "Future[Any]"]], each: int
    ) -> list["Future[Any]"]:
        """Begin all calls, each of which takes so many places until it is done; or none of them."""
        self._enter(len(calls) * each)
        futures: list[Future[Any]] = []
        try:
            for call in calls:
                futures.append(call())
                futures[-1].add_done_callback(lambda _: self._leave(each))
        except BaseException:
            self._leave((len(calls) - len(futures)) * each)
            raise
        return futures

    def _enter(self, count: int) -> None:
        with self._lock:
            if self._is_closed:
                raise ServingError(Code.UNAVAILABLE, "The server is stopping.")
            if self._taken + count > self.places:
                raise BusyError
            self._taken += count

    def _leave(self, count: int) -> None:
        with self._is_empty:
            self._taken -= count
            self._is_empty.notify_all()


def joined(rows: Sequence[Row], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Rows -> outputs by name. Raises `ServingError` where no file of the request could be used."""
    if all(row.refusal is not None for row in rows):
        reasons = [
            f"refused ({row.refusal.reason}): {row.refusal.explanation}"
            for row in rows
            if row.refusal is not None
        ]
        raise invalid("; ".join(dict.fromkeys(reasons))[:2000])
    return {name: _column([row.outputs[name] for row in rows]) for name in names}


def _column(values: Sequence[Any]) -> np.ndarray:
    if isinstance(values[0], bytes):
        column = np.empty(len(values), object)
        column[:] = values
        return column
    return np.asarray(values, np.float32)
