"""Deletes events that are too old or too many for their user, in small steps beside the traffic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from honeyguide.sdk.errors import OverCapacity, Unavailable

__all__ = ["Expiring", "KeepLimits", "Retention"]

_EVERY_SECONDS = 600.0
"""From the end of one round through all users to the begin of the next."""
_STEP_SECONDS = 0.05
"""What the traffic has for itself between two steps."""
_USERS = 500
"""Users looked at in one step."""
_EVENTS = 2_000
"""Events deleted in one step at most."""
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class KeepLimits:
    """Events that are kept."""

    days: float = 0.0
    """Older ones are not; 0: whatever their age."""
    per_user: int = 0
    """Newest ones of each user; 0: all."""

    def before_ms(self, now_ms: int) -> int:
        """Returns the moment of which older events are not kept, milliseconds since 1970; 0: there is none."""
        return now_ms - round(self.days * _DAY_MS) if self.days else 0


class Expiring(Protocol):
    """What a retention does its work with."""

    def users_to_expire(self, after: int, users: int, before_ms: int, per_user: int) -> tuple[list[str], int | None]:
        """Returns of the next users those who have too much, and the number to go on after; None: there are no more."""
        ...  # pragma: no cover

    def expire(self, user_ids: Sequence[str], before_ms: int, per_user: int, most: int) -> int:
        """Deletes up to ``most`` events of users that are too old or too many, on the disk; returns how many."""
        ...  # pragma: no cover

    def scrub(self) -> None:
        """Erases what is left of everything deleted so far."""
        ...  # pragma: no cover


class Retention:
    """Thread that goes through all users again and again."""

    def __init__(
        self, store: Expiring, limits: KeepLimits, clock: Callable[[], float] = time.time, pause: float = _EVERY_SECONDS
    ) -> None:
        """Starts at once.

        Args:
            store: whose events expire.
            limits: what is kept; with none, nothing is ever done.
            clock: seconds since 1970-01-01 UTC.
            pause: seconds between two rounds.
        """
        self._store, self._limits, self._clock, self._pause = store, limits, clock, pause
        self._stop = threading.Event()
        self._log = structlog.get_logger("honeyguide.events")
        self._thread = threading.Thread(target=self._run, name="honeyguide-retention", daemon=True)
        if limits != KeepLimits():
            self._thread.start()

    def close(self) -> None:
        """Ends after the step under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                deleted = self._go_round()
            except Unavailable:  # the store has said why; the next round tries again
                deleted = 0
            if deleted:
                self._log.info("events expired", events=deleted)
            self._stop.wait(self._pause)

    def _go_round(self) -> int:
        """Goes through all users once; returns how many events were deleted."""
        deleted, after = 0, -1
        more: int | None = after
        while more is not None and not self._stop.is_set():
            before_ms = self._limits.before_ms(int(self._clock() * 1000))
            users, more = self._store.users_to_expire(after, _USERS, before_ms, self._limits.per_user)
            while users and not self._stop.wait(_STEP_SECONDS):
                try:
                    gone = self._store.expire(users, before_ms, self._limits.per_user, _EVENTS)
                except OverCapacity:  # the traffic comes first
                    continue
                deleted += gone
                if gone < _EVENTS:
                    break
            after = after if more is None else more
        if deleted:
            self._store.scrub()
        return deleted
