"""Micro-batching: waiting requests run as one batch, and each gets its own result."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from bone_age_tf.serving.batches import BATCH_SIZE, MicroBatcher

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_what_waits_goes_together_and_each_gets_its_own_answer() -> None:
    begun, go_on = threading.Event(), threading.Event()
    sizes = []

    def network(images: np.ndarray, sexes: Any) -> dict[str, np.ndarray]:
        begun.set()
        assert go_on.wait(10)
        sizes.append(len(images))
        return {"months": images[:, 0, 0, 0].astype(float), "sex": np.array(sexes)}

    batcher = MicroBatcher(network)
    tasks = []
    for number in range(1 + BATCH_SIZE + 3):
        image = np.full((2, 2, 1), number, np.uint8)
        tasks.append(asyncio.create_task(batcher(image, "FM"[number % 2])))
        if number == 0:
            assert await asyncio.to_thread(begun.wait, 10)
    await asyncio.sleep(0)
    go_on.set()
    found = await asyncio.gather(*tasks)
    assert [one["months"] for one in found] == list(range(len(tasks)))
    assert [one["sex"] for one in found] == ["FM"[n % 2] for n in range(len(tasks))]
    assert sizes == [1, BATCH_SIZE, 3]


async def test_what_was_cancelled_is_not_computed() -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[int] = []

    def network(images: np.ndarray, sexes: Any) -> dict[str, np.ndarray]:
        begun.set()
        assert go_on.wait(10)
        seen.extend(images[:, 0, 0, 0].tolist())
        return {"months": images[:, 0, 0, 0]}

    batcher = MicroBatcher(network)
    tasks = []
    for number in range(4):
        tasks.append(asyncio.create_task(batcher(np.full((2, 2, 1), number, np.uint8), "F")))
        if number == 0:
            assert await asyncio.to_thread(begun.wait, 10)
    await asyncio.sleep(0)
    tasks[0].cancel()  # it is being computed
    tasks[2].cancel()  # it waits
    await asyncio.sleep(0)
    go_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in found] == [True, False, True, False]
    assert seen == [0, 1, 3]


async def test_an_error_of_the_network_is_everybody_s() -> None:
    def network(images: np.ndarray, sexes: Any) -> dict[str, np.ndarray]:
        raise RuntimeError("no")

    batcher = MicroBatcher(network)
    images = np.zeros((2, 2, 2, 1), np.uint8)
    found = await asyncio.gather(*(batcher(x, "F") for x in images), return_exceptions=True)
    assert [str(one) for one in found] == ["no", "no"]


async def test_too_few_answers_are_an_error_and_the_next_one_is_answered() -> None:
    months = [np.zeros(0), np.zeros(1)]
    batcher = MicroBatcher(lambda images, sexes: {"months": months.pop(0)})
    with pytest.raises(IndexError):
        await batcher(np.zeros((2, 2, 1), np.uint8), "F")
    assert await batcher(np.zeros((2, 2, 1), np.uint8), "F") == {"months": 0}


def test_its_thread_ends_with_it_and_no_loop_owns_it() -> None:
    threads: set[threading.Thread] = set()

    def network(images: np.ndarray, sexes: Any) -> dict[str, np.ndarray]:
        threads.add(threading.current_thread())
        return {"months": np.ones(len(images))}

    batcher = MicroBatcher(network)
    for _ in range(2):  # a loop each
        assert asyncio.run(_ask(batcher)) == {"months": 1}
    (thread,) = threads
    del batcher
    thread.join(10)
    assert not thread.is_alive()


async def _ask(batcher: MicroBatcher) -> dict[str, Any]:
    return await batcher(np.zeros((2, 2, 1), np.uint8), "F")
