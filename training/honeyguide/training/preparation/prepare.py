"""Prepares an event log: `prepare` is the library under the verb of the same name."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.dataset_folder import check_target
from honeyguide.training.folder_lock import sole_use
from honeyguide.training.forked import check_not_forked
from honeyguide.training.preparation.options import PrepareOptions, name_and_file
from honeyguide.training.preparation.presets import demo_sources, preset_options

if TYPE_CHECKING:  # heavy; imported when the arguments are checked
    from honeyguide.training.dataset import Dataset

__all__ = ["prepare"]

_LISTS = {"source", "where", "missing"}
"""Keywords that take one text or a list of texts, commas and all."""


def prepare(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    config: str | os.PathLike[str] | None = None,
    name: str | None = None,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    time_unit: str | None = None,
    time_format: str | None = None,
    event_type: str | None = None,
    dwell: str | None = None,
    dwell_unit: str | None = None,
    clicks: str | None = None,
    quantity: str | None = None,
    value: str | None = None,
    where: Sequence[str] | str | None = None,
    since: str | None = None,
    until: str | None = None,
    missing: Sequence[str] | str | None = None,
    missing_words: bool | None = None,
    separator: str | None = None,
    quote: str | None = None,
    escape: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    sequences: bool | None = None,
    skip_bad_rows: bool | None = None,
    items: str | os.PathLike[str] | None = None,
    item_id: str | None = None,
    title: str | None = None,
    categories: str | None = None,
    category_separator: str | None = None,
    item_columns: Sequence[str] | str | None = None,
    item_vectors: Sequence[str] | str | None = None,
    items_separator: str | None = None,
    items_header: bool | None = None,
    items_encoding: str | None = None,
    items_quote: str | None = None,
    items_escape: str | None = None,
    min_user_events: int | None = None,
    min_item_events: int | None = None,
    winsorise: float | None = None,
    impute: str | None = None,
    repeats: str | None = None,
    merge: str | None = None,
    strength: str | None = None,
    split: str | None = None,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    validation_from: str | None = None,
    test_from: str | None = None,
    quantile: float | None = None,
    targets: str | None = None,
    trainable: bool | None = None,
) -> Dataset:
    r"""Turns an event log into a data set: reads, cleans, splits, and accounts for every event.

    A keyword that is None is left to the file ``config``, else to the preset, else to the default that
    `honeyguide.training.preparation.options.PrepareOptions` gives it. A column is named as in the header; in a text
    file without header by its place, from "1".

    Args:
        source: the event log: CSV, TSV or other text, JSON lines, gzipped or not, or Parquet; several such files, a
            folder of them (hive-partitioned too) or a glob; None with the preset "demo".
        out: the folder to write.
        preset: one of `honeyguide.training.preparation.presets.PRESETS`: how a well-known data set's files look.
        config: a TOML file with these keywords.
        name: what the data set is called; None: as the folder.
        force: whether a data set in ``out`` is replaced.
        progress: called with what is being done, a few words at a time.
        user: column of the user's id.
        item: column of the item's id.
        time: column of the time; without it the order of the file counts.
        time_unit: "seconds", "milliseconds", "microseconds", "nanoseconds" or "datetime"; "" goes by the values.
        time_format: format of a datetime, as strftime's; "" is ISO 8601 alone.
        event_type: column that says what happened.
        dwell: column of how long the user stayed.
        dwell_unit: "seconds" or "milliseconds".
        clicks: column of the number of clicks.
        quantity: column of the number of pieces.
        value: column of a price, rating or other worth.
        where: conditions that rows must all meet, as "rating >= 6" or "type in (view, purchase)"; text is one.
        since: earlier events do not count: a date (UTC) or time, or a number in ``time_unit``.
        until: events from this moment on do not count.
        missing: values that mean that there is none, such as "-1"; text is one.
        missing_words: whether nan, NULL, None, <NA> and \N mean so too, in ids as well.
        separator: between fields: one or more characters, "tab" or "space"; "" is detected.
        quote: what protects a field; "none": quotes are plain characters.
        escape: what makes the next quote a plain character, such as a backslash.
        decimal: what stands before the fraction of a number, "." or ",".
        header: whether the first row names the columns.
        encoding: such as "latin-1".
        sequences: whether each line is a user and then all items, oldest first.
        skip_bad_rows: whether rows with too many fields or a value of the wrong type are dropped and counted, instead
            of stopping.
        items: file with titles and categories.
        item_id: its column of the item's id; "" is as in the events.
        title: its column of the title.
        categories: its column of the categories.
        category_separator: between categories.
        item_columns: more of its columns to keep for models; text has commas between.
        item_vectors: vectors of the items for models: columns of lists, or ``name=file.npy`` with a row for each row of
            the items file; text has commas between.
        items_separator: as ``separator``.
        items_header: as ``header``.
        items_encoding: as ``encoding``.
        items_quote: as ``quote``.
        items_escape: as ``escape``.
        min_user_events: users with fewer are dropped (k-core), 1 or more.
        min_item_events: items with fewer are dropped (k-core), 1 or more.
        winsorise: percentile to lower outliers to, above 50; 100 is never.
        impute: what missing features become: "median", "mean" or "interpolation".
        repeats: whether users come back to items: "detect", "yes" or "no".
        merge: how events of a user with an item become one: "first", "last", "strongest" or "sum".
        strength: what makes an event the strongest: "type:weight,…", or a feature such as "value".
        split: "leave-one-out", "global-time" or "random".
        validation_fraction: share of a global-time or random split, above 0.
        test_fraction: share of a global-time or random split, above 0.
        validation_from: date or time where validation starts, instead of the fraction.
        test_from: date or time where test starts.
        quantile: of the times: test is what came after it, validation what came after the same quantile of the rest;
            instead of the fractions.
        targets: what a global-time split predicts: "all" that a user did in a part, at once; the "last" of it; or each
            in turn ("successive"). See `honeyguide.training.held_out`.
        trainable: whether a data set that no model can learn from, or be judged by, is refused.

    Returns:
        The data set, written to ``out``; its ``report`` says what was read, dropped and why.

    Raises:
        ConfigError: naming an unknown option or preset, or a value that is not allowed.
        DataError: with file, row, column and remedy; another process prepares into ``out``; or the disk refuses it.
        FailedPrecondition: this process was forked from one that had data sets open.
    """
    keywords = {key: value for key, value in locals().items() if value is not None}  # first: nothing else is local yet
    del keywords["force"]
    keywords.pop("progress", None)
    file = keywords.pop("config", None)
    keywords = (_read_toml(Path(file)) if file else {}) | {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in keywords.items()
    }
    for key in _LISTS & keywords.keys():
        listed = [keywords[key]] if isinstance(keywords[key], str | os.PathLike) else keywords[key]
        if not isinstance(listed, list | tuple) or not all(isinstance(each, str | os.PathLike) for each in listed):
            raise ConfigError(f"{f'{file}: ' if file else ''}{key} is {listed!r}; it must be text, or a list of texts")
        keywords[key] = [os.fspath(each) for each in listed]
    for key in ("out", "preset", "items"):
        if not isinstance(value := keywords.get(key, ""), str):
            raise ConfigError(f"{f'{file}: ' if file else ''}{key} is {value!r}; it must be text")
    sources = keywords.pop("source", [])
    out, preset = keywords.pop("out", ""), keywords.pop("preset", "")
    if not out:
        raise ConfigError("no folder is named to write to; say --out FOLDER")
    folder = Path(out)
    check_target(folder, force=force)
    if not any(sources):
        if preset != "demo":
            raise DataError("no file is named", remedy="name an event log, or use --preset demo")
        sources = [str(demo_sources()[0])]
    for place in (*sources, *filter(None, [keywords.get("items")])):
        _check_place(place)
    options = _options(sources, preset, keywords)
    for place in filter(None, (name_and_file(option)[1] for option in options.item_vectors)):
        _check_place(place)

    check_not_forked()

    from honeyguide.training.preparation.assembly import make_dataset

    real = folder.resolve()
    with sole_use(folder, real.parent / f".{real.name}.lock", "prepare"):
        return make_dataset(sources, options, folder, force=force, progress=progress or (lambda _: None))


def _read_toml(path: Path) -> dict[str, Any]:
    """Reads the TOML file; raises `ConfigError` where there is none or it is no TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; check --config") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None


def _options(sources: Sequence[str], preset: str, keywords: Mapping[str, Any]) -> PrepareOptions:
    """Puts the keywords over what the preset says of the files; raises `ConfigError` where one is not allowed."""
    items = keywords.get("items", "")
    known = preset_options(preset, Path(sources[0]), Path(items) if items else None) if preset else {}
    if keywords.get("sequences"):
        known = {"user": "user", "item": "item", **known}
    for key in ("where", "missing"):  # conditions and words add to a preset's; all else takes its place
        if key in known and key in keywords:
            keywords = {**keywords, key: [*known[key], *keywords[key]]}
    options: PrepareOptions = config_from(PrepareOptions, {**known, **keywords})
    for key in ("validation_fraction", "test_fraction"):
        if key in keywords and options.split == "leave-one-out":
            raise ConfigError(f"{key} is of a global-time or random split: say which with --split")
        if key in keywords and options.quantile:
            raise ConfigError(f"{key} and quantile both say where the parts begin: give one")
    if "quantile" in keywords and not options.quantile:
        raise ConfigError("quantile is 0; it lies between 0 and 1, such as 0.9")
    return options


def _check_place(place: str) -> None:
    """Raises `DataError` where there is no such file, before anything heavy is loaded; a glob is left to the reader."""
    if not Path(place).exists() and not set("*?[") & set(place):
        raise DataError("there is no such file", file=place, remedy="check the path")
