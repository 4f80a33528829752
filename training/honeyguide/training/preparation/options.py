"""Options of `prepare`: where the columns stand, how to clean, how to split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from honeyguide.training.held_out import TARGETS
from honeyguide.training.preparation.conditions import parse_condition

__all__ = ["PrepareOptions", "name_and_file"]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Options of `prepare`; flags win over the TOML file, that over the preset, that over the defaults.

    A column is named as in the header; in a text file without header by its place, from "1". The part before ":" is
    enough where a header says the type too (RecBole's ``user_id:token``). "" means that the data lacks it.
    """

    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "time_unit": ("", "seconds", "milliseconds", "microseconds", "nanoseconds", "datetime"),
        "dwell_unit": ("seconds", "milliseconds"),
        "decimal": (".", ","),
        "impute": ("median", "mean", "interpolation"),
        "repeats": ("detect", "yes", "no"),
        "merge": ("", "first", "last", "strongest", "sum"),
        "split": ("leave-one-out", "global-time", "random"),
        "targets": TARGETS,
    }

    name: str = ""
    """What the data set is called; "" = the output folder's name."""

    user: str = "user_id"
    """Column of the user's id."""
    item: str = "item_id"
    """Column of the item's id."""
    time: str = ""
    """Column of the time; without it the order of the file counts."""
    time_unit: str = ""
    """What numbers count since 1970-01-01 UTC, or "datetime" for text; "" = by the values: their size, or ISO 8601."""
    time_format: str = ""
    """Format of a datetime, as strftime's; "" = ISO 8601 alone."""
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

    where: tuple[str, ...] = ()
    """Conditions that rows must all meet to count: ``rating >= 6``, ``type in (view, purchase)``, ``hours != -1``."""
    since: str = ""
    """Earlier events do not count: a date (UTC) or time, or a number in ``time_unit``."""
    until: str = ""
    """Events from this moment on do not count."""
    missing: tuple[str, ...] = ()
    """Values that mean that there is none, in any column but ids, such as -1; blanks always do."""
    missing_words: bool = True
    """Whether nan, NULL, None, <NA> and \\N mean so too, in ids as well."""

    separator: str = ""
    """Between the fields of a text file, one or more characters, "tab" or "space"; "" = detected."""
    quote: str = '"'
    """What protects a field that holds separators or line breaks; "none": quotes are plain characters."""
    escape: str = ""
    """What makes the next quote a plain character, such as a backslash; "" = a quote is doubled, as in RFC 4180."""
    decimal: str = "."
    """What stands before the fraction of a number."""
    header: bool = True
    """Whether the first line of a text file names the columns."""
    encoding: str = "utf-8"
    """How a text file's bytes are read, such as latin-1."""
    sequences: bool = False
    """Whether each line is a user and then all items, oldest first; the columns are "user" and "item"."""
    skip_bad_rows: bool = False
    """Whether rows with a wrong number of fields or a value of the wrong type are dropped and counted."""

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
    item_vectors: tuple[str, ...] = ()
    """Vectors of the items for models to observe: a column of lists of Parquet or JSON lines, such as ``image``; or a
    .npy file with a row for each row of the items file, in its order, under a name, such as ``image=images.npy``."""
    items_separator: str = ""
    """As ``separator``, for the items file."""
    items_header: bool = True
    """As ``header``, for the items file."""
    items_encoding: str = "utf-8"
    """As ``encoding``, for the items file."""
    items_quote: str = '"'
    """As ``quote``, for the items file."""
    items_escape: str = ""
    """As ``escape``, for the items file."""

    min_user_events: int = 1
    """Users with fewer events are dropped, over and over with ``min_item_events`` (k-core); 1 or more."""
    min_item_events: int = 1
    """Items with fewer events are dropped; 1 or more."""
    winsorise: float = 99.5
    """Percentile that dwell, clicks, quantity and value are lowered to, above 50; 100 = never."""
    impute: str = "median"
    """What takes the place of a missing feature; interpolation is between the user's neighbouring training events."""
    repeats: str = "detect"
    """Whether users come back to items; detected where 1 % or more of the events are returns, after another item.
    Where not, the events of a user with an item become one."""
    merge: str = ""
    """How events of a user with an item become one: the first, the last, the strongest, or the last with the sums of
    all features; "" = first. Given where items repeat, it merges those in direct succession, and returns stay."""
    strength: str = ""
    """What makes an event the strongest: weights by type, as ``view:1,cart:2,purchase:3``, or the feature ``value``,
    ``quantity``, ``clicks`` or ``dwell``; "" = the rarer type, without types the first of these that there is."""

    split: str = "leave-one-out"
    """Each user's last basket is test and the one before validation; or everybody's latest events by time; or any."""
    validation_fraction: float = 0.1
    """Share of the events that become validation in a global-time or random split, above 0."""
    test_fraction: float = 0.1
    """Share of the events that become test in a global-time or random split, above 0."""
    validation_from: str = ""
    """Start of the validation window instead of the fraction: a date (UTC), or a number in ``time_unit``."""
    test_from: str = ""
    """Start of the test window, given together with ``validation_from``."""
    quantile: float = 0.0
    """Quantile of the times after which test begins in a global-time split, and of what is left, validation; between 0
    and 1, such as 0.9; 0 = by the fractions."""
    targets: str = "all"
    """What is predicted of each user's held-out events in a global-time split: all of them at once, the last, or one
    after the other ("successive"); see `honeyguide.training.held_out`."""
    trainable: bool = True
    """Whether a data set that no model can learn from, or be judged by, is refused."""

    def __post_init__(self) -> None:
        for name, allowed in self.CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(filter(None, allowed))}")
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
        if self.validation_from and self.split != "global-time":
            raise ValueError("validation_from and test_from are of a global-time split: split='global-time'")
        if self.quantile and not 0 < self.quantile < 1:  # NaN is not allowed either
            raise ValueError(f"quantile is {self.quantile:g}; it lies between 0 and 1, such as 0.9")
        for name, given in (("quantile", self.quantile), ("targets", self.targets != "all")):
            if given and self.split != "global-time":
                raise ValueError(f"{name} is of a global-time split: split='global-time'")
        if self.quantile and self.validation_from:
            raise ValueError("quantile and validation_from both say where test begins: give one")
        needing = {"a global-time split": self.split == "global-time", "since": self.since, "until": self.until}
        if not self.time and (named := [what for what, given in needing.items() if given]):
            raise ValueError(f"{named[0]} needs a time column")
        if self.item_columns and not self.items:
            raise ValueError(f"item_columns is {', '.join(self.item_columns)}, and no items file is named")
        vectors = [name_and_file(option)[0] for option in self.item_vectors]
        if self.item_vectors and not self.items:
            raise ValueError(f"item_vectors is {', '.join(self.item_vectors)}, and no items file is named")
        if not all(vectors):
            raise ValueError("item_vectors has one without a name; write NAME, or NAME=FILE.npy")
        if len(set(self.item_columns)) < len(self.item_columns):
            raise ValueError(f"item_columns is {', '.join(self.item_columns)}; name each column once")
        if len({*self.item_columns, *vectors}) < len(self.item_columns) + len(vectors):
            raise ValueError(f"item_vectors is {', '.join(self.item_vectors)}; name each column once, item_columns too")
        if own := sorted({"item_id", "title", "categories", "popularity"} & {*self.item_columns, *vectors}):
            raise ValueError(
                f"item_columns has {', '.join(own)}, which every data set has; leave it out, or rename it in the file"
            )
        for text in self.where:
            parse_condition(text)
        if "%f" in self.time_format.replace(".%f", ""):
            raise ValueError(f"time_format is {self.time_format!r}; a fraction of a second is written .%f, after %S")
        if self.strength and self.merge != "strongest":
            raise ValueError("strength says what the strongest event is: it needs merge='strongest'")


def name_and_file(option: str) -> tuple[str, str]:
    """Splits ``name=file.npy`` of ``item_vectors``; a name alone is a column of lists, and its file is ""."""
    name, _, file = option.partition("=")
    return name.strip(), file.strip()
