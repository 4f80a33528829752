"""Writes answers as the bytes of their messages, put together from pieces that are the same in every answer.

Of an item only the score is new each time, and a message is a sequence of fields, so that bytes that follow one another
are one message (https://protobuf.dev/programming-guides/encoding/). The pieces are made by protobuf itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import sub
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from honeyguide.server.bundles.catalogue import ItemNames
from honeyguide.server.serving.answers import Answers
from honeyguide.server.serving.histories import UserState
from honeyguide.server.serving.queries import ItemSource
from honeyguide.v1.errors_pb2 import RowError
from honeyguide.v1.history_pb2 import ModelVersion
from honeyguide.v1.recommender_service_pb2 import (
    BecauseItem,
    Item,
    Ranked,
    RankResponse,
    RecommendResponse,
    RecommendStreamResponse,
    ResultRow,
    SimilarItemsResponse,
)

__all__ = ["AnswerWriter"]

_REQUEST_ID, _ITEMS, _ROWS = 1, 2, 4  # fields of the responses
_RANKED = 1  # field of ResultRow
_ITEM_IDS, _SCORES, _SOURCES, _TITLES, _USER_ID = 1, 2, 3, 4, 6  # fields of Ranked
_SCORE = b"\x15"  # the tag of Item.score; four bytes follow
_SCORE_BYTES = 5
_FLOAT = np.dtype("<f4")
Models = tuple[tuple[str, int], ...]


class AnswerWriter:
    """Writer of all answers of one server; it keeps the pieces of each catalogue as long as that is served."""

    def __init__(self) -> None:
        self._pieces: WeakKeyDictionary[ItemNames, _Pieces] = WeakKeyDictionary()

    def recommendations(self, answers: Answers, ks: Sequence[int], request_ids: Sequence[str]) -> list[bytes]:
        """Writes a `RecommendResponse` for each user, who asked for ``ks`` items."""
        heads = map(
            _recommend_head,
            repeat(answers.models),
            map(sub, ks, answers.lengths),
            answers.unknown or repeat(0),
            answers.reasons or repeat(()),
            answers.states or repeat(UserState.ANONYMOUS),
            answers.unknown_categories or repeat(()),
            repeat(answers.arm),
        )
        return [
            _id(request_id) + head + items
            for request_id, head, items in zip(request_ids, heads, self._items(answers), strict=True)
        ]

    def rankings(self, answers: Answers, request_ids: Sequence[str]) -> list[bytes]:
        """Writes a `RankResponse` for each user."""
        return [
            _id(request_id)
            + RankResponse(
                unknown_item_ids=_of(answers.unknown_item_ids, user, ()),
                unknown_history_items=_of(answers.unknown, user, 0),
                models=_models(answers.models),
                user_state=_of(answers.states, user, UserState.ANONYMOUS),
                arm=answers.arm,
                **_degraded(_of(answers.reasons, user, ())),
            ).SerializeToString()
            + items
            for user, (request_id, items) in enumerate(zip(request_ids, self._items(answers), strict=True))
        ]

    def neighbours(self, answers: Answers, ks: Sequence[int], request_ids: Sequence[str]) -> list[bytes]:
        """Writes a `SimilarItemsResponse` for each query."""
        (model,) = _models(answers.models)
        return [
            _id(request_id)
            + SimilarItemsResponse(
                shortfall=k - answers.lengths[place],
                model=model,
                unknown_categories=_of(answers.unknown_categories, place, ()),
            ).SerializeToString()
            + items
            for place, (k, request_id, items) in enumerate(zip(ks, request_ids, self._items(answers), strict=True))
        ]

    def rows(self, answers: Answers, k: int, user_ids: Sequence[str | None], *, with_titles: bool) -> Iterator[bytes]:
        """Writes a row of a stream for each user, as a field of `RecommendStreamResponse`."""
        pieces = self._of(answers.catalogue)
        columns = zip(user_ids, answers.lengths, answers.rows.tolist(), answers.sources.tolist(), strict=True)
        scores = np.ascontiguousarray(answers.scores, "<f4")
        for user, (user_id, length, rows, sources) in enumerate(columns):
            head = _ranked_head(
                answers.source_model,
                k - length,
                _of(answers.unknown, user, 0),
                _of(answers.reasons, user, ()),
                _of(answers.states, user, UserState.ANONYMOUS),
            )
            parts = [head, *pieces.ids(rows[:length])]
            if length:
                parts += [_field(_SCORES, scores[user, :length].tobytes()), _field(_SOURCES, bytes(sources[:length]))]
            if with_titles:
                parts += pieces.titles(rows[:length])
            if user_id is not None:
                parts.append(_field(_USER_ID, user_id.encode()))
            yield _field(_ROWS, _field(_RANKED, b"".join(parts)))

    def failed_row(self, error: RowError) -> bytes:
        """Writes a row of a stream that failed, as a field of `RecommendStreamResponse`."""
        return _field(_ROWS, ResultRow(error=error).SerializeToString())

    def batch(
        self, sequence: int, request_id: str, models: Models, rows: Sequence[bytes], categories: Sequence[str]
    ) -> bytes:
        """Writes a `RecommendStreamResponse` of rows that are written."""
        head = RecommendStreamResponse(
            sequence=sequence, request_id=request_id, models=_models(models), unknown_categories=categories
        )
        return b"".join([head.SerializeToString(), *rows])

    def _items(self, answers: Answers) -> list[bytes]:
        """Writes each user's items, as fields of any response."""
        rows, sources, scores = answers.rows, answers.sources, answers.scores  # (users, n)
        if min(answers.lengths, default=0) < rows.shape[1]:
            real = np.arange(rows.shape[1]) < np.array(answers.lengths)[:, None]
            rows, sources, scores = rows[real], sources[real], scores[real]
        parts: list[bytes] = [b""] * (2 * rows.size)
        pieces = self._of(answers.catalogue)
        parts[::2] = pieces.items(rows.ravel().tolist(), sources.ravel().tolist(), answers.source_model)
        flat = scores.astype(_FLOAT).tobytes()
        parts[1::2] = [flat[at : at + 4] for at in range(0, len(flat), 4)]
        stops = accumulate(answers.lengths)
        items = [
            b"".join(parts[2 * (stop - length) : 2 * stop]) for length, stop in zip(answers.lengths, stops, strict=True)
        ]
        for user in answers.because_items:
            items[user] = _explained(answers, user)
        return items

    def _of(self, catalogue: ItemNames) -> _Pieces:
        pieces = self._pieces.get(catalogue)
        if pieces is None:
            pieces = self._pieces[catalogue] = _Pieces(catalogue)
        return pieces


class _Pieces:
    """Pieces of one catalogue, each written when it is first asked for."""

    def __init__(self, catalogue: ItemNames) -> None:
        self._titles_of, self._ids_of = catalogue.titles, catalogue.item_ids
        self._count = len(catalogue)
        self._items: dict[tuple[int, str], list[bytes | None]] = {}
        self._ids: list[bytes | None] = [None] * self._count
        self._titles: list[bytes | None] = []

    def items(self, rows: list[int], sources: list[int], model: str) -> list[bytes]:
        """Returns items that lack only the four bytes of their score."""
        tables = {source: self._of(source, model) for source in {*sources}}
        pieces = [tables[source][row] for row, source in zip(rows, sources, strict=True)]
        if None in pieces:
            for place, (row, source) in enumerate(zip(rows, sources, strict=True)):
                if pieces[place] is None:
                    pieces[place] = tables[source][row] = self._item(row, source, model)
        return pieces  # type: ignore[return-value]  # none is left

    def ids(self, rows: list[int]) -> list[bytes]:
        """Returns the items' ids."""
        return _looked_up(self._ids, rows, lambda row: _field(_ITEM_IDS, self._id(row).encode()))

    def titles(self, rows: list[int]) -> list[bytes]:
        """Returns the items' titles."""
        self._titles = self._titles or [None] * self._count
        return _looked_up(self._titles, rows, lambda row: _field(_TITLES, self._title(row).encode()))

    def _of(self, source: int, model: str) -> list[bytes | None]:
        key = source, model
        if key not in self._items:
            self._items[key] = [None] * self._count
        return self._items[key]

    def _item(self, row: int, source: int, model: str) -> bytes:
        item = _item_message(self._id(row), source, model, self._title(row)).SerializeToString() + _SCORE
        return _tag(_ITEMS) + _varint(len(item) + _SCORE_BYTES - 1) + item

    def _id(self, row: int) -> str:
        return self._ids_of(np.array([row], np.int32))[0]

    def _title(self, row: int) -> str:
        return self._titles_of(np.array([row], np.int32))[0]


def _looked_up(pieces: list[bytes | None], rows: list[int], write: Callable[[int], bytes]) -> list[bytes]:
    found = [pieces[row] for row in rows]
    if None in found:
        for place, row in enumerate(rows):
            if found[place] is None:
                found[place] = pieces[row] = write(row)
    return found  # type: ignore[return-value]  # there is none left


def _explained(answers: Answers, user: int) -> bytes:
    answer = answers[user]
    nothing: tuple[tuple[str, str], ...] = ()
    columns = zip(
        answer.item_ids,
        answer.scores,
        answer.sources,
        answer.titles,
        answer.because_items or [nothing] * len(answer.item_ids),
        strict=True,
    )
    items = []
    for item_id, score, source, title, because in columns:
        item = _item_message(item_id, source, answer.source_model, title)
        item.score = score
        item.because_items.extend(BecauseItem(item_id=each, title=name) for each, name in because)
        items.append(item)
    return RecommendResponse(items=items).SerializeToString()


def _item_message(item_id: str, source: int, model: str, title: str) -> Item:
    return Item(
        item_id=item_id,
        source=source,  # type: ignore[arg-type]  # ItemSource holds the proto's numbers
        source_model="" if source == ItemSource.POPULAR else model,
        title=title,
    )


@lru_cache(maxsize=4096)
def _recommend_head(
    models: Models,
    shortfall: int,
    unknown: int,
    reasons: tuple[str, ...],
    state: UserState,
    categories: tuple[str, ...],
    arm: str,
) -> bytes:
    """Writes all of a `RecommendResponse` but its request's id and its items; most answers share theirs."""
    return RecommendResponse(
        shortfall=shortfall,
        unknown_history_items=unknown,
        models=_models(models),
        user_state=state,  # type: ignore[arg-type]  # UserState holds the proto's numbers
        unknown_categories=categories,
        arm=arm,
        **_degraded(reasons),
    ).SerializeToString()


@lru_cache(maxsize=4096)
def _ranked_head(model: str, shortfall: int, unknown: int, reasons: tuple[str, ...], state: UserState) -> bytes:
    """Writes what is not a column of a `Ranked`, but for the user's id."""
    return Ranked(
        source_model=model,
        user_state=state,  # type: ignore[arg-type]  # UserState holds the proto's numbers
        shortfall=shortfall,
        unknown_history_items=unknown,
        **_degraded(reasons),
    ).SerializeToString()


def _degraded(reasons: Sequence[str]) -> dict[str, Any]:
    names = [f"DEGRADED_REASON_{reason}" for reason in reasons]  # enums may be given by name
    return {"degraded": bool(reasons), "degraded_reasons": names}


def _models(models: Models) -> list[ModelVersion]:
    return [ModelVersion(name=name, version=version) for name, version in models]


def _of(column: Sequence[Any], user: int, default: Any) -> Any:
    return column[user] if column else default


def _id(request_id: str) -> bytes:
    return _field(_REQUEST_ID, request_id.encode())


def _field(number: int, payload: bytes) -> bytes:
    """Writes a field of a length and that many bytes."""
    return _start(number, len(payload)) + payload


@lru_cache(maxsize=1024)
def _start(number: int, length: int) -> bytes:
    """Writes what comes before the bytes of a field: requests' ids, heads and rows have few lengths."""
    return _tag(number) + _varint(length)


def _tag(number: int) -> bytes:
    return bytes((number << 3 | 2,))


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    digits = []
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes((*digits, number))
