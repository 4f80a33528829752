"""Lists the flags of ``prepare`` that describe the data: a table, since they are forty and all alike."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import typer

__all__ = ["data_flags"]

_FLAGS: dict[str, dict[str, tuple[type, str, str]]] = {
    "Columns": {
        "user": (str, "Column of the user's id.", "user_id"),
        "item": (str, "Column of the item's id.", "item_id"),
        "time": (str, "Column of the time; without it the file's order counts.", ""),
        "time_unit": (str, "seconds, milliseconds, datetime.", "seconds"),
        "time_format": (str, "Format of a datetime, as strftime's.", "ISO"),
        "event_type": (str, "Column that says what happened.", ""),
        "dwell": (str, "Column of how long the user stayed.", ""),
        "dwell_unit": (str, "seconds, milliseconds.", "seconds"),
        "clicks": (str, "Column of the number of clicks.", ""),
        "quantity": (str, "Column of the number of pieces.", ""),
        "value": (str, "Column of a price, rating or other worth.", ""),
        "keep": (str, "COLUMN=VALUE: only such rows count, as is_click=1.", ""),
    },
    "Text files": {
        "separator": (str, "One or more characters, tab, space.", "by the file's ending"),
        "header": (bool, "Whether the first row names the columns.", "header"),
        "encoding": (str, "Such as latin-1.", "utf-8"),
        "skip_bad_rows": (bool, "Drop and count rows with a value of the wrong type, instead of stopping.", ""),
    },
    "Items file": {
        "items": (str, "File with titles and categories.", ""),
        "item_id": (str, "Column of the item's id.", "as --item"),
        "title": (str, "Column of the title.", ""),
        "categories": (str, "Column of the categories.", ""),
        "category_separator": (str, "Between categories.", "|"),
        "item_columns": (str, "More columns to keep for models, as text,brand,price.", "none"),
        "items_separator": (str, "As --separator.", ""),
        "items_header": (bool, "As --header.", ""),
        "items_encoding": (str, "As --encoding.", ""),
    },
    "Cleaning": {
        "min_user_events": (int, "k-core: drop users with fewer.", "1"),
        "min_item_events": (int, "k-core: drop items with fewer.", "1"),
        "winsorise": (float, "Percentile to lower outliers to, 100 = never.", "99.5"),
        "impute": (str, "Missing features: median, mean, interpolation.", "median"),
        "repeats": (str, "Whether users meet items again: detect, yes, no.", "detect"),
    },
    "Split": {
        "split": (str, "leave-one-out, global-time.", "leave-one-out"),
        "validation_fraction": (float, "Of a global-time split.", "0.1"),
        "test_fraction": (float, "Of a global-time split.", "0.1"),
        "validation_from": (str, "Date or time where validation starts.", ""),
        "test_from": (str, "Date or time where test starts.", ""),
    },
}
"""By panel and name: the type, the help, and the default that it shows; what is not given stays None."""


def data_flags() -> Iterator[inspect.Parameter]:
    """Yields the flags as parameters of a command."""
    for panel, flags in _FLAGS.items():
        for name, (kind, text, default) in flags.items():
            flag = f"--{name.replace('_', '-')}"
            words = [flag] if kind is not bool or name == "skip_bad_rows" else [f"{flag}/--no{flag[1:]}"]
            option = typer.Option(None, *words, help=text, rich_help_panel=panel, show_default=default or False)
            yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=kind | None)
