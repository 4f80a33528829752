"""Decides whether users come back to items, and merges events of a user with one item."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.training.preparation.events import Events, Ledger

__all__ = ["Repeats", "merge_repeats"]

THRESHOLD = 0.01
"""Share of events that are returns from which on items count as repeating."""
_UNSURE = (0.005, 0.1)
"""Between these shares the decision is worth a look."""
_FEATURES = {"value": "value", "quantity": "quantity", "clicks": "clicks", "dwell": "dwell_seconds"}
"""What may say how strong an event is, the first that there is before the others."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """What was found of users who meet items again, and what was made of it."""

    repeat: bool
    """Whether items repeat."""
    facts: dict[str, Any]
    """JSON-ready: events, returns, in_succession, share, threshold, decided, merge, strength."""
    warning: str = ""
    """What is worth a look."""


def merge_repeats(events: Events, choice: str, merge: str, strength: str, ledger: Ledger) -> Repeats:
    """Decides whether items repeat, and makes one event of those that a user has with an item where they do not.

    An event is a return where the user met the item before and another one since; where none came between, the two are
    in direct succession, such as a view and the purchase that follows. Only returns say that items repeat.

    Args:
        events: sorted by user, then time and file order.
        choice: "yes", "no", or "detect".
        merge: "first", "last", "strongest" or "sum"; "": first where items do not repeat, else nothing is merged.
        strength: as in `PrepareOptions`.
        ledger: counts what is merged away.
    """
    pairs = _pairs(events)
    succession = np.zeros(len(pairs), bool)
    succession[1:] = pairs[1:] == pairs[:-1]  # as the event before, in user and item
    direct = int(succession.sum())
    pairs.sort()  # in place, and made anew below: this is where memory peaks
    returns = int((pairs[1:] == pairs[:-1]).sum()) - direct
    del pairs
    share = returns / len(succession) if len(succession) else 0.0
    repeat = choice == "yes" or (choice == "detect" and returns > 0 and share >= THRESHOLD)
    merged = direct + (0 if repeat else returns)
    facts: dict[str, Any] = {
        "events": len(succession),
        "returns": returns,
        "in_succession": direct,
        "share": share,
        "threshold": THRESHOLD,
        "decided": "by the share" if choice == "detect" else "as said",
        "merge": merge or ("" if repeat else "first"),
    }
    if merged and facts["merge"]:
        reason = "user met the item before, and items do not repeat"
        if repeat:
            reason = "user met the item just before"
            group = np.cumsum(~succession, dtype=np.uint64)
        else:
            del succession
            group = _pairs(events)
        weights = _strength(events, strength, facts) if merge == "strongest" else None
        stay = _merge(events, group, str(facts["merge"]), weights)
        ledger.drop(events, ~stay, reason if merge in ("", "first") else f"{reason}: merged into the {_WORD[merge]}")
    warning = ""
    tells = "event_type" in events or any(name in events for name in EVENT_FEATURES)
    if not repeat and not merge and tells and merged >= THRESHOLD * facts["events"]:
        warning = (
            f"{merged:,} events are of a user with an item that came before ({direct:,} in direct succession); the "
            "first of each stays: --merge last, strongest or sum keeps what the later ones say"
        )
    elif choice == "detect" and _UNSURE[0] <= share < _UNSURE[1]:
        warning = (
            f"{share:.1%} of the events are returns to an item, from {THRESHOLD:.0%} on items count as repeating: "
            f"{'nothing seen is masked' if repeat else 'what was seen is not recommended'}; "
            "say --repeats yes or no if you know"
        )
    return Repeats(repeat, facts, warning)


_WORD = {"last": "last", "strongest": "strongest", "sum": "last, with the sums"}


def _merge(
    events: Events, group: NDArray[np.uint64], how: str, weights: NDArray[np.float64] | None
) -> NDArray[np.bool_]:
    """Returns which event of each group stays, (events,); for "sum" it gets the sums of the features."""
    order = np.argsort(group, kind="stable")
    new = np.ones(len(group), bool)
    new[1:] = group[order[1:]] != group[order[:-1]]
    starts = np.flatnonzero(new)
    if how == "first":
        chosen = order[starts]
    elif weights is None:
        chosen = order[np.append(starts[1:], len(group)) - 1]
    else:
        owner = np.cumsum(new)  # by event, in the order of the groups
        by_weight = np.lexsort((-weights[order], owner))  # stable: the first of equally strong ones
        chosen = order[by_weight[starts]]
    if how == "sum":
        for name in (name for name in EVENT_FEATURES if name in events):
            values = events[name][order]
            known = ~np.isnan(values)
            sums = np.add.reduceat(np.where(known, values, 0), starts, dtype=np.float64)
            some = np.logical_or.reduceat(known, starts)
            events.columns[name][chosen] = np.where(some, sums, np.nan).astype(np.float32)
    stay = np.zeros(len(group), bool)
    stay[chosen] = True
    return stay


def _strength(events: Events, strength: str, facts: dict[str, Any]) -> NDArray[np.float64]:
    """Returns how strong each event is, (events,), and notes what it goes by."""
    names = events.ids["event_type"].to_list() if "event_type" in events else []
    if ":" in strength:
        weights = _weights(strength, names)
        facts["strength"] = weights
    elif not strength and len(names) > 1:
        counts = np.bincount(events["event_type"], minlength=len(names))
        weights = dict(zip(names, (1 / np.maximum(counts, 1)).tolist(), strict=True))
        facts["strength"] = "the rarer type: " + " < ".join(sorted(filter(None, names), key=lambda n: weights[n]))
    else:
        features = [name for name in ([strength] if strength else _FEATURES) if _FEATURES.get(name, "") in events]
        if not features:
            raise ConfigError(
                f"strength is {strength!r}, which the log has not; say type:weight,… or one of the features "
                f"{', '.join(_FEATURES)} with its column"
                if strength
                else "the strongest event needs --event-type, or a column for one of "
                f"{', '.join('--' + name for name in _FEATURES)}"
            )
        facts["strength"] = features[0]
        return np.nan_to_num(events[_FEATURES[features[0]]].astype(np.float64), nan=-np.inf)
    by_code: NDArray[np.float64] = np.array([weights.get(name, 0.0) for name in names])[events["event_type"]]
    return by_code


def _weights(text: str, names: list[str]) -> dict[str, float]:
    """Reads ``type:weight,…``."""
    weights = {}
    for part in text.split(","):
        name, _, weight = part.rpartition(":")
        if not re.fullmatch(r"\s*-?\d+(\.\d+)?\s*", weight):
            raise ConfigError(f"strength has {part!r}; write type:weight, such as purchase:3")
        weights[name.strip()] = float(weight)
    if unknown := sorted(set(weights) - set(names)):
        there = ", ".join(filter(None, names)) or "no types; say --event-type COLUMN"
        raise ConfigError(f"--strength names {', '.join(unknown)}; the log has {there}")
    return weights


def _pairs(events: Events) -> NDArray[np.uint64]:
    """Returns one number for each event's user and item."""
    pairs = events["user"].astype(np.uint64)
    pairs <<= np.uint64(32)
    pairs |= events["item"]
    return pairs
