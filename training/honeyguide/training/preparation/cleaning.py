"""Drops what is no behaviour, and finds the figures that normalise the rest."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk import FeatureScaler
from honeyguide.sdk.event import EVENT_FEATURES, NON_NEGATIVE_FEATURES
from honeyguide.training.preparation.events import Events, Ledger
from honeyguide.training.preparation.splits import basket_starts
from honeyguide.training.preparation.times import YEAR_2100

__all__ = [
    "drop_duplicates",
    "drop_out_of_range",
    "drop_sparse",
    "fit_scaler",
    "interpolate",
    "k_core",
]


def drop_out_of_range(events: Events, ledger: Ledger) -> None:
    """Drops events before 1970, after 2100, or with negative dwell, clicks or quantity (such as returned goods)."""
    if "time_ms" in events:
        ledger.drop(
            events, (events["time_ms"] < 0) | (events["time_ms"] >= YEAR_2100), "time before 1970 or after 2100"
        )
    for name in NON_NEGATIVE_FEATURES:
        if name in events:
            ledger.drop(events, events[name] < 0, f"negative {name}")


def drop_duplicates(events: Events, ledger: Ledger) -> None:
    """Drops rows that equal an earlier one in every column; without times a repeated pair is an event.

    Args:
        events: sorted by user, then time and file order.
        ledger: counts what is dropped.
    """
    if "time_ms" not in events or not len(events):
        return
    same = ~basket_starts(events["user"], events["time_ms"])  # as the event before, in user and time
    crowd = np.flatnonzero(same | np.append(same[1:], False))
    if not len(crowd):
        return
    # Equal rows have equal hashes: only rows whose hash occurs twice are compared, which saves most of the memory.
    hashes = np.zeros(len(crowd), np.uint64)
    for name, values in events.columns.items():
        if name != "row":
            part = np.ascontiguousarray(values[crowd])
            hashes ^= part.view(np.uint32 if part.itemsize == 4 else np.uint64)
            hashes *= np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it should
            hashes ^= hashes >> np.uint64(29)
    order = np.argsort(hashes)
    equal = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    suspects = crowd[np.unique(np.concatenate([order[equal], order[equal + 1]]))]  # ascending: the first stays
    rows = pl.DataFrame({name: values[suspects] for name, values in events.columns.items() if name != "row"})
    duplicate = np.zeros(len(events), bool)
    if rows.height:
        duplicate[suspects] = ~rows.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    ledger.drop(events, duplicate, "exact duplicate")


def k_core(
    users: NDArray[np.integer], items: NDArray[np.integer], min_user: int, min_item: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Finds the largest part in which every user and every item has enough events.

    Returns:
        (events,) marks of the events that fall with their user, and of those that fall with their item.
    """
    by_user, by_item = np.zeros(len(users), bool), np.zeros(len(users), bool)
    left = np.arange(len(users))
    while len(left):
        rare = np.bincount(users[left])[users[left]] < min_user
        by_user[left[rare]] = True
        often = left[~rare]
        few = np.bincount(items[often])[items[often]] < min_item if len(often) else np.zeros(0, bool)
        by_item[often[few]] = True
        if not rare.any() and not few.any():
            break
        left = often[~few]
    return by_user, by_item


def drop_sparse(events: Events, min_user: int, min_item: int, ledger: Ledger) -> None:
    """Drops users and items with too few events, over and over until all have enough."""
    if min_user <= 1 and min_item <= 1:
        return
    by_user, by_item = k_core(events["user"], events["item"], min_user, min_item)
    ledger.drop(events, by_user, f"user has fewer than {min_user} events")
    ledger.drop(events, by_item[~by_user], f"item has fewer than {min_item} events")


def fit_scaler(name: str, values: NDArray[np.float32], percentile: float, impute: str) -> FeatureScaler:
    """Finds the figures that normalise a feature.

    Args:
        name: one of `EVENT_FEATURES`; dwell, clicks and quantity are taken as logarithms and start at 0.
        values: (events,) raw values of the training events, NaN where missing.
        percentile: the values above it are lowered to it; a worth is raised to the opposite one too.
        impute: "mean", or else the median takes the place of a missing value.
    """
    if name not in EVENT_FEATURES:
        raise ValueError(f"{name!r} is no feature; there are {', '.join(EVENT_FEATURES)}")
    known = values[~np.isnan(values)]
    log = name in NON_NEGATIVE_FEATURES
    if not len(known):
        return FeatureScaler(name, fill=0.0, lower=0.0, upper=0.0, log=log, mean=0.0, std=1.0)
    lower = 0.0 if log else float(np.percentile(known, 100 - percentile))
    upper = float(np.percentile(known, percentile))
    np.clip(known, lower, upper, out=known)
    fill = float(known.mean(dtype=np.float64) if impute == "mean" else np.median(known))
    # As FeatureScaler does it, in float32 and in place: the figures need no more, and memory counts here.
    scaled = np.where(np.isnan(values), np.float32(fill), values)
    np.clip(scaled, lower, upper, out=scaled)
    if log:
        np.log1p(scaled - np.float32(lower), out=scaled)
    mean, std = float(scaled.mean(dtype=np.float64)), float(scaled.std(dtype=np.float64))
    return FeatureScaler(name, fill=fill, lower=lower, upper=upper, log=log, mean=mean, std=std if std > 1e-9 else 1.0)


def interpolate(
    values: NDArray[np.float32], users: NDArray[np.integer], at: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Fills missing values between two known ones of the same user, linearly; leaves the others NaN.

    Args:
        values: (events,) NaN where missing.
        users: (events,) non-decreasing.
        at: (events,) where the values stand, such as their times; non-decreasing within a user.
    """
    known = ~np.isnan(values)
    place = np.arange(len(values))
    before = np.maximum.accumulate(np.where(known, place, -1))
    after = np.minimum.accumulate(np.where(known, place, len(values))[::-1])[::-1]
    gap = np.flatnonzero(~known & (before >= 0) & (after < len(values)))
    gap = gap[(users[before[gap]] == users[gap]) & (users[after[gap]] == users[gap])]
    left, right = before[gap], after[gap]
    width = (at[right] - at[left]).astype(np.float64)
    share = np.divide(at[gap] - at[left], width, out=np.full(len(gap), 0.5), where=width > 0)
    filled = values.copy()
    filled[gap] = values[left] + share * (values[right] - values[left])
    return filled
