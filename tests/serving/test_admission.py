"""Admission control: the number of radiographs in flight, and its release however a request ends."""

import asyncio
from typing import Any

import numpy as np
import pytest

from bone_age_tf.serving.admission import Admission, BusyError
from bone_age_tf.serving.contract import ServingError
from bone_age_tf.serving.served_model import Row

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class SlowModel:
    """Answers when it is told to."""

    output_names = ("status",)

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Any]] = []

    async def answer_file(self, encoded: bytes, sex: str) -> Any:
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]


async def begun(admission: Admission, model: Any, count: int) -> "asyncio.Task[Any]":
    """A request, up to where it waits. Raises what it raises until then."""
    inputs = {
        "image_bytes": np.array([b"x"] * count, object),
        "sex": np.array([b"F"] * count, object),
    }
    task = asyncio.create_task(admission.predict(model, "serving_default", inputs))
    await asyncio.sleep(0.01)
    if task.done():
        task.result()
    return task


def answered() -> Row:
    return Row({"status": b"ok"})


async def test_radiographs_are_in_flight_until_they_are_answered() -> None:
    admission, model = Admission(3), SlowModel()
    first = await begun(admission, model, 2)
    with pytest.raises(BusyError):
        await begun(admission, model, 2)
    await begun(admission, model, 1)
    assert admission.in_flight == 3
    model.waiting[0].set_result(answered())
    await asyncio.sleep(0.01)
    assert admission.in_flight == 2
    await begun(admission, model, 1)
    with pytest.raises(ServingError, match="3 radiographs at most"):
        await begun(admission, model, 4)
    assert len(model.waiting) == 4
    model.waiting[1].set_result(answered())
    assert (await first)["status"].tolist() == [b"ok", b"ok"]


async def test_a_radiograph_that_fails_is_no_longer_in_flight() -> None:
    class Failing(SlowModel):
        async def answer_file(self, encoded: bytes, sex: str) -> Any:
            if len(self.waiting) == 1:
                raise RuntimeError("no thread")
            return await super().answer_file(encoded, sex)

    admission, model = Admission(5), Failing()
    with pytest.raises(RuntimeError, match="no thread"):
        await begun(admission, model, 3)
    assert admission.in_flight == 1
    model.waiting[0].set_result(answered())
    await asyncio.sleep(0.01)
    assert admission.in_flight == 0


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
async def test_a_cancelled_request_is_no_longer_in_flight(steps: int) -> None:
    admission, model = Admission(5), SlowModel()
    inputs = {"image_bytes": np.array([b"x"] * 3, object), "sex": np.array([b"F"] * 3, object)}
    task = asyncio.create_task(admission.predict(model, "serving_default", inputs))  # type: ignore[arg-type]
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert admission.in_flight == 0


async def test_a_slot_is_held_for_other_work() -> None:
    admission = Admission(1)
    with admission.slots(), pytest.raises(BusyError):
        await begun(admission, SlowModel(), 1)
    assert admission.in_flight == 0


async def test_when_closed_it_waits_for_what_is_in_flight() -> None:
    admission, model = Admission(3), SlowModel()
    await begun(admission, model, 2)
    assert not await admission.close(0.01)
    with pytest.raises(ServingError, match="stopping"):
        await begun(admission, model, 1)
    loop = asyncio.get_running_loop()
    for one in model.waiting:
        loop.call_later(0.05, one.set_result, answered())
    assert await admission.close(10)


async def test_a_request_is_turned_away_before_it_is_read() -> None:
    admission, model = Admission(1), SlowModel()
    admission.require_room()
    await begun(admission, model, 1)
    with pytest.raises(BusyError):
        admission.require_room()
    model.waiting[0].set_result(answered())
    await asyncio.sleep(0.01)
    admission.require_room()
    await admission.close(1)
    with pytest.raises(ServingError, match="stopping"):
        admission.require_room()
