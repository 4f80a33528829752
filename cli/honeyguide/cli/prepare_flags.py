"""Lists the flags of ``prepare`` that describe the data: a table, since they are fifty and all alike."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

__all__ = ["data_flags"]

_FLAGS: dict[str, dict[str, tuple[Any, str, str]]] = {
    "Columns": {
        "user": (str, "Column of the user's id.", "user_id"),
        "item": (str, "Column of the item's id.", "item_id"),
        "time": (str, "Column of the time; without it the file's order counts.", ""),
        "time_unit": (str, "seconds, milliseconds, microseconds, nanoseconds, datetime.", "by the values"),
        "time_format": (str, "Format of a datetime, as strftime's.", "ISO"),
        "event_type": (str, "Column that says what happened.", ""),
        "dwell": (str, "Column of how long the user stayed.", ""),
        "dwell_unit": (str, "seconds, milliseconds.", "seconds"),
        "clicks": (str, "Column of the number of clicks.", ""),
        "quantity": (str, "Column of the number of pieces.", ""),
        "value": (str, "Column of a price, rating or other worth.", ""),
    },
    "Rows that count": {
        "where": (list[str], "Condition, as 'rating >= 6' or 'type in (view, buy)'; repeated: all must hold.", ""),
        "since": (str, "Leave out what was before this date or time.", ""),
        "until": (str, "Leave out what was from this date or time on.", ""),
        "missing": (list[str], "Value that means there is none, as -1; repeatable.", ""),
        "missing_words": (bool, "Whether nan, NULL, None, <NA>, \\N mean there is none.", "missing-words"),
        "skip_bad_rows": (bool, "Drop and count rows of the wrong width or type, instead of stopping.", ""),
    },
    "Text files": {
        "separator": (str, "One or more characters, tab, space.", "detected"),
        "quote": (str, "What protects a field; none: quotes are plain.", '"'),
        "escape": (str, "What makes the next quote plain, as \\.", "a doubled quote"),
        "decimal": (str, "What stands before the fraction: . or ,", "."),
        "header": (bool, "Whether the first row names the columns.", "header"),
        "encoding": (str, "Such as latin-1.", "utf-8"),
        "sequences": (bool, "Each line is a user, then all items, oldest first.", "no-sequences"),
    },
    "Items file": {
        "items": (str, "File that says what items are; name its columns below.", ""),
        "item_id": (str, "Column of the item's id.", "as --item"),
        "title": (str, "Column of the title.", "none"),
        "categories": (str, "Column of the categories.", "none"),
        "category_separator": (str, "Between categories.", "|"),
        "item_columns": (str, "More columns to keep for models, as text,brand,price.", "none"),
        "item_vectors": (str, "Vectors to keep: a column of lists, or NAME=FILE.npy.", "none"),
        "items_separator": (str, "As --separator.", ""),
        "items_header": (bool, "As --header.", ""),
        "items_encoding": (str, "As --encoding.", ""),
        "items_quote": (str, "As --quote.", ""),
        "items_escape": (str, "As --escape.", ""),
    },
    "Cleaning": {
        "min_user_events": (int, "k-core: drop users with fewer.", "1"),
        "min_item_events": (int, "k-core: drop items with fewer.", "1"),
        "winsorise": (float, "Percentile to lower outliers to, 100 = never.", "99.5"),
        "impute": (str, "Missing features: median, mean, interpolation.", "median"),
        "repeats": (str, "Whether users come back to items: detect, yes, no.", "detect"),
        "merge": (str, "A user's events with an item become one: first, last, strongest, sum.", "first, if no repeats"),
        "strength": (str, "What is strongest: view:1,buy:3, or value, quantity, clicks, dwell.", "the rarer type"),
    },
    "Split": {
        "split": (str, "leave-one-out, global-time, random.", "leave-one-out"),
        "validation_fraction": (float, "Of a global-time or random split.", "0.1"),
        "test_fraction": (float, "Of a global-time or random split.", "0.1"),
        "validation_from": (str, "Date or time where validation starts.", ""),
        "test_from": (str, "Date or time where test starts.", ""),
        "quantile": (float, "Of the times: test comes after it; validation, after that of the rest.", ""),
        "targets": (str, "What a global-time split predicts: all, last, successive.", "all"),
        "trainable": (bool, "Whether what no model can learn from is refused.", "trainable"),
    },
}
"""By panel and name: the type, the help, and the default that it shows; what is not given stays None."""


def data_flags() -> Iterator[inspect.Parameter]:
    """Yields the flags as parameters of a command."""
    for panel, flags in _FLAGS.items():
        for name, (kind, text, default) in flags.items():
            flag = f"--{name.replace('_', '-')}"
            words = [flag] if kind is not bool or name == "skip_bad_rows" else [f"{flag}/--no{flag[1:]}"]
            least, most = (1, 2**32 - 1) if kind is int else (None, None)
            option = typer.Option(
                None, *words, help=text, rich_help_panel=panel, show_default=default or False, min=least, max=most
            )
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)
