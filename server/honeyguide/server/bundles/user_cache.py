"""Keeps what users came to in one bundle, so that what was read once is not read again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["KeptUser", "VectorCache"]


@dataclass(frozen=True, slots=True)
class KeptUser:
    """Holds what one history came to."""

    events: bytes
    """Every column of every event that was encoded, oldest first: two histories are the same where these are."""
    count: int
    """How many events these are, 1 or more."""
    vector: NDArray[np.float32]
    """(d,) user vector."""
    state: NDArray[np.float32]
    """(S,) what a step goes on from; S is 0 where the bundle does not step."""


class VectorCache:
    """Keeps the users asked for last; thread-safe. Whether what it keeps still holds is for the caller to see."""

    def __init__(self, users: int) -> None:
        """Is empty; ``users``: how many it keeps, 0: none."""
        self._users = users
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, KeptUser] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def on(self) -> bool:
        """Whether it keeps anybody."""
        return self._users > 0

    def get(self, user_ids: Sequence[str | None]) -> list[KeptUser | None]:
        """Returns what is kept of each user; None for nobody."""
        with self._lock:
            found = [None if user_id is None else self._kept.get(user_id) for user_id in user_ids]
            for user_id, kept in zip(user_ids, found, strict=True):
                if user_id is not None and kept is not None:
                    self._kept.move_to_end(user_id)
        return found

    def put(self, user_id: str, kept: KeptUser) -> None:
        """Keeps a user; whoever was asked for longest ago makes room."""
        with self._lock:
            self._kept[user_id] = kept
            self._kept.move_to_end(user_id)
            while len(self._kept) > self._users:
                self._kept.popitem(last=False)

    def forget(self, user_id: str) -> None:
        """Drops what is kept of a user."""
        with self._lock:
            self._kept.pop(user_id, None)
