"""Bounds what one caller takes: requests a second, streams at once, events of a user in a day."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from honeyguide.sdk.errors import RateExceeded
from honeyguide.server.settings.access import CallerSettings

__all__ = ["CallerLimits"]

_DAY = 86_400
_MOST_USERS = 100_000
"""Users of whom a caller's events are counted at the same time; of more, the longest unseen begins anew."""
_STREAM_SECONDS = 1.0
"""When to try again for a stream: nobody knows when one ends."""


class CallerLimits:
    """Limits of one caller, and how much of them is used; thread-safe. They begin anew with each process.

    The rate is a token bucket: it fills at `requests_per_second` up to `burst`, and each request takes one.
    """

    def __init__(
        self,
        name: str,
        settings: CallerSettings,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """Takes the caller's name and limits; ``clock`` counts seconds, ``wall_clock`` those since 1970-01-01 UTC."""
        self._name, self._clock, self._wall_clock = name, clock, wall_clock
        self._rate = settings.requests_per_second
        self._burst = float(settings.burst or max(1.0, settings.requests_per_second))
        self._most_streams, self._most_events = settings.streams, settings.events_per_user
        self._settings = _limiting(settings)
        self._lock = threading.Lock()
        self._level, self._at = self._burst, clock()
        self._open = 0
        self._day, self._users = 0, OrderedDict[str, int]()

    def are_of(self, settings: CallerSettings) -> bool:
        """Says whether the settings limit as these do."""
        return self._settings == _limiting(settings)

    def take(self) -> None:
        """Takes room for one request; raises `RateExceeded` where there is none."""
        self._take(1.0, 1.0)

    def take_more(self, requests: int) -> None:
        """Takes room for as many requests as a call stands for beside itself; raises `RateExceeded`.

        A call may stand for more than the caller may send at once: it takes all there is, and of the time to come.
        """
        self._take(float(requests), min(float(requests), self._burst - 1.0))

    def _take(self, requests: float, least: float) -> None:
        if not self._rate:
            return
        with self._lock:
            self._fill()
            if self._level >= least:
                self._level -= requests
                return
            wait = (least - self._level) / self._rate
        raise RateExceeded(
            f"{self._name} may send {self._rate:g} requests a second, {self._burst:g} at once; slow down", wait
        )

    def delay(self, requests: int) -> float:
        """Takes room for several requests, of the time to come where there is none; returns the seconds to wait."""
        if not self._rate:
            return 0.0
        with self._lock:
            self._fill()
            self._level -= requests
            return max(0.0, -self._level / self._rate)

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Counts a stream while it is open; raises `RateExceeded` where as many are as may."""
        with self._lock:
            if self._most_streams and self._open >= self._most_streams:
                raise RateExceeded(
                    f"{self._name} has {self._open} streams open, as many as it may; end one first", _STREAM_SECONDS
                )
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    def take_event(self, user_id: str) -> None:
        """Takes room for one event of a user; raises `RateExceeded` where the day has none left."""
        if not self._most_events:
            return
        now = self._wall_clock()
        with self._lock:
            if (day := int(now // _DAY)) != self._day:
                self._day = day
                self._users.clear()
            count = self._users.pop(user_id, 0)
            self._users[user_id] = min(count + 1, self._most_events)
            if len(self._users) > _MOST_USERS:
                self._users.popitem(last=False)
        if count >= self._most_events:
            raise RateExceeded(
                f"{self._name} may record {self._most_events:,} events of one user in a day (UTC)",
                _DAY - now % _DAY,
            )

    def return_events(self, user_ids: Iterable[str]) -> None:
        """Gives back the room of events that were not recorded, so that trying again does not use up a day."""
        if self._most_events:
            with self._lock:
                for user_id in user_ids:
                    self._users[user_id] = max(0, self._users.get(user_id, 0) - 1)

    def _fill(self) -> None:
        """Adds what the time since the last look brought. Needs the lock."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now


def _limiting(settings: CallerSettings) -> tuple[float, int, int, int]:
    return settings.requests_per_second, settings.burst, settings.streams, settings.events_per_user
