"""The workers compute at once when idle, gather under load, share what waits, and compute nothing that nobody wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import pytest
from noted_calls import NotedCall

from honeyguide.sdk.errors import DeadlinePassed, HoneyguideError, OverCapacity, Unavailable
from honeyguide.server.serving.calls import ServerCall
from honeyguide.server.serving.workers import Workers


class Desk:
    """Echoes calls; notes its batches; waits for `go` while it is held."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[int] = set()
        self.begun: threading.Semaphore = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def answer(self, calls: list[ServerCall]) -> None:
        self.batches.append(len(calls))
        self.threads.add(threading.get_ident())
        self.begun.release()
        assert self.go.wait(10)
        for call in calls:
            call.respond(call.payload)

    def refuse(self, calls: Sequence[ServerCall], error: HoneyguideError) -> None:
        for call in calls:
            call.fail(error)  # type: ignore[arg-type]  # the tests look at the error itself


@contextmanager
def working(desk: Desk, **options: float) -> Iterator[Workers]:
    given = {"threads": 1, "max_batch_rows": 4, "max_queue_rows": 8, "max_queue_seconds": 60.0} | options
    workers = Workers(desk.answer, desk.refuse, **given)  # type: ignore[arg-type]  # numbers of both kinds
    workers.start()
    try:
        yield workers
    finally:
        desk.go.set()
        workers.close()


def hold(desk: Desk, workers: Workers) -> NotedCall:
    """Lets one call occupy a thread."""
    desk.go.clear()
    call = NotedCall(b"first")
    workers.put(call)
    assert desk.begun.acquire(timeout=10)
    return call


def put(workers: Workers, count: int) -> list[NotedCall]:
    calls = [NotedCall(b"%d" % number) for number in range(count)]
    for call in calls:
        workers.put(call)
    return calls


def test_an_idle_thread_computes_at_once() -> None:
    desk = Desk()
    with working(desk) as workers:
        for number in range(3):
            call = NotedCall(b"%d" % number)
            workers.put(call)
            assert call.result() == b"%d" % number
    assert desk.batches == [1, 1, 1]


def test_what_waits_is_computed_together_in_its_order() -> None:
    desk = Desk()
    with working(desk) as workers:
        first = hold(desk, workers)
        calls = put(workers, 6)
        desk.go.set()
        assert [call.result() for call in (first, *calls)] == [b"first", *(b"%d" % n for n in range(6))]
    assert desk.batches == [1, 4, 2]


def test_free_threads_share_many_calls_and_leave_few_together() -> None:
    desk = Desk()
    with working(desk, threads=2, max_batch_rows=64, max_queue_rows=100) as workers:
        hold(desk, workers)
        hold(desk, workers)
        calls = put(workers, 20)
        desk.go.set()
        assert {call.result() for call in calls} == {b"%d" % n for n in range(20)}
    assert max(desk.batches) <= 20
    assert sum(desk.batches) == 22
    assert len(desk.threads) == 2


def test_a_full_queue_refuses_at_once_and_says_when_to_come_again() -> None:
    desk = Desk()
    with working(desk, max_queue_rows=2) as workers:
        first = hold(desk, workers)
        calls = put(workers, 3)
        refusal = calls[2].result()
        assert isinstance(refusal, OverCapacity)
        assert 0.05 <= refusal.retry_after <= 5
        assert not calls[0].ended.is_set()
        desk.go.set()
        assert [call.result() for call in (first, *calls[:2])] == [b"first", b"0", b"1"]


def test_what_would_wait_too_long_is_refused_and_what_did_too() -> None:
    desk = Desk()
    with working(desk, max_queue_seconds=0.05) as workers:
        slow = hold(desk, workers)
        late = put(workers, 1)[0]
        time.sleep(0.1)
        desk.go.set()
        assert slow.result() == b"first"
        assert isinstance(late.result(), OverCapacity)
        hold(desk, workers)  # a call took a tenth of a second: ten would take a second
        calls = put(workers, 10)
        assert any(isinstance(call.result(), OverCapacity) for call in calls[8:])
        desk.go.set()


def test_the_late_and_the_withdrawn_are_not_computed_and_make_room() -> None:
    desk = Desk()
    with working(desk, max_queue_rows=2) as workers:
        hold(desk, workers)
        late, gone = NotedCall(b"late", deadline=time.monotonic() + 0.01), NotedCall(b"gone")
        workers.put(late)
        workers.put(gone)
        assert workers.waiting == 2
        workers.withdraw(gone)
        assert workers.waiting == 1  # at once, and not when the next batch is computed, of which there may be none
        (mate,) = put(workers, 1)
        time.sleep(0.02)
        desk.go.set()
        assert mate.result() == b"0"
        assert isinstance(late.result(), DeadlinePassed)
        assert not gone.ended.is_set()
    assert desk.batches == [1, 1]


def test_parts_of_long_work_take_turns_with_calls() -> None:
    desk, order = Desk(), []
    with working(desk) as workers:
        hold(desk, workers)
        for number in range(2):
            workers.put_part(lambda number=number: order.append((number, len(desk.batches))))
        calls = put(workers, 8)
        desk.go.set()
        for call in calls:
            call.result()
        workers.finish_begun()
    assert [number for number, _ in order] == [0, 1]
    assert desk.batches == [1, 4, 4]
    assert order[1][1] - order[0][1] == 1  # a batch of calls came between


def test_parts_are_small_while_calls_come_and_large_once_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    with working(desk, max_batch_rows=64) as workers:
        assert workers.part_rows == 64
        call = NotedCall(b"now")
        workers.put(call)
        call.result()
        assert workers.part_rows == 16
        monkeypatch.setattr("honeyguide.server.serving.workers.monotonic", lambda: call.arrived + 0.3)
        assert workers.part_rows == 64
    with working(desk, max_batch_rows=8) as workers:
        put(workers, 1)
        assert workers.part_rows == 8


def test_finish_begun_waits_for_what_is_computed_and_no_longer() -> None:
    desk = Desk()
    with working(desk) as workers:
        workers.finish_begun()
        hold(desk, workers)
        finished = threading.Event()
        waiting = threading.Thread(target=lambda: (workers.finish_begun(), finished.set()))
        waiting.start()
        assert not finished.wait(0.05)
        desk.go.set()
        assert finished.wait(10)
        waiting.join()


def test_closing_refuses_what_waits_and_finishes_what_was_begun() -> None:
    desk = Desk()
    with working(desk) as workers:
        first = hold(desk, workers)
        (waits,) = put(workers, 1)
        closing = threading.Thread(target=workers.close)
        closing.start()
        assert isinstance(waits.result(), Unavailable)
        desk.go.set()
        closing.join()
        assert first.result() == b"first"
        (after,) = put(workers, 1)
        assert isinstance(after.result(), Unavailable)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_leader_receives_while_others_compute(threads: int) -> None:
    desk, arriving = Desk(), SimpleQueue[list[NotedCall] | None]()
    workers = Workers(
        desk.answer, desk.refuse, threads=threads, max_batch_rows=64, max_queue_rows=3, max_queue_seconds=60
    )
    workers.start(arriving.get)
    desk.go.clear()
    busy = [NotedCall(b"busy") for _ in range(threads)]
    for call in busy:
        arriving.put([call])
        assert desk.begun.acquire(timeout=10)
    waiting = [NotedCall(b"%d" % n) for n in range(5)]
    arriving.put(waiting)
    # All places are taken; somebody receives all the same, and refuses what is too much.
    assert [isinstance(call.result(), OverCapacity) for call in waiting[3:]] == [True, True]
    desk.go.set()
    assert [call.result() for call in waiting[:3]] == [b"0", b"1", b"2"]
    part_done = threading.Event()
    workers.put_part(part_done.set)
    assert part_done.wait(10)
    for number in range(50):
        call = NotedCall(b"%d" % number)
        arriving.put([call])
        assert call.result() == b"%d" % number
    arriving.put(None)
    workers.close()
    assert all(call.ended.is_set() for call in busy)


def test_threads_outlive_what_should_not_be_raised(capsys: pytest.CaptureFixture[str]) -> None:
    desk, coming = Desk(), SimpleQueue[NotedCall | Exception | None]()
    answer = desk.answer

    def failing(calls: list[ServerCall]) -> None:
        if calls[0].payload == b"bad":
            raise ValueError("answering")
        answer(calls)

    def receive() -> Sequence[ServerCall] | None:
        call = coming.get()
        if isinstance(call, Exception):
            raise call
        return None if call is None else [call]

    workers = Workers(failing, desk.refuse, threads=1, max_batch_rows=1, max_queue_rows=8, max_queue_seconds=60.0)
    workers.start(receive)
    try:
        for _ in range(3):  # more than there are threads
            coming.put(ValueError("receiving"))
            coming.put(NotedCall(b"bad"))
        call = NotedCall(b"good")
        coming.put(call)
        assert call.result() == b"good"
    finally:
        coming.put(None)
        workers.close()
    told = "".join(capsys.readouterr())
    assert (told.count("receiving calls failed"), told.count("computing failed")) == (3, 3)
