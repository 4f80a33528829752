"""On a real server, users whose events go on are answered as if their histories were read anew each time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.v1.event_service_pb2 import DeleteUserRequest, Event, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest, RecommendResponse

USERS = ("ann", "bob", "eve")
PIPELINES = ("tiny", "tiny_ranker")


def _events(random: np.random.Generator, clock: int) -> list[Event]:
    """Makes one to six events of one user, a few of them late ones that belong into the middle of the history."""
    user = random.choice(USERS)
    events = []
    for n in range(int(random.choice([1, 1, 1, 2, 3, 6]))):
        item = f"item-{random.integers(60)}"
        second = 1_600_000_000 + (clock + n if random.random() < 0.9 else int(random.integers(1, clock)))
        events.append(Event(user_id=user, item_id=item, time_ms=1000 * second))
    return events


async def _wait(call: Any) -> Any:
    return await call


def _agree(found: RecommendResponse, want: RecommendResponse) -> None:
    assert found.models == want.models
    scores = {item.item_id: item.score for item in want.items}
    assert {item.item_id for item in found.items} == set(scores)  # all 60 but the seen ones
    for item in found.items:
        assert abs(item.score - scores[item.item_id]) < 1e-4


async def test_answers_equal_those_of_a_server_that_keeps_nobody(start: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    async with (
        start(events=tmp_path / "kept.db", state_cache_users=2) as kept,
        start(events=tmp_path / "fresh.db", state_cache_users=0) as fresh,
    ):
        for step in range(1, 120):
            if random.random() < 0.08:
                deleted = DeleteUserRequest(user_id=random.choice(USERS))
                await asyncio.gather(*(server.events.DeleteUser(deleted) for server in (kept, fresh)))
            events = RecordEventsRequest(events=_events(random, step * 10))
            await asyncio.gather(*(server.events.RecordEvents(events) for server in (kept, fresh)))
            requests = [
                RecommendRequest(
                    user_id=user,
                    k=60,
                    pipeline=PIPELINES[step % 2],
                    history=History(item_ids=["item-1"]) if random.random() < 0.2 else None,
                )
                for user in random.permutation(USERS)[: random.integers(1, 4)]
            ]
            found = await asyncio.gather(*(_wait(kept.recommender.Recommend(request)) for request in requests))
            for request, answer in zip(requests, found, strict=True):
                _agree(answer, await fresh.recommender.Recommend(request))
        count = kept.server.metrics.registry.get_sample_value
        for outcome in ("encoded", "stepped", "reused"):
            assert count("honeyguide_users_total", {"model": "tiny", "outcome": outcome}) > 5, outcome
        assert len(kept.server.repository.get("tiny").cache) == 2
        assert len(fresh.server.repository.get("tiny").cache) == 0


async def test_a_deleted_user_is_kept_no_longer(start: Any) -> None:
    async with start() as running:
        await running.events.RecordEvents(RecordEventsRequest(events=[Event(user_id="ann", item_id="item-3")]))
        for pipeline in PIPELINES:
            await running.recommender.Recommend(RecommendRequest(user_id="ann", pipeline=pipeline))
        caches = [running.server.repository.get(name).cache for name in PIPELINES]
        assert [len(cache) for cache in caches] == [1, 1]
        await running.events.DeleteUser(DeleteUserRequest(user_id="ann"))
        assert [len(cache) for cache in caches] == [0, 0]
