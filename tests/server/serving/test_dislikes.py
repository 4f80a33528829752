"""What a user dislikes is not shown, is no part of the taste, and counts against what is like it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.cold_items.item import ColdItem
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.cold_items.store import ColdItemStore
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import EventStore, StoredEvent
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.dislikes import without_dislikes
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.queries import Answer, RankQuery, RecommendQuery

ITEMS = 60


@pytest.fixture(scope="module")
def bundle(shared_repository: Path, host: PluginHost) -> RetrievingBundle:
    loaded = load_bundle(shared_repository / "tiny" / "1", host, Runtime(1, 1))
    assert isinstance(loaded, RetrievingBundle)
    return loaded


def served(bundle: RetrievingBundle, store: EventStore | None = None, **options: Any) -> ServedPipeline:
    given = {"negative_types": ("dislike", "return"), "negative_weight": 1.0} | options
    return ServedPipeline(PipelineOptions("p", "tiny", **given), lambda: bundle, store, Metrics(), 64)


def user(*events: tuple[int, str]) -> UserInput:
    return UserInput(
        None, InlineHistory([f"item-{row}" for row, _ in events], event_types=[kind for _, kind in events])
    )


def rows(answer: Answer) -> list[int]:
    return [int(item.removeprefix("item-")) for item in answer.item_ids]


@pytest.mark.parametrize(
    ("events", "likes", "dislikes"),
    [
        ([(1, 0), (2, 0)], [1, 2], []),
        ([(1, 0), (2, 1)], [1], [2]),
        ([(1, 0), (2, 0), (1, 1)], [2], [1]),  # bought, and given back
        ([(1, 1), (2, 0), (1, 0)], [2, 1], []),  # thought better of it
        ([(1, 1), (1, 0), (1, 1), (3, 1)], [], [1, 3]),
    ],
)
def test_the_last_event_with_an_item_decides(
    events: list[tuple[int, int]], likes: list[int], dislikes: list[int]
) -> None:
    batch = HistoryBatch.from_lists([[1], [row for row, _ in events], [1]])  # neighbours keep what they have
    negative = np.array([0, *(kind for _, kind in events), 0], bool)
    liked, (owners, disliked) = without_dislikes(batch, negative, ITEMS)
    assert liked.items.tolist() == [1, *likes, 1]
    assert liked.lengths.tolist() == [1, len(likes), 1]
    assert (owners.tolist(), disliked.tolist()) == ([1] * len(dislikes), dislikes)


@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("known", [(), (5, 7)])
def test_disliked_items_are_not_shown_even_where_seen_ones_are(
    bundle: RetrievingBundle, drop: bool, known: tuple[int, ...]
) -> None:
    queries = [
        RecommendQuery(user(*((row, "view") for row in known), (0, "dislike"), (9, "return")), k=ITEMS, drop_seen=drop),
        RecommendQuery(user((3, "view")), k=ITEMS, drop_seen=False),
    ]
    told, mate = served(bundle).recommend(queries)
    assert sorted(rows(told)) == sorted(set(range(ITEMS)) - {0, 9} - set(known if drop else ()))
    assert len(mate.item_ids) == ITEMS


def test_what_is_like_a_disliked_item_falls(bundle: RetrievingBundle) -> None:
    units = bundle.item_vectors * bundle.inverse_norms[:, None]
    likeness = units @ units[9]
    scores = {}
    for weight in (0.0, 0.5, 1.0):
        query = RecommendQuery(user((3, "view"), (9, "dislike")), k=ITEMS, drop_seen=False)
        (answer,) = served(bundle, negative_weight=weight).recommend([query])
        scores[weight] = dict(zip(rows(answer), answer.scores, strict=True))
    (vector,) = bundle.read(bundle.encode(bundle.recent(HistoryBatch.from_lists([[3]]))))[0]
    for row, before in scores[0.0].items():
        norm = np.linalg.norm(bundle.item_vectors[row]) * np.linalg.norm(vector)
        assert scores[1.0][row] == pytest.approx(before - likeness[row] * norm, abs=1e-4)
        assert scores[0.5][row] == pytest.approx(before - 0.5 * likeness[row] * norm, abs=1e-4)


def test_weight_0_equals_a_history_without_the_item(bundle: RetrievingBundle) -> None:
    (told,) = served(bundle, negative_weight=0.0).recommend([RecommendQuery(user((3, ""), (9, "dislike")), k=20)])
    (plain,) = served(bundle).recommend([RecommendQuery(user((3, "")), k=21)])
    assert told.item_ids == [item for item in plain.item_ids if item != "item-9"][:20]


def test_pipelines_that_name_no_types_take_every_event_as_before(bundle: RetrievingBundle) -> None:
    query = RecommendQuery(user((3, "view"), (9, "dislike")), k=20, drop_seen=False)
    plain = RecommendQuery(UserInput(None, InlineHistory(["item-3", "item-9"])), k=20, drop_seen=False)
    with_types, without = served(bundle, negative_types=()).recommend([query, plain])
    assert with_types.item_ids == without.item_ids


def test_stored_dislikes_count_as_inline_ones_and_batch_equals_singles(
    bundle: RetrievingBundle, tmp_path: Path
) -> None:
    events = [(3, "view"), (9, "dislike"), (4, "view"), (4, "return")]
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent("u", f"item-{row}", 10 + n, kind) for n, (row, kind) in enumerate(events)]).result()
        asked = served(bundle, store)
        queries = [
            RecommendQuery(UserInput("u"), k=30),
            RecommendQuery(UserInput("nobody"), k=30),
            RecommendQuery(user(*events), k=30),
            RecommendQuery(user((8, "dislike")), k=30),
        ]
        stored, stranger, inline, sour = asked.recommend(queries)
        (again,) = asked.recommend(queries[:1])  # from the cache
        singles = [asked.recommend([query])[0] for query in queries]
    assert stored.item_ids == inline.item_ids == again.item_ids
    assert [a.item_ids for a in singles] == [a.item_ids for a in (stored, stranger, inline, sour)]
    assert rows(sour) == [*range(8), *range(9, 31)]  # nothing is liked: popular items, but for that


def test_callers_candidates_are_scored_away_from_dislikes_and_stay(bundle: RetrievingBundle) -> None:
    ids = [f"item-{row}" for row in range(10)]
    (told,) = served(bundle).rank([RankQuery(user((3, "view"), (9, "dislike")), ids)])
    (plain,) = served(bundle).rank([RankQuery(user((3, "view")), ids)])
    assert sorted(told.item_ids) == sorted(ids)
    assert told.item_ids.index("item-9") > plain.item_ids.index("item-9")


@pytest.mark.parametrize("drop", [True, False])
def test_disliked_added_items_are_not_shown_either(
    placing_repository: Path, host: PluginHost, tmp_path: Path, drop: bool
) -> None:
    placing = load_bundle(placing_repository / "placed" / "1", host, Runtime(1, 1))
    cold_items = ColdItems(ColdItemStore(tmp_path / "items.db"), 10)
    cold_items.add(placing)
    cold_items.upsert([ColdItem(f"n-{n}") for n in range(4)])
    met = [("n-0", "view"), ("n-1", "dislike"), ("n-2", "view"), ("n-2", "return"), ("n-3", "dislike"), ("n-3", "view")]
    inline = InlineHistory([item for item, _ in met], event_types=[kind for _, kind in met])
    with SqliteEventStore(tmp_path / "events.db") as store:
        store.record([StoredEvent("u", item, 10 + n, kind) for n, (item, kind) in enumerate(met)]).result()

        def added(*users: UserInput, **options: Any) -> list[list[str]]:
            given = {"negative_types": ("dislike", "return"), "explore": 1.0} | options
            pipeline = ServedPipeline(
                PipelineOptions("p", "placed", **given), lambda: placing, store, Metrics(), 64, cold_items
            )
            answers = pipeline.recommend([RecommendQuery(user, drop_seen=drop) for user in users])
            return [sorted(item for item in answer.item_ids if item.startswith("n-")) for answer in answers]

        everything = ["n-0", "n-1", "n-2", "n-3"]
        liked = [] if drop else ["n-0", "n-3"]
        stored, brought, stranger = UserInput("u"), UserInput(None, inline), UserInput("nobody")
        assert added(stored, brought, stranger) == [liked, liked, everything]
        later = UserInput("u", InlineHistory(["n-1", "n-0"], event_types=["view", "dislike"]))
        untyped = UserInput("u", InlineHistory(["n-1"]))
        assert added(later, untyped) == ([[], []] if drop else [["n-1", "n-3"], ["n-0", "n-1", "n-3"]])
        assert added(stored, negative_types=()) == [[] if drop else everything]
