"""Computes what is asked on threads of its own: calls in batches as they come, parts of long work between them.

The threads follow one another (leader and followers, Schmidt et al., "Leader/Followers", PLoP 2000). One of them, the
leader, waits for calls. What it receives it admits to the queue or refuses at once, and if a place to compute is free
it hands the lead to another thread and computes itself: a lone call changes threads nowhere. While all places are taken
the leader goes on receiving, so that a batch gathers and nothing waits where it is not counted.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from time import monotonic, perf_counter, sleep

import structlog

from honeyguide.sdk.errors import DeadlinePassed, HoneyguideError, OverCapacity, Unavailable
from honeyguide.server.serving.calls import ServerCall

__all__ = ["STOPPING", "Receive", "Workers"]

Receive = Callable[[], Sequence[ServerCall] | None]
"""Waits for calls; None: there will be no more."""
Part = Callable[[], None]

_SHARED = 8
"""Calls that wait, from which on the threads that are free share them; fewer are cheaper together."""
_REFUSING_SECONDS = 0.002
"""How long a leader leaves calls to gather while it refuses some: a refusal may take that long."""
_PART_ROWS = 16
"""Rows of a part of long work while calls come: one that arrives during a part waits until its end."""
_CALM_SECONDS = 0.25
"""Without a call for so long, parts are as large as batches, which costs least for each row."""
STOPPING = "the server is stopping; try another one, or again later"


class Workers:
    """Threads that compute, and the bounded queue before them."""

    def __init__(
        self,
        answer: Callable[[list[ServerCall]], None],
        refuse: Callable[[Sequence[ServerCall], HoneyguideError], None],
        *,
        threads: int,
        max_batch_rows: int,
        max_queue_rows: int,
        max_queue_seconds: float,
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        """Starts nothing yet.

        Args:
            answer: ends each of some calls, and raises nothing.
            refuse: ends calls that are not computed, with the reason.
            threads: how many compute at the same time, 1 or more.
            max_batch_rows: calls computed at once.
            max_queue_rows: calls that may wait.
            max_queue_seconds: how long a call may wait.
            prepare: called first on each thread.
        """
        self._answer, self._refuse, self._prepare = answer, refuse, prepare
        self._places, self._max_batch = threads, max_batch_rows
        self._max_queue, self._max_seconds = max_queue_rows, max_queue_seconds
        self._lock = threading.Lock()
        self._calls: deque[ServerCall] = deque()
        self._parts: deque[Part] = deque()
        self._waiting = 0  # calls in the queue that somebody waits for
        self._computing = 0
        self._begun, self._ended = [0] * (threads + 1), [0] * (threads + 1)  # batches and parts, by thread
        self._parts_turn = False
        self._leading = False
        self._closed = False
        self._receive: Receive | None = None
        self._row_seconds = 0.001  # first guess; then a moving mean
        self._latest = -math.inf  # when a call came last
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._log = structlog.get_logger("honeyguide.serving")

    @property
    def waiting(self) -> int:
        """Calls in the queue that somebody waits for."""
        return self._waiting

    def start(self, receive: Receive | None = None) -> None:
        """Starts the threads; ``receive``: where a leader waits for calls, None: all of them come by `put`."""
        self._receive = receive
        for number in range(self._places + (receive is not None)):
            thread = threading.Thread(target=self._run, args=(number,), name=f"honeyguide-worker-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def put(self, call: ServerCall) -> None:
        """Queues a call, or refuses it at once."""
        self._admit([call])
        self._rouse()

    def put_part(self, part: Part) -> None:
        """Queues a part of long work, which takes turns with the batches of calls. It raises nothing.

        Whoever puts parts sees to it that not too many wait, and that each takes no longer than a batch.
        """
        with self._lock:
            self._parts.append(part)
        self._rouse()

    @property
    def part_rows(self) -> int:
        """Rows that a part should have which begins now."""
        calm = monotonic() - self._latest > _CALM_SECONDS
        return self._max_batch if calm else min(self._max_batch, _PART_ROWS)

    def withdraw(self, call: ServerCall) -> None:
        """Notes that nobody waits for a call any more; its room in the queue is free at once."""
        with self._lock:
            call.gone = True
            if call.waits:
                call.waits = False
                self._waiting -= 1

    def finish_begun(self) -> None:
        """Returns when every batch and part that is being computed now has ended."""
        with self._lock:
            begun = list(self._begun)
        while any(ended < start for ended, start in zip(self._ended, begun, strict=True)):
            sleep(0.001)

    def close(self) -> None:
        """Refuses the calls that wait, finishes what was begun and the parts, and ends the threads.

        Where there is a ``receive``, it must have returned None, or do so soon.
        """
        with self._lock:
            self._closed = True
            left, self._calls = [call for call in self._calls if not call.gone], deque()
            self._waiting = 0
        self._refuse(left, Unavailable(STOPPING))
        for _ in self._threads:
            self._wake.put(None)
        for thread in self._threads:
            thread.join()

    def _admit(self, calls: Sequence[ServerCall]) -> bool:
        """Queues calls, and refuses those for which there is no room; returns whether there was some for all."""
        with self._lock:
            room = self._room()
            for call in calls[:room]:
                call.waits = True
                self._latest = call.arrived
            self._calls.extend(calls[:room])
            self._waiting += min(room, len(calls))
            error = Unavailable(STOPPING) if self._closed else self._full() if room < len(calls) else None
        if error is not None:
            self._refuse(calls[room:], error)
        return error is None

    def _room(self) -> int:
        """Returns how many more calls may wait: one always may where none does."""
        if self._closed:
            return 0
        in_time = int(self._max_seconds * self._places / self._row_seconds)
        return max(min(self._max_queue, in_time) - self._waiting, 0 if self._waiting else 1)

    def _seconds(self, rows: int) -> float:
        """Returns how long the last of so many calls waits, as things go."""
        return rows * self._row_seconds / self._places

    def _full(self) -> OverCapacity:
        why = (
            f"at most {self._max_queue} may"
            if self._waiting >= self._max_queue
            else f"one more would wait longer than the {self._max_seconds:g} s that it may"
        )
        return OverCapacity(
            f"{self._waiting} calls wait already, and {why}; try again later",
            retry_after=min(max(self._seconds(self._waiting), 0.05), 5.0),
        )

    def _late(self) -> OverCapacity:
        return OverCapacity(
            f"the call waited longer than the {self._max_seconds:g} s that it may; try again later",
            retry_after=min(max(self._seconds(self._waiting), 0.05), 5.0),
        )

    def _rouse(self) -> None:
        """Wakes a thread where there is something to do that no thread sees by itself."""
        if self._computing < self._places:
            self._wake.put(None)

    def _run(self, thread: int) -> None:
        self._prepare()
        while True:
            unit: list[ServerCall] | Part | None = None
            lead = False
            with self._lock:
                if self._computing < self._places and (unit := self._take()) is not None:
                    self._computing += 1
                elif self._receive is not None and not self._leading:
                    lead = self._leading = True
                elif self._closed:
                    return
            if lead:
                unit = self._lead()
            elif unit is None:
                self._wake.get()
            while unit is not None:
                unit = self._compute(unit, thread)

    def _lead(self) -> list[ServerCall] | Part | None:
        """Receives until there is something for this thread to compute; None: there will be no more calls."""
        receive = self._receive
        while receive is not None:
            try:
                if (calls := receive()) is None:
                    break
                if not self._admit(calls):
                    sleep(_REFUSING_SECONDS)  # many refused at once cost less than one after the other
            except Exception:  # boundary: what carries calls; without this thread no call would come in any more
                self._log.exception("receiving calls failed")
                sleep(_REFUSING_SECONDS)
                continue
            with self._lock:
                if self._computing < self._places and (unit := self._take()) is not None:
                    self._computing += 1
                    self._leading = False
                    self._wake.put(None)
                    return unit
        with self._lock:
            self._leading, self._receive = False, None
        return None

    def _take(self) -> list[ServerCall] | Part | None:
        """Takes the next batch of calls or part; None: nothing waits. Needs the lock."""
        if self._parts and (self._parts_turn or not self._calls):
            self._parts_turn = False
            return self._parts.popleft()
        self._parts_turn = True
        free = self._places - self._computing
        most = self._max_batch if self._waiting < _SHARED else min(self._max_batch, -(-self._waiting // max(free, 1)))
        batch: list[ServerCall] = []
        while self._calls and len(batch) < most:
            call = self._calls.popleft()
            if call.waits:
                call.waits = False
                batch.append(call)
        self._waiting -= len(batch)
        return batch or (self._parts.popleft() if self._parts else None)

    def _compute(self, unit: list[ServerCall] | Part, thread: int) -> list[ServerCall] | Part | None:
        """Computes, then takes what is next."""
        self._begun[thread] += 1
        try:
            if isinstance(unit, list):
                self._compute_batch(unit)
            else:
                unit()
        except Exception:  # boundary: it raises nothing; if it does, this thread and its place must not be lost
            self._log.exception("computing failed")
        self._ended[thread] += 1
        with self._lock:
            self._computing -= 1
            following = self._take()
            if following is not None:
                self._computing += 1
                if self._calls or self._parts:
                    self._rouse()
        return following

    def _compute_batch(self, batch: list[ServerCall]) -> None:
        now = monotonic()
        live: list[ServerCall] = []
        for call in batch:
            if call.gone:
                continue
            if call.deadline <= now:
                self._refuse([call], DeadlinePassed("the deadline passed while the request waited: allow more"))
            elif now - call.arrived > self._max_seconds:
                self._refuse([call], self._late())
            else:
                live.append(call)
        if live:
            start = perf_counter()
            self._answer(live)
            # What waits is computed in large batches, so that these say more of how long it takes.
            weight = len(live) / (len(live) + self._max_batch)
            self._row_seconds += weight * ((perf_counter() - start) / len(live) - self._row_seconds)
