"""Makes a data set of a raw log: reads, cleans, splits, and accounts for every event."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk import DataSpec, FeatureScaler
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.training.dataset import Dataset, fingerprint, item_columns
from honeyguide.training.preparation import cleaning, splits
from honeyguide.training.preparation.events import Events, Ledger
from honeyguide.training.preparation.merging import Repeats, merge_repeats
from honeyguide.training.preparation.options import PrepareOptions
from honeyguide.training.preparation.profile import join_coverage, profile, time_warnings
from honeyguide.training.preparation.readers import read_events, read_items
from honeyguide.training.preparation.times import TimeReader, moment_text, parse_cut
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.sources import Source

__all__ = ["make_dataset"]

_ORDER = ("user", "item", "split", "time_ms", "event_type", *EVENT_FEATURES)


def make_dataset(
    places: Sequence[str], options: PrepareOptions, out: Path, *, force: bool, progress: Callable[[str], None]
) -> Dataset:
    """Prepares an event log and writes the data set.

    Args:
        places: the event log: a file, several, a folder or a glob.
        options: where its columns stand, how to clean, how to split.
        out: the folder to write.
        force: whether a data set in ``out`` is replaced.
        progress: is told what is going on, a few words at a time.

    Raises:
        DataError: with file, row, column and remedy.
    """
    started = time.perf_counter()
    ledger = Ledger()
    source = Source(places, text_format(options))
    events, times, unused = read_events(source, options, ledger, progress)
    unit = times.unit
    warnings = _check_times(events, times, source, options)
    if (lost := ledger.read - ledger.kept - ledger.unmet) > ledger.read / 2:
        warnings.append(f"{lost:,} of {ledger.read:,} rows could not be used, more than half: see the reasons")
    repeats = _clean(events, options, unit, source, ledger, progress)
    progress("splitting")
    missing = {name: int(np.isnan(events[name]).sum()) for name in EVENT_FEATURES if name in events}
    dataset = _assemble(events, options, repeats.repeat, unit, source)
    dataset.name = options.name or out.resolve().name
    join = None
    if options.items:
        progress("reading the items")
        described = Source([options.items], text_format(options, of_items=True), flags="items-")
        table = read_items(described, options)
        join, warning = join_coverage(dataset.items["item_id"], table["item_id"], described.name)
        dataset = _with_items(dataset, table)
        warnings += [*described.warnings, warning]
    if options.split == "random":
        warnings.append(
            "the split is random: histories hold events that came after what is predicted, and the order of a file is "
            "no time; models that learn an order learn little from it"
        )
    figures = profile(dataset) | {"repeats": repeats.facts, "join": join}
    report = {
        "source": source.name,
        "read_as": source.facts | ({"time_unit": unit} if unit else {}),
        **ledger.to_dict(),
        "unused_columns": unused,
        "repeats": repeats.repeat,
        "warnings": [text for text in (*source.warnings, *warnings, repeats.warning, *time_warnings(dataset)) if text],
        "profile": figures,
        "split_begins": _begins(dataset),
        "features": _features(dataset, missing),
        "item_columns": _item_columns(dataset),
        "options": {k: v for k, v in dataclasses.asdict(options).items() if v not in ("", ())},
    }
    digest = fingerprint(dataset.events, dataset.users, dataset.items)
    dataset.spec = dataclasses.replace(dataset.spec, fingerprint=digest, item_columns=item_columns(dataset.items))
    dataset.report = report | {"seconds": round(time.perf_counter() - started, 3)}
    progress("writing")
    dataset.write(out, force=force)
    return dataset


def text_format(options: PrepareOptions, *, of_items: bool = False) -> TextFormat:
    """Returns how the event log is written, or the items file."""
    names = ("separator", "quote", "escape", "header", "encoding")
    given = {name: getattr(options, f"items_{name}" if of_items else name) for name in names}
    return TextFormat(**given, sequences=options.sequences and not of_items)


def _check_times(events: Events, times: TimeReader, source: Source, options: PrepareOptions) -> list[str]:
    """Returns what looks odd about the times, and takes them away where they say nothing of order."""
    if not options.time or not len(events):
        return []
    rows = events["row"]
    odd = times.check(events["time_ms"], lambda at: source.where(int(rows[at])), options.time)
    if len(events) > 1 and events["time_ms"].min() == events["time_ms"].max():
        del events.columns["time_ms"]
        odd.append(
            f"all times are equal (column {options.time!r}), so they are left out and the order is the file's: were "
            "they rounded when the file was written?"
        )
    return odd


def _clean(
    events: Events,
    options: PrepareOptions,
    unit: str,
    source: Source,
    ledger: Ledger,
    progress: Callable[[str], None],
) -> Repeats:
    """Drops what does not count, puts the rest by user, oldest first; returns what was found of repeats."""
    progress("cleaning")
    cleaning.drop_out_of_range(events, ledger)
    for moment, reason in ((options.since, f"before {options.since}"), (options.until, f"from {options.until} on")):
        if moment and "time_ms" in events:
            early = events["time_ms"] < parse_cut(moment, unit)
            ledger.drop(events, early if moment is options.since else ~early, reason)
    progress("sorting")
    keys = [events["user"], *([events["time_ms"]] if "time_ms" in events else [])]
    if not _ascending(keys):
        events.select(np.lexsort(keys[::-1]))  # stable: the order of the file decides among equals
    cleaning.drop_duplicates(events, ledger)
    repeats = merge_repeats(events, options.repeats, options.merge, options.strength, ledger)
    progress("filtering")
    clean = len(events)
    cleaning.drop_sparse(events, options.min_user_events, options.min_item_events, ledger)
    if not len(events):
        given = {"--where": options.where, "--since": options.since, "--until": options.until}
        checked = ", ".join(["which columns are named", *(flag for flag, value in given.items() if value)])
        why = "; ".join(f"{n} × {reason} ({ledger.examples[reason]})" for reason, n in ledger.counts.items())
        raise DataError(
            f"no user is left: of {ledger.read} rows were dropped {why}",
            file=source.name,
            remedy="lower --min-user-events and --min-item-events" if clean else f"check {checked}",
        )
    return repeats


def _assemble(events: Events, options: PrepareOptions, repeats: bool, unit: str, source: Source) -> Dataset:
    """Splits clean events, finds the scalers' figures on the training part, and puts rows in the place of ids."""
    columns = events.columns
    del columns["row"]
    table: dict[str, pl.Series] = {}
    table["user"], user_ids = _rows(columns.pop("user"), events.ids["user"])
    table["item"], item_ids = _rows(columns.pop("item"), events.ids["item"])
    user, item = table["user"].to_numpy(), table["item"].to_numpy()  # views: no column is held twice
    times = None
    if "time_ms" in columns:
        table["time_ms"] = pl.Series(columns.pop("time_ms"))
        times = table["time_ms"].to_numpy()
    split = _split(user, times, options, unit, source.name)
    if options.trainable:
        splits.check_trainable(user, times, split, options.split, source.name)
    table["split"] = pl.Series(split)
    train = split == 0
    scalers: list[FeatureScaler] = []
    for feature in (f for f in EVENT_FEATURES if f in columns):
        values = columns[feature]
        if options.impute == "interpolation":
            at = times if times is not None else np.arange(len(values))
            values[train] = cleaning.interpolate(values[train], user[train], at[train])
        scalers.append(cleaning.fit_scaler(feature, values[train], options.winsorise, options.impute))
    types: list[str] = []
    popularity = np.bincount(item[train], minlength=len(item_ids)).astype(np.int64)
    if "event_type" in columns:
        names = events.ids["event_type"]
        codes = columns.pop("event_type")
        types = sorted(set(names.gather(np.unique(codes[train])).to_list()) - {""})
        table["event_type"] = names.gather(codes)
    table |= {feature: pl.Series(columns.pop(feature)) for feature in EVENT_FEATURES if feature in columns}
    items = pl.DataFrame(
        {
            "item_id": item_ids,
            "title": pl.Series([""]).new_from_index(0, len(item_ids)),
            "categories": pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, len(item_ids)),
            "popularity": popularity,
        }
    )
    return Dataset(
        name=source.name,
        spec=DataSpec(
            items=len(item_ids),
            repeats=repeats,
            has_time=times is not None,
            event_types=tuple(types),
            features=tuple(scalers),
        ),
        split=options.split,
        targets=options.targets,
        events=pl.DataFrame(table).select(c for c in _ORDER if c in table),
        users=pl.DataFrame({"user_id": user_ids}),
        items=items,
    )


def _split(
    user: NDArray[np.int32], times: NDArray[np.int64] | None, options: PrepareOptions, unit: str, source: str
) -> NDArray[np.int8]:
    """Returns the part of each event."""
    if options.split == "leave-one-out":
        return splits.leave_one_out(user, times)
    if options.split == "random":
        return splits.random_parts(len(user), options.validation_fraction, options.test_fraction)
    if times is None:
        raise DataError("a global-time split needs times that differ", file=source, remedy="choose --split random")
    if options.validation_from:
        cuts = (parse_cut(options.validation_from, unit), parse_cut(options.test_from, unit))
    elif options.quantile:
        cuts = splits.quantile_cuts(user, times, options.quantile)
    else:
        cuts = splits.cut_times(times, options.validation_fraction, options.test_fraction)
    return splits.global_time(times, *cuts)


def _begins(dataset: Dataset) -> dict[str, str]:
    """Returns when validation's and test's first events happened, UTC; nothing where parts do not follow in time."""
    if dataset.split != "global-time":
        return {}
    first = dict(dataset.events.group_by("split").agg(pl.col("time_ms").min()).rows())
    return {part: moment_text(first[code]) for code, part in enumerate(("validation", "test"), 1)}


def _with_items(dataset: Dataset, described: pl.DataFrame) -> Dataset:
    """Adds titles, categories and what other columns were asked for to the items that have events."""
    dataset.items = (
        dataset.items.select("item_id", "popularity")
        .join(described, on="item_id", how="left", maintain_order="left")
        .select(
            "item_id",
            pl.col("title").fill_null(""),
            pl.col("categories").fill_null([]),
            "popularity",
            *(
                pl.when(pl.col(name).is_null()).then(_missing(kind)).otherwise(pl.col(name)).alias(name)
                for name, kind in described.schema.items()
                if name not in ("item_id", "title", "categories")
            ),
        )
    )
    return dataset


def _missing(kind: pl.DataType) -> pl.Expr:
    """Returns what stands for a missing value of a kept item column."""
    if isinstance(kind, pl.Array):
        return pl.lit(pl.Series([[float("nan")] * kind.size], dtype=kind))
    return pl.lit("" if kind == pl.String else float("nan"))


def _item_columns(dataset: Dataset) -> dict[str, dict[str, str | int]]:
    """Says of each such item column whether it is text, numbers or vectors, and how many values are missing."""
    table = dataset.item_table()
    texts = {name: ("text", sum(not value for value in column)) for name, column in table.texts.items()}
    numbers = {name: ("number", int(np.isnan(column).sum())) for name, column in table.numbers.items()}
    vectors = {name: ("vector", int(np.isnan(column).any(1).sum())) for name, column in table.vectors.items()}
    return {name: {"kind": kind, "missing": missing} for name, (kind, missing) in (texts | numbers | vectors).items()}


def _features(dataset: Dataset, missing: Mapping[str, int]) -> dict[str, dict[str, float | int]]:
    """Says of each feature how many values were missing or outliers, and the figures that normalise it."""
    figures = {}
    for scaler in dataset.spec.features:
        values = dataset.events[scaler.name].to_numpy()
        figures[scaler.name] = {
            "missing": missing[scaler.name],
            "winsorised": int(((values < scaler.lower) | (values > scaler.upper)).sum()),
        } | {k: v for k, v in dataclasses.asdict(scaler).items() if k != "name"}
    return figures


def _rows(codes: NDArray[np.uint32], ids: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Returns each event's row (int32), and the ids that still occur, in row order."""
    present = np.bincount(codes) > 0
    rows = np.cumsum(present, dtype=np.int32) - np.int32(1)
    return pl.Series(rows[codes]), ids.gather(np.flatnonzero(present))


def _ascending(keys: list[NDArray[Any]]) -> bool:
    """Whether events stand in order already, by the first key, then the second."""
    ahead = keys[0][1:] > keys[0][:-1]
    level = keys[0][1:] == keys[0][:-1]
    return bool((ahead | level & (keys[-1][1:] >= keys[-1][:-1])).all())
