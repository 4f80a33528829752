"""Describes the calls that add items which no model met in training, list them, and take them out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from honeyguide import answers
from honeyguide.answers.arguments import Id, as_ids, as_new_items
from honeyguide.client import messages
from honeyguide.client.calls import Call, Pages
from honeyguide.v1 import model_service_pb2

__all__ = ["added_items", "delete_items", "upsert_items"]


def upsert_items(items: Iterable[answers.NewItem], *, timeout: float | None = None) -> Call[answers.UpsertedItems]:
    """Adds items, or replaces what was said of them, all or none; they may be recommended from the answer on."""
    request = model_service_pb2.UpsertItemsRequest(items=map(_message, as_new_items("items", items)))
    return Call("UpsertItems", request, _upserted, timeout)


def delete_items(item_ids: Iterable[Id], *, timeout: float | None = None) -> Call[answers.DeletedItems]:
    """Takes out items that were added; those of a model's catalogue stay."""
    request = model_service_pb2.DeleteItemsRequest(item_ids=as_ids("item_ids", item_ids))
    return Call("DeleteItems", request, _deleted, timeout)


def added_items(*, timeout: float | None = None) -> Pages[answers.NewItem]:
    """Lists the items that were added, the newest first."""

    def page(token: str) -> Call[tuple[Iterable[answers.NewItem], str]]:
        return Call("ListItems", model_service_pb2.ListItemsRequest(page_token=token), _page, timeout)

    return Pages(page, answers.NewItem)


def _page(response: model_service_pb2.ListItemsResponse) -> tuple[Iterable[answers.NewItem], str]:
    return [_new_item(item) for item in response.items], response.next_page_token


def _message(item: answers.NewItem) -> model_service_pb2.NewItem:
    return model_service_pb2.NewItem(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        texts=item.texts,
        numbers=item.numbers,
        vectors={name: model_service_pb2.ItemVector(values=vector) for name, vector in item.vectors.items()},
    )


def _new_item(message: model_service_pb2.NewItem) -> answers.NewItem:
    return answers.NewItem(
        message.item_id,
        message.title,
        tuple(message.categories),
        dict(message.texts),
        dict(message.numbers),
        {name: tuple(vector.values) for name, vector in message.vectors.items()},
    )


def _upserted(response: Any) -> answers.UpsertedItems:
    return answers.UpsertedItems(
        response.added_count,
        response.replaced_count,
        tuple(map(messages.model_version, response.models)),
        tuple(response.known_item_ids),
        tuple(response.unknown_columns),
        tuple(
            answers.PlacingFailure(messages.model_version(failure.model), failure.problem)
            for failure in response.failures
        ),
    )


def _deleted(response: Any) -> answers.DeletedItems:
    return answers.DeletedItems(response.deleted_count, tuple(response.missing_item_ids))
