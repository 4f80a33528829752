"""Reads and writes the messages of added items; every field that is out of its range is named."""

from __future__ import annotations

import math
from collections.abc import Sequence

from honeyguide.sdk.errors import InvalidArgument
from honeyguide.sdk.event import MAX_ID_BYTES
from honeyguide.sdk.items import MAX_VECTOR
from honeyguide.server.api.validation import check_text
from honeyguide.server.api.violations import Violations
from honeyguide.server.bundles.catalogue import MAX_TITLE_BYTES
from honeyguide.server.cold_items.item import ColdItem
from honeyguide.v1 import model_service_pb2 as pb

__all__ = ["item_ids_of", "items_of", "new_item"]

_MOST_ITEMS = 1000
_MOST_ENTRIES = 100
_MOST_TEXT_BYTES = 10_000


def items_of(request: pb.UpsertItemsRequest) -> list[ColdItem]:
    """Checks the items of a request; raises `InvalidArgument`."""
    _check_ids("items", [item.item_id for item in request.items], ".item_id")
    violations = Violations()
    for place, item in enumerate(request.items):
        violations.check(_check_item, f"items[{place}]", item)
    violations.refuse()
    return [
        ColdItem(
            item.item_id,
            item.title,
            tuple(dict.fromkeys(item.categories)),
            dict(item.texts),
            dict(item.numbers),
            {name: tuple(vector.values) for name, vector in item.vectors.items()},
        )
        for item in request.items
    ]


def item_ids_of(request: pb.DeleteItemsRequest) -> list[str]:
    """Checks the ids of a request; raises `InvalidArgument`."""
    _check_ids("item_ids", request.item_ids)
    return list(request.item_ids)


def new_item(item: ColdItem) -> pb.NewItem:
    """Returns an item's message."""
    return pb.NewItem(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        texts=item.texts,
        numbers=item.numbers,
        vectors={name: pb.ItemVector(values=vector) for name, vector in item.vectors.items()},
    )


def _check_ids(field: str, ids: Sequence[str], part: str = "") -> None:
    """Checks ids that are a field's entries, or a ``part`` of these."""
    if not 1 <= len(ids) <= _MOST_ITEMS:
        raise InvalidArgument(field, f"{len(ids)} items", f"1 to {_MOST_ITEMS:,} items")
    before: set[str] = set()
    for place, item_id in enumerate(ids):
        check_text(f"{field}[{place}]{part}", item_id, 1, MAX_ID_BYTES)
        if item_id in before:
            raise InvalidArgument(f"{field}[{place}]{part}", item_id, "each item once")
        before.add(item_id)


def _check_item(field: str, item: pb.NewItem) -> None:
    said = item.title.strip() or item.categories or item.numbers or item.vectors
    if not said and not any(text.strip() for text in item.texts.values()):
        raise InvalidArgument(field, item.item_id, "an item of which something is said that could place it")
    check_text(f"{field}.title", item.title, 0, MAX_TITLE_BYTES)
    for name in ("categories", "texts", "numbers", "vectors"):
        if (count := len(getattr(item, name))) > _MOST_ENTRIES:
            raise InvalidArgument(f"{field}.{name}", f"{count} entries", f"at most {_MOST_ENTRIES}")
    for category in item.categories:
        check_text(f"{field}.categories", category, 1, MAX_ID_BYTES)
    for name in (*item.texts, *item.numbers, *item.vectors):
        check_text(f"{field}: a column", name, 1, MAX_ID_BYTES)
    for name, text in item.texts.items():
        check_text(f"{field}.texts[{name}]", text, 0, _MOST_TEXT_BYTES)
    for name, number in item.numbers.items():
        if not math.isfinite(number):
            raise InvalidArgument(f"{field}.numbers[{name}]", number, "a finite number")
    for name, vector in item.vectors.items():
        if not 1 <= len(vector.values) <= MAX_VECTOR:
            raise InvalidArgument(
                f"{field}.vectors[{name}]", f"{len(vector.values)} numbers", f"1 to {MAX_VECTOR:,} numbers"
            )
        if not all(map(math.isfinite, vector.values)):
            raise InvalidArgument(f"{field}.vectors[{name}]", "a number that is not finite", "finite numbers")
