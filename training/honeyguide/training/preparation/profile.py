"""Describes a prepared data set in a few figures that show whether it was read as meant."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.training.dataset import Dataset, number_categories
from honeyguide.training.preparation.times import moment_text

__all__ = ["join_coverage", "profile", "time_warnings"]

_TOP = 10


def profile(data: Dataset) -> dict[str, Any]:
    """Returns users, items, events, time range, events per user, sparsity, cold items and top categories, JSON-ready.

    ``events_per_user`` has least, quartiles and most. ``sparsity`` is the share of user-item pairs without an event;
    ``cold_items`` the share of the catalogue that no training event names. ``top_categories`` counts the events of
    items in each, up to ten.
    """
    counts = data.counts
    user, item = (data.events[name].to_numpy() for name in ("user", "item"))
    each = np.bincount(user, minlength=counts["users"])
    pairs = _pairs(user, item) if data.spec.repeats else counts["events"]
    figures: dict[str, Any] = {
        "users": counts["users"],
        "items": counts["items"],
        "events": counts["events"],
        "events_per_user": dict(
            zip(
                ("least", "q1", "median", "q3", "most"), np.percentile(each, (0, 25, 50, 75, 100)).tolist(), strict=True
            )
        ),
        "sparsity": 1 - pairs / (counts["users"] * counts["items"]),
        "cold_items": float((data.items["popularity"] == 0).mean()),  # type: ignore[arg-type]  # of booleans
        "time_range": None,
        "top_categories": {},
    }
    if data.spec.has_time:
        times = data.events["time_ms"]
        figures["time_range"] = [moment_text(int(moment)) for moment in (times.min(), times.max())]  # type: ignore[arg-type]
    categories, names = number_categories(data.items["categories"])
    if names:
        of_item = np.bincount(item, minlength=counts["items"])
        of_category = np.bincount(
            categories.codes, np.repeat(of_item, np.diff(categories.offsets)), minlength=len(names)
        )
        top = np.argsort(-of_category, kind="stable")[:_TOP]
        figures["top_categories"] = {names[i]: int(of_category[i]) for i in top.tolist()}
    return figures


def _pairs(user: NDArray[np.int32], item: NDArray[np.int32]) -> int:
    """Counts the user-item pairs that have an event."""
    pairs = user.astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= item.view(np.uint32)
    pairs.sort()  # in place: no more than the one copy
    return 1 + int((pairs[1:] != pairs[:-1]).sum())


def time_warnings(data: Dataset) -> list[str]:
    """Says what looks odd about the times: events after this moment."""
    if not data.spec.has_time:
        return []
    late = int((data.events["time_ms"] > time.time_ns() // 1_000_000).sum())
    if not late:
        return []
    last = moment_text(int(data.events["time_ms"].max()))  # type: ignore[arg-type]  # of int64
    return [f"{late:,} events lie after this moment, the last at {last}: check --time-unit and --time-format"]


def join_coverage(events: pl.Series, described: pl.Series, file: str) -> tuple[dict[str, int], str]:
    """Counts how far an items file knows the items of the log.

    Args:
        events: ids of the items that have events.
        described: ids in the items file.
        file: its name.

    Returns:
        The counts, JSON-ready, and a warning where it knows less than half.
    """
    joined = int(events.is_in(described.implode()).sum())
    counts = {"of_log": len(events), "joined": joined, "never_seen": len(described) - joined}
    if 2 * joined >= len(events):
        return counts, ""
    one, other = events.filter(~events.is_in(described.implode()))[0], described[0] if len(described) else "nothing"
    return counts, (
        f"{file} knows {joined:,} of the log's {len(events):,} items: the log has ids such as {one!r}, the file "
        f"such as {other!r}; check --item and --item-id"
    )
