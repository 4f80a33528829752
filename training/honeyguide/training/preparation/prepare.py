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
from honeyguide.training.preparation.options import PrepareOptions
from honeyguide.training.preparation.presets import demo_sources, preset_options

if TYPE_CHECKING:  # heavy; imported when the arguments are checked
    from honeyguide.training.dataset import Dataset

__all__ = ["prepare"]

_PLACES = ("source", "out", "preset")
"""What a TOML file may say beside the fields of `PrepareOptions`."""


def prepare(
    source: str | os.PathLike[str] | None = None,
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
    keep: str | None = None,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    skip_bad_rows: bool | None = None,
    items: str | os.PathLike[str] | None = None,
    item_id: str | None = None,
    title: str | None = None,
    categories: str | None = None,
    category_separator: str | None = None,
    item_columns: Sequence[str] | str | None = None,
    items_separator: str | None = None,
    items_header: bool | None = None,
    items_encoding: str | None = None,
    min_user_events: int | None = None,
    min_item_events: int | None = None,
    winsorise: float | None = None,
    impute: str | None = None,
    repeats: str | None = None,
    split: str | None = None,
    validation_fraction: float | None = None,
    test_fraction: float | None = None,
    validation_from: str | None = None,
    test_from: str | None = None,
) -> Dataset:
    """Turns an event log into a data set: reads, cleans, splits, and accounts for every event.

    A keyword that is None is left to the file ``config``, else to the preset, else to the default that
    `honeyguide.training.preparation.options.PrepareOptions` gives it. A column is named as in the header; in a text
    file without header by its place, from "1".

    Args:
        source: the event log: CSV, TSV or other text, gzipped or not, or Parquet; None with the preset "demo".
        out: the folder to write.
        preset: one of `honeyguide.training.preparation.presets.PRESETS`: how a well-known data set's files look.
        config: a TOML file with these keywords.
        name: what the data set is called; None: as the folder.
        force: whether a data set in ``out`` is replaced.
        progress: called with what is being done, a few words at a time.
        user: column of the user's id.
        item: column of the item's id.
        time: column of the time; without it the order of the file counts.
        time_unit: "seconds", "milliseconds" or "datetime".
        time_format: format of a datetime, as strftime's; "" is ISO 8601.
        event_type: column that says what happened.
        dwell: column of how long the user stayed.
        dwell_unit: "seconds" or "milliseconds".
        clicks: column of the number of clicks.
        quantity: column of the number of pieces.
        value: column of a price, rating or other worth.
        keep: "COLUMN=VALUE": only such rows count, as "is_click=1".
        separator: between fields: one or more characters, "tab" or "space"; "" goes by the file's ending.
        header: whether the first row names the columns.
        encoding: such as "latin-1".
        skip_bad_rows: whether rows with a value of the wrong type are dropped and counted, instead of stopping.
        items: file with titles and categories.
        item_id: its column of the item's id; "" is as in the events.
        title: its column of the title.
        categories: its column of the categories.
        category_separator: between categories.
        item_columns: more of its columns to keep for models; text has commas between.
        items_separator: as ``separator``.
        items_header: as ``header``.
        items_encoding: as ``encoding``.
        min_user_events: users with fewer are dropped (k-core), 1 or more.
        min_item_events: items with fewer are dropped (k-core), 1 or more.
        winsorise: percentile to lower outliers to, above 50; 100 is never.
        impute: what missing features become: "median", "mean" or "interpolation".
        repeats: whether users meet items again: "detect", "yes" or "no".
        split: "leave-one-out" or "global-time".
        validation_fraction: share of a global-time split, above 0.
        test_fraction: share of a global-time split, above 0.
        validation_from: date or time where validation starts, instead of the fraction.
        test_from: date or time where test starts.

    Returns:
        The data set, written to ``out``; its ``report`` says what was read, dropped and why.

    Raises:
        ConfigError: naming an unknown option or preset, or a value that is not allowed.
        DataError: with file, row, column and remedy.
    """
    keywords = {key: value for key, value in locals().items() if value is not None}  # first: nothing else is local yet
    del keywords["force"]
    keywords.pop("progress", None)
    file = keywords.pop("config", None)
    keywords = (_read_toml(Path(file)) if file else {}) | {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in keywords.items()
    }
    for key in (*_PLACES, "items"):
        if not isinstance(value := keywords.get(key, ""), str):
            raise ConfigError(f"{f'{file}: ' if file else ''}{key} is {value!r}; it must be text")
    places = {key: keywords.pop(key, "") for key in _PLACES}
    if not places["out"]:
        raise ConfigError("no folder is named to write to; say --out FOLDER")
    folder = Path(places["out"])
    check_target(folder, force=force)
    path = _source(places["source"], places["preset"])
    options = _options(path, places["preset"], keywords)

    from honeyguide.training.preparation.assembly import make_dataset

    return make_dataset(path, options, folder, force=force, progress=progress or (lambda _: None))


def _read_toml(path: Path) -> dict[str, Any]:
    """Reads the TOML file; raises `ConfigError` where there is none or it is no TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}; check --config") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from None


def _source(source: str, preset: str) -> Path:
    """Returns the event log, the demo's where none is named; raises `DataError` where there is no such file."""
    if not source:
        if preset != "demo":
            raise DataError("no file is named", remedy="name an event log, or use --preset demo")
        return demo_sources()[0]
    _check_file(Path(source))
    return Path(source)


def _options(path: Path, preset: str, keywords: Mapping[str, Any]) -> PrepareOptions:
    """Puts the keywords over what the preset says of the files; raises `ConfigError` where one is not allowed."""
    if items := keywords.get("items"):
        _check_file(Path(items))
    known = preset_options(preset, path, Path(items) if items else None) if preset else {}
    options: PrepareOptions = config_from(PrepareOptions, {**known, **keywords})
    return options


def _check_file(path: Path) -> None:
    if not path.exists():
        raise DataError("there is no such file", file=str(path), remedy="check the path")
