"""Checks a migration from one store to another and back, cut off on the way."""

from __future__ import annotations

import pytest

from honeyguide.server.events import migration
from honeyguide.server.events.migration import Migrated, migrate
from honeyguide.server.events.opening import open_plain_store, scan_store
from honeyguide.server.events.store import StoredEvent

__all__ = ["FILL", "check_both_ways"]

FILL = [
    StoredEvent(
        f"user-{n % 7}", f"item-{n % 31}", n // 3, ("", "view")[n % 2], n / 8 if n % 5 else None, value=-1.5,
        request_id="r" * (n % 2), event_id=f"{n}" if n % 3 else "",
    )
    for n in range(120)
]  # fmt: skip


def check_both_ways(source: str, target: str, back: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brings ``source``, which holds `FILL`, into ``target``, and from there into ``back``."""
    monkeypatch.setattr(migration, "_ROWS", 10)

    def cut(events: int) -> None:
        if events >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrate(source, target, cut)
    assert migrate(source, target) == Migrated(events=120, users=7, before=50)
    assert migrate(source, target) == Migrated(events=120, users=7, before=120)
    assert migrate(target, back) == Migrated(events=120, users=7, before=0)
    tables = [
        [row for frame in scan_store(store) for row in frame.events.iter_rows()] for store in (source, target, back)
    ]
    assert len(tables[0]) == 120
    assert tables[0] == tables[1] == tables[2]
    with open_plain_store(target) as store:
        store.record([FILL[1]._replace(time_ms=999)]).result()
        assert store.totals() == (120, 7)  # its id is there
