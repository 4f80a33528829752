"""Holds what callers give and get, over the wire or in process: frozen dataclasses, so that no message leaks out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honeyguide.answers.tables import Tabular

__all__ = [
    "BatchAnswer",
    "BecauseItem",
    "ChangedTraffic",
    "DeletedItems",
    "Event",
    "History",
    "Item",
    "LoadedModel",
    "Model",
    "ModelVersion",
    "NewItem",
    "Pipeline",
    "PlacingFailure",
    "Plugin",
    "Ranked",
    "Ranking",
    "Recommendations",
    "Recorded",
    "RejectedEvent",
    "RowFailure",
    "SimilarItems",
    "Traffic",
    "UpsertedItems",
    "UserRow",
]


@dataclass(frozen=True)
class History:
    """One user's events, oldest first, as columns; each but `item_ids` is empty or exactly as long."""

    item_ids: Sequence[str]
    """Item of each event; at most 4,096 events."""
    times_ms: Sequence[int] = ()
    """Milliseconds since 1970-01-01 UTC, non-decreasing."""
    event_types: Sequence[str] = ()
    """What each event was; "": no type."""
    dwell_seconds: Sequence[float] = ()
    """Seconds with the item; NaN: not known."""
    clicks: Sequence[float] = ()
    """Number of clicks; NaN: not known."""
    quantities: Sequence[float] = ()
    """Number of pieces; NaN: not known."""
    values: Sequence[float] = ()
    """What the event was worth (price, rating); NaN: not known."""


@dataclass(frozen=True)
class Event:
    """One thing one user did with one item."""

    user_id: str
    item_id: str
    event_type: str = ""
    """What it was ("view", "purchase", …)."""
    time_ms: int = 0
    """When it happened: milliseconds since 1970-01-01 UTC. 0: the server's clock."""
    dwell_seconds: float | None = None
    clicks: float | None = None
    quantity: float | None = None
    value: float | None = None
    event_id: str | None = None
    """Makes recording idempotent. None: the client makes one. "": none, and a failed call is not tried again."""
    request_id: str = ""
    """The answer this event follows from (`Recommendations.request_id`)."""


@dataclass(frozen=True)
class UserRow:
    """One user of a batch: a user id, a history, or both."""

    user_id: str | None = None
    history: History | Sequence[str] | None = None


@dataclass(frozen=True)
class ModelVersion:
    """One bundle that took part in an answer."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class BecauseItem:
    """One item of the history that carried a recommended one."""

    item_id: str
    title: str
    """"" when the catalogue has none."""


@dataclass(frozen=True)
class Item:
    """One recommended item."""

    item_id: str
    score: float
    """Higher is better; comparable within one answer only."""
    source: str
    """RETRIEVED, POPULAR, CANDIDATE or NEW."""
    source_model: str
    title: str
    because_items: tuple[BecauseItem, ...] = ()
    """Items of the history that carried this one; filled on `explain=True` by models that can."""


class _Items(Tabular):
    """Items of an answer, best first: iterating gives them."""

    items: tuple[Item, ...]

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The items' ids, best first."""
        return tuple(item.item_id for item in self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_columns(self) -> dict[str, list[Any]]:
        """Gives rank (from 1), item_id, title, score, source, source_model; where items are explained, what carried."""
        names = ("item_id", "title", "score", "source", "source_model")
        columns: dict[str, list[Any]] = {"rank": list(range(1, len(self) + 1))}
        columns |= {name: [getattr(item, name) for item in self.items] for name in names}
        if any(item.because_items for item in self.items):
            columns["because_item_ids"] = [[because.item_id for because in item.because_items] for item in self.items]
        return columns

    def _caption(self) -> str:
        models = getattr(self, "models", None) or (getattr(self, "model", None),)
        said = [f"{len(self)} items", ", ".join(map(str, filter(None, models))), getattr(self, "user_state", "")]
        return " · ".join(filter(None, said))


@dataclass(frozen=True)
class Recommendations(_Items):
    """One user's recommendations, best first; iterating gives the items."""

    items: tuple[Item, ...]
    request_id: str
    """Names this answer; events recorded later may carry it."""
    shortfall: int
    """k less the number of items: above 0 when catalogue and filter hold no more."""
    unknown_history_items: int
    """Events of the history whose items the model does not know."""
    models: tuple[ModelVersion, ...]
    user_state: str
    """What is known of the user: STORED (stored events), INLINE (the request's events alone) or ANONYMOUS (nothing)."""
    degraded: bool = False
    """Whether a part of the pipeline could not run; `degraded_reasons` says why."""
    degraded_reasons: tuple[str, ...] = ()
    unknown_categories: tuple[str, ...] = ()
    """Of `any_categories`, those that no item of the catalogue has."""
    arm: str = ""
    """The pipeline that was drawn to answer this user; "": the pipeline has no arms."""


@dataclass(frozen=True)
class Ranking(_Items):
    """The caller's candidates, scored, best first."""

    items: tuple[Item, ...]
    request_id: str
    unknown_item_ids: tuple[str, ...]
    """Candidates the model does not know, in the order given."""
    unknown_history_items: int
    models: tuple[ModelVersion, ...]
    user_state: str
    """As in `Recommendations`."""
    degraded: bool = False
    """Whether a part of the pipeline could not run; `degraded_reasons` says why."""
    degraded_reasons: tuple[str, ...] = ()
    arm: str = ""
    """As in `Recommendations`."""


@dataclass(frozen=True)
class SimilarItems(_Items):
    """The neighbours of one item, best first; a score is a cosine, -1 to 1."""

    items: tuple[Item, ...]
    request_id: str
    shortfall: int
    model: ModelVersion
    unknown_categories: tuple[str, ...] = ()
    """As in `Recommendations`."""


@dataclass(frozen=True)
class RowFailure:
    """Why one row of a batch failed, while its mates succeeded."""

    code: int
    """The gRPC status code, such as 3 for INVALID_ARGUMENT."""
    reason: str
    field: str
    message: str


@dataclass(frozen=True)
class Ranked:
    """One user's recommendations in a batch, as columns of equal length, best first."""

    item_ids: tuple[str, ...]
    scores: tuple[float, ...]
    sources: tuple[str, ...]
    """RETRIEVED or POPULAR for each item."""
    source_model: str
    """The model whose scores the retrieved items carry."""
    user_state: str
    """As in `Recommendations`."""
    user_id: str | None = None
    """As given; None: none was."""
    titles: tuple[str, ...] = ()
    """Empty unless `titles=True`."""
    shortfall: int = 0
    """As in `Recommendations`."""
    unknown_history_items: int = 0
    degraded: bool = False
    """Whether a part of the pipeline could not run; `degraded_reasons` says why."""
    degraded_reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchAnswer(Tabular):
    """The answer to one batch of a stream; row i answers user i."""

    sequence: int
    """The batch's number within the stream, from 0."""
    models: tuple[ModelVersion, ...]
    rows: tuple[Ranked | RowFailure, ...]
    request_id: str = ""
    """Names this answer; events recorded later may carry it."""
    error: RowFailure | None = None
    """Why the whole batch failed, while the others of the stream succeeded; then there are no rows."""
    unknown_categories: tuple[str, ...] = ()
    """As in `Recommendations`."""

    def to_columns(self) -> dict[str, list[Any]]:
        """Gives a row for each item: row (of the batch, from 0), user_id, rank, item_id, title, score, source, error.

        A user without items has one row of nothing but row, user_id and, where that failed, the error's message.
        """
        names = ("row", "user_id", "rank", "item_id", "title", "score", "source", "error")
        lines: list[tuple[Any, ...]] = []
        for place, row in enumerate(self.rows):
            if isinstance(row, RowFailure):
                lines.append((place, None, None, None, None, None, None, row.message))
                continue
            items = zip(row.item_ids, row.titles or (None,) * len(row.item_ids), row.scores, row.sources, strict=True)
            ranked = [(place, row.user_id, rank, *item, None) for rank, item in enumerate(items, 1)]
            lines += ranked or [(place, row.user_id, None, None, None, None, None, None)]
        return {name: [line[column] for line in lines] for column, name in enumerate(names)}

    def _caption(self) -> str:
        problem = f"failed: {self.error.message}" if self.error else ""
        said = [f"{len(self.rows)} users", ", ".join(map(str, self.models)), problem]
        return " · ".join(filter(None, said))


@dataclass(frozen=True)
class RejectedEvent:
    """One event that was not recorded."""

    index: int
    """Its place among the events given, from 0."""
    error: RowFailure


@dataclass(frozen=True)
class Recorded(Tabular):
    """What became of recorded events."""

    accepted: int
    """How many are on disk by this call."""
    duplicates: int
    """How many were stored before, such as by a try whose answer was lost."""
    rejected: tuple[RejectedEvent, ...]

    def to_columns(self) -> dict[str, list[Any]]:
        """Gives a row for each event that was rejected: index, field, reason, message."""
        columns: dict[str, list[Any]] = {"index": [one.index for one in self.rejected]}
        return columns | {
            name: [getattr(one.error, name) for one in self.rejected] for name in ("field", "reason", "message")
        }

    def _caption(self) -> str:
        return f"{self.accepted} accepted, {self.duplicates} duplicates, {len(self.rejected)} rejected"


@dataclass(frozen=True)
class Model:
    """One bundle of the server's repository."""

    name: str
    version: int
    state: str
    """AVAILABLE, SERVING or FAILED."""
    problem: str
    """Why it failed; "" otherwise."""
    model_class: str
    plugin: str
    dimension: int
    item_count: int
    has_ranker: bool
    max_length: int
    provider: str
    index_kind: str
    index_recall: float
    metrics: Mapping[str, float]
    create_time_ms: int
    """When it was exported: milliseconds since 1970-01-01 UTC."""
    data_fingerprint: str
    retrievers: tuple[ModelVersion, ...]
    """What retrieves for a joint bundle; empty: it retrieves itself."""
    precision: str
    """What its graphs compute with: float32, float16 or int8."""
    digest: str
    """Of its manifest, and so of every byte of it; "": it has none."""
    signer: str
    """The trusted key that signed it; "": none."""
    memory_bytes: int
    """What the server holds for it, about; 0: it is not in memory."""
    load_time_ms: int
    """When it was loaded: milliseconds since 1970-01-01 UTC; 0: it is not in memory."""
    last_error: str
    """Why it last failed to load, also where an earlier load serves on; "": it did not."""


@dataclass(frozen=True)
class LoadedModel:
    """The bundle that now serves."""

    model: Model
    previous_version: int
    """The version that served before; 0: none."""


@dataclass(frozen=True)
class Traffic:
    """Who answers for a pipeline, and who is asked besides."""

    arms: Mapping[str, float] = field(default_factory=dict)
    """Percent of the users, above 0, by the pipeline that answers them; the pipeline itself answers the rest."""
    shadows: tuple[str, ...] = ()
    """Pipelines that are asked the same; their answers are counted, and given to nobody."""


@dataclass(frozen=True)
class ChangedTraffic:
    """What holds now, and what held until now."""

    traffic: Traffic
    previous: Traffic


@dataclass(frozen=True)
class NewItem:
    """An item that models did not meet in training, and what is known of it."""

    item_id: str
    title: str = ""
    categories: Sequence[str] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    """By the name of the column, such as "description"."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """By the name of the column, such as "price"."""
    vectors: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By the name of the column, such as "image"; "text_vector" stands for what the text encoder
    would make of the texts, 512 numbers."""


@dataclass(frozen=True)
class UpsertedItems:
    """Items that may be recommended now."""

    added_count: int
    replaced_count: int
    models: tuple[ModelVersion, ...]
    """The models that place them."""
    known_item_ids: tuple[str, ...]
    """Those of them that the catalogue of one of these models has."""
    unknown_columns: tuple[str, ...]
    """Columns of theirs that none of these models was trained with, as what they are here: nothing reads them."""
    failures: tuple[PlacingFailure, ...]
    """The models that place items, and could not place these."""


@dataclass(frozen=True)
class PlacingFailure:
    """Model that could not place the items of a call."""

    model: ModelVersion
    problem: str


@dataclass(frozen=True)
class DeletedItems:
    """Items that were taken out."""

    deleted_count: int
    missing_item_ids: tuple[str, ...]
    """The ids of which nothing was added."""


@dataclass(frozen=True)
class Pipeline:
    """One pipeline: which bundles retrieve, which one ranks, which rules run after."""

    name: str
    is_default: bool
    retrievers: tuple[ModelVersion, ...]
    ranker: ModelVersion | None
    rules: tuple[str, ...]
    drop_seen: bool
    problem: str
    """Why it cannot answer now; "" when it can."""
    traffic: Traffic = Traffic()
    """Who answers for it."""


@dataclass(frozen=True)
class Plugin:
    """One plugin of the server, with the reason when it failed to load."""

    name: str
    distribution: str
    version: str
    models: tuple[str, ...]
    rules: tuple[str, ...]
    error_class: str
    error_message: str
