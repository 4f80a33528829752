"""Notes in the event file which users each of the newest commits touched, so that other processes forget no more."""

from __future__ import annotations

import sqlite3
from collections.abc import Set as AbstractSet

import numpy as np

__all__ = ["CHANGES_TABLE", "changed_users", "note_change"]

CHANGES_TABLE = "CREATE TABLE IF NOT EXISTS changes (commits INTEGER PRIMARY KEY, users BLOB)"
"""Numbers of the users of one commit, 8 bytes each; null: it may be any user."""

_COMMITS = 1000
"""How many commits are noted; who looks less often knows nothing of what lies between."""
_USERS = 1000
"""Of one commit; an import touches more, and is noted as any."""
_NAME = "SELECT name FROM users WHERE id = ?"


def note_change(db: sqlite3.Connection, commit: int, users: AbstractSet[int] | None) -> None:
    """Notes, within a transaction, whom it touches; None: it may be anybody."""
    known = users is not None and len(users) <= _USERS
    packed = np.fromiter(users, np.int64).tobytes() if users is not None and known else None
    db.execute("INSERT OR REPLACE INTO changes VALUES (?, ?)", (commit, packed))
    db.execute("DELETE FROM changes WHERE commits <= ?", (commit - _COMMITS,))


def changed_users(db: sqlite3.Connection, since: int, until: int) -> frozenset[str] | None:
    """Returns whose events the commits after ``since`` up to ``until`` touched; None: it may be anybody's.

    A commit that is not noted, as one of an older honeyguide, may have touched anybody.
    """
    if until - since > _COMMITS:
        return None
    rows = db.execute("SELECT users FROM changes WHERE commits > ? AND commits <= ?", (since, until)).fetchall()
    packed = [row[0] for row in rows if row[0] is not None]
    if len(packed) < until - since:
        return None
    numbers = set(np.frombuffer(b"".join(packed), np.int64).tolist())
    names = (db.execute(_NAME, (number,)).fetchone() for number in numbers)
    return frozenset(name for found in names if found for name in found)  # whoever has no name was deleted
