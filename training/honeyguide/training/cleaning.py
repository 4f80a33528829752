"""Drops what is no behaviour, and finds the figures that normalise the rest."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk import FeatureScaler
from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset import FEATURES
from honeyguide.training.report import Ledger

__all__ = [
    "check_time_unit",
    "drop_duplicates",
    "drop_out_of_range",
    "drop_repeats",
    "drop_sparse",
    "fit_scaler",
    "interpolate",
    "k_core",
    "repeated",
]

YEAR_1971 = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp() * 1000)
YEAR_2100 = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)
REPEATS_FROM = 0.01
"""Share of events that meet an item again from which on items count as repeating."""
_NON_NEGATIVE = ("dwell_seconds", "clicks", "quantity")


def check_time_unit(events: pl.DataFrame, unit: str, file: str, column: str) -> None:
    """Raises `DataError` where the times show that they have another unit than the one said."""
    times = events["time_ms"].to_numpy()
    if unit == "milliseconds" and times.max() < YEAR_1971:
        raise DataError(
            "read as milliseconds, every time lies before 1971",
            file=file,
            column=column,
            remedy="these look like seconds: --time-unit seconds",
        )
    if unit == "seconds" and np.median(times) >= YEAR_2100:
        raise DataError(
            "read as seconds, most times lie after the year 2100",
            file=file,
            row=int(events["row"][0]),
            column=column,
            remedy="these look like milliseconds: --time-unit milliseconds",
        )


def drop_out_of_range(events: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Drops events before 1970, after 2100, or with negative dwell, clicks or quantity (such as returned goods)."""
    if "time_ms" in events.columns:
        times = events["time_ms"]
        events = ledger.drop(events, (times < 0) | (times >= YEAR_2100), "time before 1970 or after 2100")
    for name in _NON_NEGATIVE:
        if name in events.columns:
            # NaN is no smaller than 0 in numpy, as it should be here
            events = ledger.drop(events, events[name].to_numpy() < 0, f"negative {name}")
    return events


def drop_duplicates(events: pl.DataFrame, ledger: Ledger) -> pl.DataFrame:
    """Drops rows that equal an earlier one in every column; without times a repeated pair is an event."""
    if "time_ms" not in events.columns or not events.height:
        return events
    values = events.drop("row")
    # Equal rows have equal hashes: only the few rows whose hash occurs twice are compared, which saves most memory.
    hashes = values.hash_rows().to_numpy()
    order = np.argsort(hashes)
    equal = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
    if not len(equal):
        return events
    suspects = np.unique(np.concatenate([order[equal], order[equal + 1]]))  # ascending: the first stays
    duplicate = np.zeros(events.height, bool)
    duplicate[suspects] = ~values[suspects].select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    return ledger.drop(events, duplicate, "exact duplicate")


def repeated(users: NDArray[np.integer], items: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Marks the events whose user met the item in an earlier event; events stand in their order."""
    pair = users.astype(np.int64) << 32 | items.astype(np.int64)
    order = np.argsort(pair, kind="stable")
    again = np.zeros(len(pair), bool)
    again[order[1:]] = pair[order[1:]] == pair[order[:-1]]
    return again


def drop_repeats(events: pl.DataFrame, choice: str, ledger: Ledger) -> tuple[pl.DataFrame, bool]:
    """Says whether items repeat, and drops later events of a pair where they do not.

    Args:
        events: sorted by user, then time and file order.
        choice: "yes", "no", or "detect".
        ledger: counts what is dropped.
    """
    if choice == "yes":
        return events, True
    again = repeated(events["user"].to_physical().to_numpy(), events["item"].to_physical().to_numpy())
    if choice == "detect" and again.sum() >= max(1.0, REPEATS_FROM * len(again)):
        return events, True
    return ledger.drop(events, again, "user met the item before, and items do not repeat"), False


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
        kept = left[~rare]
        few = np.bincount(items[kept])[items[kept]] < min_item if len(kept) else np.zeros(0, bool)
        by_item[kept[few]] = True
        if not rare.any() and not few.any():
            break
        left = kept[~few]
    return by_user, by_item


def drop_sparse(events: pl.DataFrame, min_user: int, min_item: int, ledger: Ledger) -> pl.DataFrame:
    """Drops users and items with too few events, over and over until all have enough."""
    if min_user <= 1 and min_item <= 1:
        return events
    users, items = (events[name].to_physical().to_numpy() for name in ("user", "item"))
    by_user, by_item = k_core(users, items, min_user, min_item)
    events = ledger.drop(events, by_user, f"user has fewer than {min_user} events")
    return ledger.drop(events, by_item[~by_user], f"item has fewer than {min_item} events")


def fit_scaler(name: str, values: NDArray[np.float32], percentile: float, impute: str) -> FeatureScaler:
    """Finds the figures that normalise a feature.

    Args:
        name: one of `FEATURES`; dwell, clicks and quantity are taken as logarithms and start at 0.
        values: (events,) raw values of the training events, NaN where missing.
        percentile: the values above it are lowered to it; a worth is raised to the opposite one too.
        impute: "mean", or else the median takes the place of a missing value.
    """
    if name not in FEATURES:
        raise ValueError(f"{name!r} is no feature; there are {', '.join(FEATURES)}")
    known = values[~np.isnan(values)].astype(np.float64)
    log = name in _NON_NEGATIVE
    if not len(known):
        return FeatureScaler(name, fill=0.0, lower=0.0, upper=0.0, log=log, mean=0.0, std=1.0)
    lower = 0.0 if log else float(np.percentile(known, 100 - percentile))
    upper = float(np.percentile(known, percentile))
    clipped = np.clip(known, lower, upper)
    fill = float(np.mean(clipped) if impute == "mean" else np.median(clipped))
    plain = FeatureScaler(name, fill=fill, lower=lower, upper=upper, log=log, mean=0.0, std=1.0)(values)
    mean, std = float(plain.mean(dtype=np.float64)), float(plain.std(dtype=np.float64))
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
