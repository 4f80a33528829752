"""Knows the files of well-known data sets, so that nobody has to describe their columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from honeyguide.sdk.errors import ConfigError, DataError

__all__ = ["PRESETS", "demo_sources", "preset_options"]

Options = Mapping[str, Any]


class _Look(NamedTuple):
    """What a file's first row shows."""

    columns: tuple[str, ...]
    separator: str


GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""The 0/1 columns of u.item, from the sixth on."""


def preset_options(name: str, path: Path, items: Path | None) -> Options:
    """Returns what a preset says about an event file and, where one is given, an items file.

    Raises:
        ConfigError: naming the presets there are.
        DataError: where the file is not of the preset's kind.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r} is unknown; there are: {', '.join(sorted(PRESETS))}")
    return PRESETS[name](path, items)


def demo_sources() -> tuple[Path, Path]:
    """Returns the event and the items file of the demo data inside the package."""
    folder = Path(str(files("honeyguide.training") / "demo_data"))
    return folder / "online_retail_events.parquet", folder / "online_retail_items.parquet"


def _demo(_: Path, __: Path | None) -> Options:
    bought = {"user": "customer_id", "item": "stock_code", "time": "time", "time_unit": "datetime"}
    worth = {"quantity": "quantity", "value": "unit_price", "repeats": "yes", "min_item_events": 5}
    return bought | worth | {"items": str(demo_sources()[1]), "title": "title", "name": "online-retail-demo"}


def _movielens(path: Path, items: Path | None) -> Options:
    """Tells the forms in which MovieLens comes by their columns."""
    found = _look(path, encoding="latin-1")
    separator, width = found.separator, len(found.columns)
    if {"userId", "movieId"} <= set(found.columns):
        events: dict[str, Any] = {"user": "userId", "item": "movieId"}
        events |= {option: name for option, name in _RATED.items() if name in found.columns}
    elif separator in ("::", "tab") and width == 4:
        events = _places(separator, user="1", item="2", value="3", time="4")
    elif separator == "space" and width == 2:
        events = dict(_sequence(path, None))
    else:
        raise DataError(
            f"the first row is none of MovieLens' forms: {width} fields with {separator!r} between",
            file=str(path),
            row=1,
            remedy="name ratings.dat, ratings.csv, u.data or a `user item` text, or describe the columns by flags",
        )
    events["repeats"] = "no"
    return events if items is None else events | _movielens_items(items)


def _movielens_items(path: Path) -> dict[str, Any]:
    found = _look(path, "items-", encoding="latin-1", quote="none")
    described = {
        "items_header": False,
        "items_encoding": "latin-1",
        "items_quote": "none",
        "item_id": "1",
        "title": "2",
    }
    if found.separator == "::":  # movies.dat
        return described | {"items_separator": "::", "categories": "3"}
    if found.separator == "|" and len(found.columns) == 24:  # u.item
        return described | {"items_separator": "|", "categories": "6", "category_flags": GENRES_100K}
    return {"item_id": "movieId", "title": "title", "categories": "genres"}  # movies.csv


def _sequence(path: Path, _: Path | None) -> Options:
    """Takes a text with a user and an item in each row."""
    if (fields := len(_look(path, separator="space").columns)) != 2:
        raise DataError(
            f"the row has {fields} fields; a sequence text has two, user and item, with a space between",
            file=str(path),
            row=1,
            remedy="--preset sequences reads one line a user, `user item item …`; or describe the columns by flags",
        )
    return _places(" ", user="1", item="2")


def _sequences(_: Path, __: Path | None) -> Options:
    """Takes a text with a user and all its items in each row, as S3Rec's data sets have."""
    return {"sequences": True, "user": "user", "item": "item"}


def _recbole(path: Path, _: Path | None) -> Options:
    """Takes the fields of an atomic file that it has; types stand behind the names."""
    names = [field.partition(":")[0] for field in _look(path, separator="tab").columns]
    events = {"separator": "\t", "items_separator": "\t", "category_separator": " ", "item_id": "item_id"}
    return events | {option: name for option, name in _RATED.items() if name in names}


def _online_retail(path: Path, items: Path | None) -> Options:
    """Takes the original table as Parquet or CSV, titles included, or events with an items file beside them."""
    columns = _look(path).columns
    if "StockCode" not in columns:
        return _RETAIL | ({"title": "title"} if items else {})
    user = "CustomerID" if "CustomerID" in columns else "Customer ID"
    invoice = {"user": user, "item": "StockCode", "time": "InvoiceDate", "time_unit": "datetime"}
    worth = {"quantity": "Quantity", "value": "UnitPrice" if "UnitPrice" in columns else "Price", "repeats": "yes"}
    return invoice | worth | {"items": str(path), "item_id": "StockCode", "title": "Description"}


def _kuairand(_: Path, items: Path | None) -> Options:
    """Rows are impressions: those that were clicked are positive."""
    events = {"user": "user_id", "item": "video_id", "time": "time_ms", "time_unit": "milliseconds"}
    watched = {"dwell": "play_time_ms", "dwell_unit": "milliseconds", "where": ("is_click = 1",)}
    tags = {"item_id": "video_id", "categories": "tag", "category_separator": ","} if items else {}
    return events | watched | tags


def _steam(_: Path, __: Path | None) -> Options:
    """Rows are purchases and, right after, the hours played of the same game: one event, with the hours."""
    columns = {"header": False, "user": "1", "item": "2", "event_type": "3", "value": "4", "separator": ","}
    return columns | {"repeats": "no", "merge": "last"}


def _anime(_: Path, items: Path | None) -> Options:
    """Takes ratings of 1 to 10, -1 where somebody watched and did not rate."""
    rated = {"user": "user_id", "item": "anime_id", "value": "rating", "missing": ("-1",), "repeats": "no"}
    described = {"item_id": "anime_id", "title": "name", "categories": "genre", "category_separator": ","}
    return rated | (described if items else {})


def _book_crossing(path: Path, items: Path | None) -> Options:
    """Takes ratings of 1 to 10, 0 where somebody read and did not rate; the files have no order.

    As published they have semicolons, latin-1 and backslashes; saved again with commas they have none of that.
    """
    events: dict[str, Any] = {"user": "User-ID", "item": "ISBN", "value": "Book-Rating", "repeats": "no"}
    events["missing"] = ("0",)
    if _look(path, encoding="latin-1", escape="\\").separator == ";":
        events |= {"encoding": "latin-1", "escape": "\\"}
    if items is None:
        return events
    events |= {"item_id": "ISBN", "title": "Book-Title"}
    if _look(items, "items-", encoding="latin-1", escape="\\").separator == ";":
        events |= {"items_encoding": "latin-1", "items_escape": "\\"}
    return events


def _retailrocket(_: Path, __: Path | None) -> Options:
    """Takes views, carts and transactions; of those in direct succession the strongest counts."""
    columns = {"user": "visitorid", "item": "itemid", "time": "timestamp", "time_unit": "milliseconds"}
    return columns | {"event_type": "event", "merge": "strongest"}


def _look(path: Path, flags: str = "", **text: str) -> _Look:
    """Reads a file's first row; ``text`` says how it is written."""
    from honeyguide.training.reading.dialect import TextFormat
    from honeyguide.training.reading.sources import Source  # loads polars

    source = Source([path], TextFormat(**text), flags=flags)  # type: ignore[arg-type]  # none of its truth values
    return _Look(tuple(source.columns), str(source.facts.get("separator", "")))


def _places(separator: str, **columns: str) -> dict[str, Any]:
    return {"separator": separator, "quote": "none", "header": False} | columns


_RATED = {"value": "rating", "time": "timestamp"}
_RETAIL = {
    "user": "user_id",
    "item": "item_id",
    "time": "ts",
    "quantity": "quantity",
    "value": "unit_price",
    "item_id": "item_id",
    "repeats": "yes",
}
PRESETS: Mapping[str, Callable[[Path, Path | None], Options]] = {
    "anime": _anime,
    "book-crossing": _book_crossing,
    "demo": _demo,
    "kuairand": _kuairand,
    "movielens": _movielens,
    "online-retail": _online_retail,
    "recbole": _recbole,
    "retailrocket": _retailrocket,
    "sequence": _sequence,
    "sequences": _sequences,
    "steam": _steam,
}
"""By name: what a preset says of an event file and an items file."""
