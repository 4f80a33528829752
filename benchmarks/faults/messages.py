"""Draws messages for every rpc from the descriptors: valid ones, ones of any fields, and bytes that may be no message.

What is valid is said here by fields' names, from the comments in the protos; `oracle.py` says what must come of each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from faults.material import CATEGORIES, ITEM_IDS, MODELS

__all__ = ["anything", "crossed", "draw", "mutated", "valid"]

Strategy = st.SearchStrategy[Any]
LATELY = 1_700_000_000_000
"""A moment of the past, in milliseconds."""

_STRINGS = st.one_of(
    st.sampled_from(["", "near", "both", "recent", "no such", ITEM_IDS[0], ITEM_IDS[7], "user-1", "even", "é" * 200]),
    st.text(max_size=12),
    st.integers(250, 300).map(lambda size: "x" * size),
    st.integers(60, 140).map(lambda size: "y" * size),
)
_EDGES = (0, 1, 2, -1, 10, 256, 999, 1000, 1001, 20_001, 2**31 - 1, -(2**31))
_WIDE = (*_EDGES, LATELY, LATELY + 1, 2**53, 2**63 - 1, -(2**63))
_FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.5, -1.0, float("nan"), float("inf"), float("-inf"), 3.4e38]), st.floats(width=32)
)
_SCALARS: dict[int, Strategy] = {
    FieldDescriptor.CPPTYPE_STRING: _STRINGS,
    FieldDescriptor.CPPTYPE_INT32: st.one_of(st.sampled_from(_EDGES), st.integers(-(2**31), 2**31 - 1)),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.one_of(st.sampled_from(_WIDE), st.integers(-(2**63), 2**63 - 1)),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_FLOAT: _FLOATS,
    FieldDescriptor.CPPTYPE_DOUBLE: _FLOATS,
}


def anything(kind: Descriptor) -> Strategy:
    """Returns a strategy of messages with any of the fields, each of any value that its type allows."""
    fields = {field.name: _anything_in(field) for field in kind.fields}
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: _message(kind, values))


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def _anything_in(field: FieldDescriptor) -> Strategy:
    if _is_map(field):
        key, value = (_anything_in(field.message_type.fields_by_name[name]) for name in ("key", "value"))
        return st.dictionaries(key, value, max_size=3)
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        one: Strategy = anything(field.message_type)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_BYTES:
        one = st.binary(max_size=20)
    else:
        one = _SCALARS[field.cpp_type]
    return st.lists(one, max_size=3) if field.is_repeated else one


_IDS = st.text(min_size=1, max_size=60)
_USERS = st.one_of(st.integers(0, 400).map("user-{}".format), _IDS)
_ITEMS = st.one_of(st.sampled_from(ITEM_IDS), _IDS)
_KNOWN = st.sampled_from(ITEM_IDS)
_KNOWN_BYTES = st.sampled_from([item.encode() for item in ITEM_IDS])
_TIMES = st.integers(0, LATELY)
_AMOUNTS = st.one_of(st.none(), st.floats(0, 2.0**100, width=32))
_WORTH = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32))
_TYPES = st.one_of(st.just(""), st.sampled_from(["view", "buy"]), st.text(max_size=16))
_K = st.one_of(st.none(), st.integers(1, 1000))
_PIPELINES = st.sampled_from(["", "near", "both"])
_PAGES = st.one_of(st.just(0), st.integers(0, 2**31 - 1))


@st.composite
def _history(pick: Callable[[Strategy], Any]) -> dict[str, Any]:
    """Draws columns of equal length."""
    items = pick(st.lists(_ITEMS, max_size=12))
    count = len(items)
    columns: dict[str, Any] = {"item_ids": items}
    amounts = st.one_of(st.just(float("nan")), st.floats(0, 2.0**100, width=32))
    for name, one in (
        ("event_types", _TYPES),
        ("dwell_seconds", amounts),
        ("clicks", amounts),
        ("quantities", amounts),
    ):
        if pick(st.booleans()):
            columns[name] = pick(st.lists(one, min_size=count, max_size=count))
    if pick(st.booleans()):
        columns["times_ms"] = sorted(pick(st.lists(_TIMES, min_size=count, max_size=count)))
    return columns


_FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "exclude_item_ids": st.lists(_ITEMS, max_size=8),
        "allow_item_ids": st.lists(_ITEMS, max_size=8),
        "any_categories": st.lists(st.one_of(st.sampled_from(CATEGORIES), _IDS), max_size=3),
        "ignore_category_case": st.booleans(),
    },
)
_WHO: dict[str, Strategy] = {"user_id": st.one_of(st.none(), _USERS), "history": st.one_of(st.none(), _history())}
_HOW: dict[str, Strategy] = {"k": _K, "pipeline": _PIPELINES, "filter": st.one_of(st.none(), _FILTERS)}
_SMALL_K = st.one_of(st.none(), st.integers(1, 100))
_OPTIONS: dict[str, Strategy] = {
    **_HOW,
    "k": _SMALL_K,
    "drop_seen": st.one_of(st.none(), st.booleans()),
    "request_time_ms": _TIMES,
    "include_titles": st.booleans(),
}
_LIST = {"page_size": _PAGES}
_EVENT: dict[str, Strategy] = {
    "event_id": st.one_of(st.just(""), st.text(max_size=30)),
    "user_id": _USERS,
    "item_id": _ITEMS,
    "time_ms": _TIMES,
    "event_type": _TYPES,
    **dict.fromkeys(("dwell_seconds", "clicks", "quantity"), _AMOUNTS),
    "value": _WORTH,
    "request_id": st.text(max_size=30),
}
_NEW_ITEM: dict[str, Strategy] = {
    "item_id": _IDS,
    "title": st.text(max_size=100),
    "categories": st.lists(_IDS, max_size=3),
    "texts": st.dictionaries(_IDS, st.text(max_size=60), max_size=2),
    "numbers": st.dictionaries(_IDS, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
}
_TENSOR: dict[str, Strategy] = {
    "name": st.just("history"),
    "datatype": st.just("BYTES"),
    "shape": st.just([1, 1]),
    "contents": st.lists(_KNOWN_BYTES, min_size=1, max_size=1).map(lambda item: {"bytes_contents": item}),
}
_OF_PIPELINES = st.sampled_from(["near", "both"])
_INFERENCE: dict[str, dict[str, Strategy]] = {
    "ModelInferRequest": {
        "model_name": _OF_PIPELINES,
        "inputs": st.lists(st.fixed_dictionaries(_TENSOR), min_size=1, max_size=1),
    },
    **{f"{rpc}Request": {} for rpc in ("ServerLive", "ServerReady", "ServerMetadata", "RepositoryIndex")},
    **{f"Model{what}Request": {"name": _OF_PIPELINES} for what in ("Ready", "Metadata", "Config", "Statistics")},
    **{f"RepositoryModel{what}Request": {"model_name": _OF_PIPELINES} for what in ("Load", "Unload")},
}
_VALID: dict[str, dict[str, Strategy]] = {
    "RecommendRequest": {
        **_WHO,
        **_HOW,
        "drop_seen": st.one_of(st.none(), st.booleans()),
        "request_time_ms": _TIMES,
        "explain": st.booleans(),
    },
    "RankRequest": {
        **_WHO,
        "item_ids": st.lists(_ITEMS, min_size=1, max_size=20, unique=True),
        "pipeline": _PIPELINES,
        "request_time_ms": _TIMES,
    },
    "SimilarItemsRequest": {**_HOW, "item_id": _KNOWN},
    "StreamOptions": _OPTIONS,
    "UserBatch": {
        "sequence": st.integers(-(2**63), 2**63 - 1),
        "rows": st.lists(st.fixed_dictionaries(_WHO), min_size=1, max_size=5),
    },
    "RecordEventsRequest": {"events": st.lists(st.fixed_dictionaries(_EVENT), min_size=1, max_size=5)},
    "ListEventsRequest": {**_LIST, "user_id": _USERS},
    "ListUsersRequest": _LIST,
    "DeleteUserRequest": {"user_id": _USERS},
    "ListModelsRequest": _LIST,
    "GetModelRequest": {"name": st.sampled_from(MODELS), "version": st.integers(0, 2)},
    "LoadModelRequest": {"name": st.sampled_from(MODELS), "version": st.integers(0, 2)},
    "UnloadModelRequest": {"name": st.just("recent")},
    "SetTrafficRequest": {
        "pipeline": st.sampled_from(["", "near"]),
        "traffic": st.fixed_dictionaries(
            {},
            optional={
                "arms": st.lists(
                    st.fixed_dictionaries({"pipeline": st.just("both"), "percent": st.floats(1, 100)}), max_size=1
                ),
                "shadows": st.lists(st.just("both"), max_size=1),
            },
        ),
    },
    "UpsertItemsRequest": {"items": st.lists(st.fixed_dictionaries(_NEW_ITEM), min_size=1, max_size=3)},
    "DeleteItemsRequest": {"item_ids": st.lists(_IDS, min_size=1, max_size=3, unique=True)},
    "ListItemsRequest": _LIST,
    **_INFERENCE,
    "ListPipelinesRequest": _LIST,
    "ListPluginsRequest": _LIST,
    "HealthCheckRequest": {
        "service": st.sampled_from(
            ["", *(f"honeyguide.v1.{name}Service" for name in ("Recommender", "Event", "Model"))]
        )
    },
    "HealthListRequest": {},
    "ServerReflectionRequest": {
        "host": st.text(max_size=5),
        "list_services": st.just("*"),
    },
}
"""Valid values of each field by message; a message that is not here has no required field, and is drawn as anything."""


def valid(kind: Descriptor) -> Strategy | None:
    """Returns a strategy of valid messages; None where nobody said what is valid."""
    fields = _VALID.get(kind.name)
    return None if fields is None else st.fixed_dictionaries(fields).map(lambda values: _message(kind, values))


def _message(kind: Descriptor, values: dict[str, Any]) -> Message:
    """Makes a message; fields that are None stay unset."""
    message = GetMessageClass(kind)()
    for name, value in values.items():
        field = kind.fields_by_name[name]
        if value is None:
            continue
        if _is_map(field):
            of_value = field.message_type.fields_by_name["value"]
            for key, one in value.items():
                if of_value.message_type is None:
                    getattr(message, name)[key] = one
                else:
                    getattr(message, name)[key].CopyFrom(_part(of_value, one))
        elif field.message_type is None:
            getattr(message, name).extend(value) if field.is_repeated else setattr(message, name, value)
        elif field.is_repeated:
            getattr(message, name).extend(_part(field, one) for one in value)
        else:
            getattr(message, name).CopyFrom(_part(field, value))
    return message


def _part(field: FieldDescriptor, value: Any) -> Message:
    return value if isinstance(value, Message) else _message(field.message_type, value)


def draw(strategy: Strategy, count: int) -> list[Any]:
    """Draws up to so many values, the same in every run; fewer where hypothesis has seen all there are."""
    drawn: list[Any] = []

    @seed(20261128)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(value: Any) -> None:
        drawn.append(value)

    collect()
    return drawn


def crossed(pool: Sequence[Message], count: int, chance: random.Random) -> Iterator[Message]:
    """Yields messages that take each field from any one of a pool: of valid ones, these are valid.

    No field's range depends on another's; what must fit together, such as a history's columns, is one field.
    Hypothesis draws tens of milliseconds a message, this in microseconds.
    """
    kind = pool[0].DESCRIPTOR
    fields = [(field.name, field) for field in kind.fields]
    for _ in range(count):
        message = GetMessageClass(kind)()
        for name, field in fields:
            if field.containing_oneof is not None and message.WhichOneof(field.containing_oneof.name):
                continue
            other = chance.choice(pool)
            if _is_map(field):
                getattr(message, name).MergeFrom(getattr(other, name))
            elif field.is_repeated and field.message_type is not None:
                getattr(message, name).extend(_entry(pool, name, entry, chance) for entry in getattr(other, name))
            elif field.is_repeated:
                getattr(message, name).extend(getattr(other, name))
            elif not field.has_presence:
                setattr(message, name, getattr(other, name))
            elif other.HasField(name):
                if field.message_type is None:
                    setattr(message, name, getattr(other, name))
                else:
                    getattr(message, name).CopyFrom(getattr(other, name))
        yield message


def _entry(pool: Sequence[Message], name: str, entry: Message, chance: random.Random) -> Message:
    """Returns an entry of any message's list in place of this one, where that has one."""
    entries = getattr(chance.choice(pool), name)
    return chance.choice(entries) if entries else entry


def mutated(messages: Sequence[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """Yields bytes: nothing but noise, or a message of which bytes were changed, left out, doubled or added."""
    for _ in range(count):
        content = bytearray(chance.choice(messages))
        match chance.randrange(6 if content else 1):
            case 0:
                content = bytearray(chance.randbytes(chance.randrange(1, 80)))
            case 1:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
            case 2:
                del content[chance.randrange(len(content)) :]
            case 3:
                content += chance.randbytes(chance.randrange(1, 9))
            case 4:
                content += bytes(content)
            case 5:
                for _ in range(3):
                    content[chance.randrange(len(content))] = chance.randrange(256)
        yield bytes(content)
