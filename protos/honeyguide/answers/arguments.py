"""Takes what callers give for what it plainly means, and refuses the rest by field, value and remedy.

An id is text; a whole number is its text, and so is a float without a fraction (17850.0 is 17850: a column of numbers
in which one is missing holds floats). A moment is whole milliseconds since 1970 UTC, or a datetime with a time zone.
Numbers may be those of numpy, lists any iterable but text.
"""

from __future__ import annotations

import math
import numbers
from array import array
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from honeyguide.answers.records import Event, History, ModelVersion, NewItem, UserRow

__all__ = [
    "ArgumentError",
    "Id",
    "Moment",
    "as_event",
    "as_events",
    "as_flag",
    "as_history",
    "as_id",
    "as_ids",
    "as_moment",
    "as_new_items",
    "as_percents",
    "as_real",
    "as_text",
    "as_user_row",
    "as_users",
    "as_versions",
    "as_whole",
    "optional",
    "shown",
]

R = TypeVar("R")

Id = str | int
"""What stands for an id."""
Moment = int | datetime
"""What stands for a moment."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 10**256
"""An id has at most 256 bytes."""
_EXACT = 2**53
"""From it on a float may stand for several whole numbers."""
_ZONE = "give it its time zone, such as value.replace(tzinfo=timezone.utc)"
_PARSE = "parse it first: datetime.fromisoformat('2020-01-01T00:00:00+00:00')"
_EVENT_NUMBERS = ("dwell_seconds", "clicks", "quantity", "value")
_HISTORY_NUMBERS = ("dwell_seconds", "clicks", "quantities", "values")


class ArgumentError(ValueError):
    """Argument whose value has no plain meaning."""

    def __init__(self, field: str, value: object, allowed: str, remedy: str = "") -> None:
        super().__init__(f"{field} is {shown(value)}; allowed: {allowed}")
        self.field, self.value, self.allowed, self.remedy = field, value, allowed, remedy


def shown(value: object) -> str:
    """Writes a value in at most 80 characters."""
    try:
        text = repr(value)
    except Exception:  # boundary: a caller's class, or a number of too many digits to write
        text = f"a value of {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def optional(convert: Callable[[str, Any], R], field: str, value: object) -> R | None:
    """Converts a value that may be None, which stays None."""
    return None if value is None else convert(field, value)


def as_text(field: str, value: object) -> str:
    """Takes text."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ArgumentError(field, value, "text of whole characters, without lone surrogates") from None
        return value
    raise ArgumentError(field, value, "text", _decode(value))


def as_id(field: str, value: object) -> str:
    """Takes an id: text, or a whole number, which becomes its text."""
    if isinstance(value, str):
        return as_text(field, value)
    number = as_real(value)
    if isinstance(number, int) and -_MOST <= number <= _MOST:
        return str(number)
    if isinstance(number, float) and -_EXACT < number < _EXACT and number.is_integer():
        return str(int(number))
    raise ArgumentError(field, value, "an id: text, or a whole number", _decode(value) or _missing(value))


def as_ids(field: str, values: object) -> list[str]:
    """Takes ids; text would pass as a list of its letters and is refused."""
    entries = _listed(field, values, "a list of ids")
    try:
        "".join(entries).encode()  # one look at all; most are text
    except (TypeError, UnicodeEncodeError):
        return [as_id(f"{field}[{place}]", entry) for place, entry in enumerate(entries)]
    return entries


def as_whole(field: str, value: object, bits: int = 32, allowed: str = "a whole number") -> int:
    """Takes a whole number of so many bits, its sign included; 5.0 is 5."""
    number = as_real(value)
    if isinstance(number, int) or (number is not None and number.is_integer()):
        if not -(1 << bits - 1) <= number < 1 << bits - 1:
            raise ArgumentError(field, value, f"{allowed} that {bits} bits hold")
        return int(number)
    raise ArgumentError(field, value, allowed, "convert it first: int(value)" if isinstance(value, str) else "")


def as_moment(field: str, value: object) -> int:
    """Takes a moment; returns milliseconds since 1970-01-01 UTC."""
    allowed = "whole milliseconds since 1970-01-01 UTC, or a datetime with a time zone"
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ArgumentError(field, value, allowed, _ZONE)
        since: timedelta = value - _EPOCH
        return since // timedelta(milliseconds=1)
    if isinstance(value, str | date):
        raise ArgumentError(field, value, allowed, _PARSE if isinstance(value, str) else _ZONE)
    return as_whole(field, value, 64, allowed)


def as_real(value: Any) -> int | float | None:
    """Takes a number of any kind, numpy's too, as one of Python's; None for what is none, True and False included."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return None
    number: Any = value
    try:
        return int(number) if isinstance(value, numbers.Integral) else float(number)
    except OverflowError:
        return None


def as_flag(field: str, value: object) -> bool:
    """Takes True or False, numpy's included."""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise ArgumentError(field, value, "True or False")


def as_history(field: str, history: object) -> dict[str, Any]:
    """Takes a history, or item ids alone; returns its columns by name, those that are empty left out."""
    if not isinstance(history, History):
        return {"item_ids": as_ids(field, _listed(field, history, "a History, or a list of item ids"))}
    columns: dict[str, Any] = {"item_ids": as_ids(f"{field}.item_ids", history.item_ids)}
    columns["times_ms"] = _moments(f"{field}.times_ms", history.times_ms)
    types = _listed(f"{field}.event_types", history.event_types, "a list of texts")
    columns["event_types"] = [as_text(f"{field}.event_types[{place}]", each) for place, each in enumerate(types)]
    columns |= {name: _numbers(f"{field}.{name}", getattr(history, name)) for name in _HISTORY_NUMBERS}
    return {name: column for name, column in columns.items() if len(column) or name == "item_ids"}


def as_user_row(field: str, user: object) -> tuple[str | None, dict[str, Any] | None]:
    """Takes one user of a batch; returns the id and the columns of the history, None where there is none."""
    if isinstance(user, UserRow):
        user_id = optional(as_id, f"{field}.user_id", user.user_id)
        return user_id, optional(as_history, f"{field}.history", user.history)
    try:
        return as_id(field, user), None
    except ArgumentError:
        remedy = "write UserRow(history=…) for a history"
        raise ArgumentError(field, user, "a user: an id, or a UserRow", remedy) from None


def as_users(field: str, users: object) -> list[Any]:
    """Takes the users of a batch as a list, each for `as_user_row`."""
    return _listed(field, users, "a list of users")


def as_event(field: str, event: object) -> dict[str, Any]:
    """Takes one event; returns its fields by name."""
    if not isinstance(event, Event):
        raise ArgumentError(field, event, "an Event", "make it first: Event(user_id, item_id)")
    dot = f"{field}." if field else ""
    numbers_ = {name: optional(_number, dot + name, getattr(event, name)) for name in _EVENT_NUMBERS}
    return {
        "user_id": as_id(f"{dot}user_id", event.user_id),
        "item_id": as_id(f"{dot}item_id", event.item_id),
        "event_type": as_text(f"{dot}event_type", event.event_type),
        "time_ms": as_moment(f"{dot}time_ms", event.time_ms),
        "event_id": optional(as_id, f"{dot}event_id", event.event_id),
        "request_id": as_text(f"{dot}request_id", event.request_id),
        **numbers_,
    }


def as_events(events: object) -> list[dict[str, Any]]:
    """Takes events; returns the fields of each."""
    if isinstance(events, Event):
        raise ArgumentError("events", events, "a list of Event", "put it into a list")
    given = _listed("events", events, "a list of Event")
    return [as_event(f"events[{place}]", event) for place, event in enumerate(given)]


def as_new_items(field: str, items: object) -> list[NewItem]:
    """Takes items to add; returns them with ids and categories as text, and numbers as floats."""
    if isinstance(items, NewItem):
        raise ArgumentError(field, items, "a list of NewItem", "put it into a list")
    return [
        _new_item(f"{field}[{place}]", item) for place, item in enumerate(_listed(field, items, "a list of NewItem"))
    ]


def _new_item(field: str, item: object) -> NewItem:
    if not isinstance(item, NewItem):
        raise ArgumentError(field, item, "a NewItem", "make it first: NewItem(item_id, title)")

    def column(name: str, convert: Callable[[str, Any], R]) -> dict[str, R]:
        values = getattr(item, name)
        if not isinstance(values, Mapping):
            raise ArgumentError(f"{field}.{name}", values, "values by the name of their column, such as {'price': 2.5}")
        return {
            as_text(f"{field}.{name}", key): convert(f"{field}.{name}[{key!r}]", own) for key, own in values.items()
        }

    return NewItem(
        as_id(f"{field}.item_id", item.item_id),
        as_text(f"{field}.title", item.title),
        as_ids(f"{field}.categories", item.categories),
        column("texts", as_text),
        column("numbers", _number),
        column("vectors", _numbers),
    )


def as_percents(field: str, percents: object) -> dict[str, float]:
    """Takes percent by name."""
    if not isinstance(percents, Mapping):
        raise ArgumentError(field, percents, "percent by the name of a pipeline, such as {'next': 10}")
    return {as_text(field, name): _number(f"{field}[{name!r}]", percent) for name, percent in percents.items()}


def as_versions(field: str, versions: object) -> list[ModelVersion]:
    """Takes names and versions of bundles."""
    given = _listed(field, versions, "a list of ModelVersion")
    for place, version in enumerate(given):
        if not isinstance(version, ModelVersion):
            raise ArgumentError(f"{field}[{place}]", version, "a ModelVersion", "write ModelVersion(name, version)")
    return [
        ModelVersion(as_text(f"{field}.name", each.name), as_whole(f"{field}.version", each.version)) for each in given
    ]


def _listed(field: str, values: object, allowed: str) -> list[Any]:
    if type(values) is list:  # as most are; nobody changes it
        return values
    if isinstance(values, str | bytes | bytearray | Mapping) or not isinstance(values, Iterable):
        raise ArgumentError(field, values, allowed, f"put one value into a list: [{shown(values)}]")
    try:
        each = iter(values)
    except TypeError:  # numpy's array of no dimension
        raise ArgumentError(field, values, allowed) from None
    return list(each)


def _moments(field: str, values: object) -> array[int] | list[int]:
    moments = _listed(field, values, "a list of moments")
    try:
        return array("q", moments)  # one look at all; most are whole numbers
    except (TypeError, OverflowError):
        return [as_moment(f"{field}[{place}]", moment) for place, moment in enumerate(moments)]


def _numbers(field: str, values: object) -> array[float] | list[float]:
    given = _listed(field, values, "a list of numbers")
    try:
        return array("d", given)
    except (TypeError, OverflowError):
        return [
            math.nan if number is None else _number(f"{field}[{place}]", number) for place, number in enumerate(given)
        ]


def _number(field: str, value: object) -> float:
    if (number := as_real(value)) is not None:
        return float(number)
    raise ArgumentError(field, value, "a number", "convert it first: float(value)" if isinstance(value, str) else "")


def _decode(value: object) -> str:
    return "decode it first: value.decode()" if isinstance(value, bytes | bytearray) else ""


def _missing(value: object) -> str:
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "leave out what is missing" if missing else ""
