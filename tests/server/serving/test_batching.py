"""The queue computes at once when idle, gathers under load, and never computes what nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from honeyguide.sdk.errors import DeadlinePassed, OverCapacity, Unavailable
from honeyguide.server.serving.batching import Batcher

NEVER = float("inf")


class Computer:
    """Doubles numbers; notes its batches; waits for `go` while it is held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, queries: list[int]) -> list[int]:
        self.batches.append(queries)
        self.begun.set()
        assert self.go.wait(10)
        if 13 in queries:
            raise ValueError("unlucky")
        return [2 * q for q in queries]


@asynccontextmanager
async def batching(computer: Computer, **options: int) -> AsyncIterator[Batcher[int, int]]:
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(
            computer, executor, asyncio.Semaphore(1), **{"max_batch_rows": 4, "max_queue_rows": 8} | options
        )
        try:
            yield batcher
        finally:
            computer.go.set()
            await batcher.close()


async def _busy(computer: Computer, batcher: Batcher[int, int]) -> asyncio.Task[list[int]]:
    """Lets a first batch occupy the executor."""
    computer.go.clear()
    first = asyncio.create_task(batcher.submit([0], NEVER))
    await asyncio.to_thread(computer.begun.wait, 10)
    return first


async def test_idle_queue_computes_at_once() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        assert await batcher.submit([1, 2], NEVER) == [2, 4]
    assert computer.batches == [[1, 2]]


async def test_calls_gather_while_a_batch_runs_and_rows_count() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        first = await _busy(computer, batcher)
        calls = [asyncio.create_task(batcher.submit(q, NEVER)) for q in ([1], [2, 3], [4, 5], [6])]
        await asyncio.sleep(0)
        computer.go.set()
        assert await asyncio.gather(*calls) == [[2], [4, 6], [8, 10], [12]]
        assert await first == [0]
    assert computer.batches == [[0], [1, 2, 3], [4, 5, 6]]  # at most 4 rows, a call's rows stay together


async def test_group_above_the_batch_size_goes_alone() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        assert await batcher.submit(list(range(6)), NEVER) == [0, 2, 4, 6, 8, 10]


async def test_full_queue_refuses_at_once_with_a_delay() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        await _busy(computer, batcher)
        waiting = [asyncio.create_task(batcher.submit([q], NEVER)) for q in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(OverCapacity, match="8 users wait already, 8 may") as caught:
            await asyncio.wait_for(batcher.submit([9], NEVER), 0.5)
        assert 0 < caught.value.retry_after <= 5
        computer.go.set()
        await asyncio.gather(*waiting)


async def test_cancelled_call_is_never_computed_and_its_mates_are() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        await _busy(computer, batcher)
        calls = [asyncio.create_task(batcher.submit([q], NEVER)) for q in (1, 2, 3)]
        await asyncio.sleep(0)
        calls[1].cancel()
        await asyncio.sleep(0)
        computer.go.set()
        assert await calls[0] == [2]
        assert await calls[2] == [6]
        with pytest.raises(asyncio.CancelledError):
            await calls[1]
    assert computer.batches == [[0], [1, 3]]


async def test_cancelled_calls_make_room_at_once() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        await _busy(computer, batcher)
        waiting = [asyncio.create_task(batcher.submit([q], NEVER)) for q in range(8)]
        await asyncio.sleep(0)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        late = asyncio.create_task(batcher.submit([7], NEVER))
        await asyncio.sleep(0)
        computer.go.set()
        assert await late == [14]
    assert computer.batches == [[0], [7]]


async def test_expired_call_is_never_computed() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        await _busy(computer, batcher)
        soon = asyncio.get_running_loop().time() + 0.02
        expired = asyncio.create_task(batcher.submit([1], soon))
        mate = asyncio.create_task(batcher.submit([2], NEVER))
        await asyncio.sleep(0.05)
        computer.go.set()
        with pytest.raises(DeadlinePassed):
            await expired
        assert await mate == [4]
    assert computer.batches == [[0], [2]]


async def test_patient_calls_wait_and_leave_half_of_the_queue_free() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        await _busy(computer, batcher)
        patient = [asyncio.create_task(batcher.submit([q, q], NEVER, patient=True)) for q in range(5)]
        await asyncio.sleep(0.01)
        single = asyncio.create_task(batcher.submit([9], NEVER))  # 4 of 8 places are left for it
        await asyncio.sleep(0.01)
        computer.go.set()
        assert await single == [18]
        assert await asyncio.gather(*patient) == [[2 * q] * 2 for q in range(5)]


async def test_patient_call_takes_the_room_of_cancelled_ones_although_nothing_else_runs() -> None:
    computer = Computer()
    slots = asyncio.Semaphore(0)  # another queue of the same executor has the only one
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(computer, executor, slots, max_batch_rows=4, max_queue_rows=8)
        waiting = asyncio.create_task(batcher.submit([1] * 4, NEVER))
        await asyncio.sleep(0.01)
        patient = asyncio.create_task(batcher.submit([2] * 4, NEVER, patient=True))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(0.01)
        slots.release()
        assert await asyncio.wait_for(patient, 5) == [4] * 4
        await batcher.close()


async def test_failure_of_a_batch_reaches_its_calls_alone() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        with pytest.raises(ValueError, match="unlucky"):
            await batcher.submit([13], NEVER)
        assert await batcher.submit([1], NEVER) == [2]


async def test_closed_queue_finishes_what_runs_and_refuses_the_rest() -> None:
    computer = Computer()
    async with batching(computer) as batcher:
        first = await _busy(computer, batcher)
        waiting = asyncio.create_task(batcher.submit([1], NEVER))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0.01)
        computer.go.set()
        await closing
        assert await first == [0]
        with pytest.raises(Unavailable, match="stopping"):
            await waiting
        with pytest.raises(Unavailable, match="stopping"):
            await batcher.submit([1], NEVER)
