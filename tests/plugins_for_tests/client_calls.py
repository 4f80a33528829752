"""An example of every call of the Python client, for tests that walk them all."""

from __future__ import annotations

import inspect
import math
from datetime import datetime
from typing import Any

from honeyguide.client import Client, Event, History, ModelVersion, NewItem, UserRow

NOW = 1_777_863_721_500
HISTORY = History(
    ["a", "b"], times_ms=[1, 2], event_types=["view", ""], dwell_seconds=[1.5, float("inf")], values=[3, 4]
)

CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("recommend", ("u",), {}),
    ("recommend", (), {"history": ["a", "b"], "k": 3, "exclude": ["x"], "allow": ["y"], "any_categories": ["tea"]}),
    (
        "recommend",
        ("u",),
        {"history": HISTORY, "pipeline": "shop", "drop_seen": False, "request_time_ms": NOW, "explain": True},
    ),
    ("rank", (["a", "b"],), {"user_id": "u", "request_time_ms": NOW}),
    ("similar_items", ("a",), {"k": 2, "exclude": ["b"]}),
    ("record", ([Event("u", "a", "view", NOW, 1.0, 2.0, 3.0, 4.0, "e1", "r"), Event("u", "b", event_id="e2")],), {}),
    ("record_event", ("u", "c"), {"event_id": "e3", "quantity": 2.0}),
    ("events", ("u",), {"page_size": 2}),
    ("users", (), {"page_size": 1}),
    ("delete_user", ("u",), {}),
    ("models", (), {}),
    ("model", ("cf", 1), {}),
    ("load_model", ("cf",), {}),
    ("unload_model", ("cf",), {}),
    ("pipelines", (), {}),
    ("set_traffic", ("shop", {"next": 10.0}), {"shadows": ["trial"]}),
    ("plugins", (), {}),
    ("upsert_items", ([NewItem("n", "New", ["odd"], {"blurb": "b"}, {"price": 2}, {"image": [1, 0]})],), {}),
    ("delete_items", (["n", 5],), {}),
    ("added_items", (), {}),
    (
        "recommend_stream",
        ([["u", UserRow(history=["a"])], ["bad", UserRow("v", HISTORY)]],),
        {"k": 2, "request_time_ms": NOW},
    ),
]


def methods(client: type) -> set[str]:
    return {name for name, value in vars(client).items() if callable(value) and not name.startswith("_")} - {"close"}


WRONG: dict[str, list[Any]] = {
    "user_id": [b"u", 1.5, math.nan, True, ["u"], "\ud800", object()],
    "history": ["abc", 5, [None], [b"a"], History("abc"), History(["a"], times_ms=["2020-01-01"]), {"a": 1}],
    "item_ids": ["abc", 5, None, [None], [1.5]],
    "item_id": [None, b"a", 1.5, ["a"]],
    "items": [
        None,
        "n",
        NewItem("n"),
        ["n"],
        [NewItem(None)],
        [NewItem("n", categories="c")],
        [NewItem("n", texts=[])],
    ],
    "k": ["5", 5.5, None, math.nan, True, 10**10],
    "pipeline": [None, 5, b"shop"],
    "drop_seen": [1, "no"],
    "exclude": ["abc", 5, None, [None]],
    "allow": ["abc", 5, None],
    "any_categories": ["abc", 5, None],
    "ignore_category_case": [1, None, "yes"],
    "request_time_ms": ["2020-01-01", datetime(2020, 1, 1), 1.5, None, 2**63],
    "explain": [1, None],
    "titles": ["yes", None],
    "required_models": ["cf", ["cf"], [ModelVersion(5, 1)], [ModelVersion("cf", "1")], 5],
    "window": [0, -1, "4", 1.5, None],
    "batches": ["abc", 5, ["abc"], [5], [[None]], [[["a"]]], [[UserRow(b"u")]], [[UserRow("u", "abc")]], None],
    "events": ["abc", 5, Event("u", "a"), [("u", "a")], [Event("u", None)], [Event("u", "a", time_ms="now")]],
    "event_type": [None, 5],
    "time_ms": ["now", datetime(2020, 1, 1), None],
    "dwell_seconds": ["1", [1]],
    "clicks": ["1"],
    "quantity": ["1", True],
    "value": ["1"],
    "event_id": [b"e", 1.5],
    "request_id": [None, 5],
    "page_size": ["10", None, 1.5],
    "name": [None, 5, b"cf"],
    "version": ["1", None, 1.5],
    "digest": [5, None, b"ab"],
    "arms": ["next", 5, {"next": "10"}, {5: 10}, {"next": None}],
    "shadows": ["abc", 5, None, [None]],
    "previous": [1, None, "yes"],
    "timeout": [0, -1, math.nan, "5", True, [5], 1j],
}
EXAMPLES = {name: (args, kwargs) for name, args, kwargs in reversed(CALLS)}


def wrong_calls(kind: type) -> list[tuple[str, str, Any]]:
    """Every method of the class that has an example here, with every wrong value of each of its parameters."""
    return [
        (name, parameter, value)
        for name in sorted(set(vars(kind)) & set(EXAMPLES))
        for parameter in list(inspect.signature(getattr(kind, name)).parameters)[1:]
        for value in WRONG[parameter]
    ]


def arguments(name: str, parameter: str, value: Any) -> dict[str, Any]:
    """The example's arguments by name, but for one."""
    args, kwargs = EXAMPLES[name]
    bound = inspect.signature(getattr(Client, name)).bind(None, *args, **kwargs)
    given = {key: each for key, each in bound.arguments.items() if key != "self"}
    return given | {parameter: value}


def at(field: str) -> str:
    """The parameter at fault: entries and parts are named by place, such as batches[0][1].user_id."""
    return field.partition("[")[0].partition(".")[0]
