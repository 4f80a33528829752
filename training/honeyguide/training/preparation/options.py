"""Options of `prepare`: where the columns stand, how to clean, how to split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["PrepareOptions"]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Options of `prepare`; flags win over the TOML file, that over the preset, that over the defaults.

    A column is named as in the header; in a text file without header by its place, from "1". The part before ":" is
    enough where a header says the type too (RecBole's ``user_id:token``). "" means that the data lacks it.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "time_unit": ("seconds", "milliseconds", "datetime"),
        "dwell_unit": ("seconds", "milliseconds"),
        "impute": ("median", "mean", "interpolation"),
        "repeats": ("detect", "yes", "no"),
        "split": ("leave-one-out", "global-time"),
    }

    name: str = ""
    """What the data set is called; "" = the output folder's name."""

    user: str = "user_id"
    """Column of the user's id."""
    item: str = "item_id"
    """Column of the item's id."""
    time: str = ""
    """Column of the time; without it the order of the file counts."""
    time_unit: str = "seconds"
    """Whether numbers are seconds or milliseconds since 1970-01-01 UTC, or text is a datetime."""
    time_format: str = ""
    """Format of a datetime, as strftime's; "" = ISO 8601."""
    event_type: str = ""
    """Column that says what happened."""
    dwell: str = ""
    """Column of how long the user stayed, 0 or more."""
    dwell_unit: str = "seconds"
    """Unit of the dwell column."""
    clicks: str = ""
    """Column of the number of clicks, 0 or more."""
    quantity: str = ""
    """Column of the number of pieces, 0 or more."""
    value: str = ""
    """Column of the event's worth, such as a price or rating."""
    keep: str = ""
    """``COLUMN=VALUE``: only rows where the column has this value count, such as ``is_click=1``."""

    separator: str = ""
    """Between the fields of a text file, one or more characters, "tab" or "space"; "" = by the file's ending.
    Double quotes protect a field where it is "," or ";", and are plain characters elsewhere."""
    header: bool = True
    """Whether the first line of a text file names the columns."""
    encoding: str = "utf-8"
    """How a text file's bytes are read, such as latin-1."""
    skip_bad_rows: bool = False
    """Whether rows with a value of the wrong type are dropped and counted instead of stopping."""

    items: str = ""
    """File of item titles, categories and more."""
    item_id: str = ""
    """Its column of the item's id; "" = as in the events."""
    title: str = ""
    """Its column of the title."""
    categories: str = ""
    """Its column of the categories."""
    category_separator: str = "|"
    """Between the categories of an item."""
    category_flags: tuple[str, ...] = ()
    """Names of 0/1 columns, the first of which is ``categories`` (MovieLens-100K's u.item)."""
    item_columns: tuple[str, ...] = ()
    """Its columns for models to observe, beside title and categories."""
    items_separator: str = ""
    """As ``separator``, for the items file."""
    items_header: bool = True
    """As ``header``, for the items file."""
    items_encoding: str = "utf-8"
    """As ``encoding``, for the items file."""

    min_user_events: int = 1
    """Users with fewer events are dropped, over and over with ``min_item_events`` (k-core); 1 or more."""
    min_item_events: int = 1
    """Items with fewer events are dropped; 1 or more."""
    winsorise: float = 99.5
    """Percentile that dwell, clicks, quantity and value are lowered to, above 50; 100 = never."""
    impute: str = "median"
    """What takes the place of a missing feature; interpolation is between the user's neighbouring training events."""
    repeats: str = "detect"
    """Whether users meet items again; detected where 1 % or more of the events are such. "no" drops those events."""

    split: str = "leave-one-out"
    """Each user's last basket is test and the one before validation; or everybody's latest events by time."""
    validation_fraction: float = 0.1
    """Share of the events that become validation in a global-time split, above 0."""
    test_fraction: float = 0.1
    """Share of the events that become test in a global-time split, above 0."""
    validation_from: str = ""
    """Start of the validation window instead of the fraction: a date (UTC), or a number in ``time_unit``."""
    test_from: str = ""
    """Start of the test window, given together with ``validation_from``."""

    def __post_init__(self) -> None:
        for name, allowed in self.CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}")
        if not self.user or not self.item:
            raise ValueError("user and item need a column each")
        if self.min_user_events < 1 or self.min_item_events < 1:
            raise ValueError("min_user_events and min_item_events are 1 or more")
        if not 50 < self.winsorise <= 100:
            raise ValueError(f"winsorise is {self.winsorise}; it is a percentile above 50, at most 100")
        fractions = (self.validation_fraction, self.test_fraction)
        if not (min(fractions) > 0 and sum(fractions) < 1):  # NaN is not allowed either
            raise ValueError("validation_fraction and test_fraction are above 0 and leave something to train on")
        if bool(self.validation_from) != bool(self.test_from):
            raise ValueError("validation_from and test_from go together")
        if self.split == "global-time" and not self.time:
            raise ValueError("a global-time split needs a time column")
        if self.item_columns and not self.items:
            raise ValueError(f"item_columns is {', '.join(self.item_columns)}, and no items file is named")
        if len(set(self.item_columns)) < len(self.item_columns):
            raise ValueError(f"item_columns is {', '.join(self.item_columns)}; name each column once")
        if own := sorted({"item_id", "title", "categories", "popularity"} & set(self.item_columns)):
            raise ValueError(
                f"item_columns has {', '.join(own)}, which every data set has; leave it out, or rename it in the file"
            )
        if self.keep and "=" not in self.keep:
            raise ValueError(f"keep is {self.keep!r}; write COLUMN=VALUE")
