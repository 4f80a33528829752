"""Keeps what users came to in one bundle, so that what was read once is not read again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ReadUser", "VectorCache"]


@dataclass(frozen=True, slots=True)
class ReadUser:
    """Vector and state that one history came to."""

    events: bytes
    """Every column of every event that was encoded, oldest first: two histories are the same where these are."""
    count: int
    """How many events these are, 1 or more."""
    vector: NDArray[np.float32]
    """(d,) user vector."""
    state: NDArray[np.float32]
    """(S,) what a step goes on from; S is 0 where the bundle does not step."""


class VectorCache:
    """Users asked for last, with what they came to; thread-safe. Whether that still holds is for the caller to see."""

    def __init__(self, capacity: int) -> None:
        """Starts empty; ``capacity``: how many users it keeps, 0: none."""
        self._capacity = capacity
        self._lock = threading.Lock()
        self._users: OrderedDict[str, ReadUser] = OrderedDict()

    def __len__(self) -> int:
        return len(self._users)

    @property
    def on(self) -> bool:
        """Whether it keeps anybody."""
        return self._capacity > 0

    def get(self, user_ids: Sequence[str | None]) -> list[ReadUser | None]:
        """Returns what is kept of each user; None for nobody."""
        with self._lock:
            users = [None if user_id is None else self._users.get(user_id) for user_id in user_ids]
            for user_id, user in zip(user_ids, users, strict=True):
                if user_id is not None and user is not None:
                    self._users.move_to_end(user_id)
        return users

    def put(self, user_id: str, user: ReadUser) -> None:
        """Keeps a user; whoever was asked for longest ago makes room."""
        with self._lock:
            self._users[user_id] = user
            self._users.move_to_end(user_id)
            while len(self._users) > self._capacity:
                self._users.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """Drops what is kept of a user."""
        with self._lock:
            self._users.pop(user_id, None)
