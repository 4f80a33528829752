"""A request's context is handed down to its queue, which heeds the deadline."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from honeyguide.sdk.errors import DeadlinePassed, ItemNotFound
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.batching import Queues
from honeyguide.server.serving.context import RequestContext
from honeyguide.server.serving.histories import InlineHistory, UserInput
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.queries import RankQuery, RecommendQuery, SimilarQuery
from honeyguide.server.settings import make_settings

USER = UserInput(None, InlineHistory(["item-1"]))


@pytest.fixture
async def queues(shared_repository: Path, host: PluginHost) -> AsyncIterator[Queues]:
    repository, metrics = Repository(shared_repository, host, Runtime(1, 1)), Metrics()
    repository.load_newest()
    pipelines = Pipelines(make_settings(), host, repository, None, metrics)
    with Runtime(1, 1).executor() as executor:
        queues = Queues(pipelines, metrics, executor, 1, max_queue_rows=8)
        yield queues
        await queues.close()


def test_a_context_without_a_deadline_waits_for_ever() -> None:
    assert RequestContext("id") == RequestContext("id", math.inf, "")


async def test_each_kind_of_query_is_answered_and_what_is_late_is_dropped(queues: Queues) -> None:
    clock = asyncio.get_running_loop().time
    late, soon = RequestContext("late", clock() - 1), RequestContext("soon", clock() + 60)
    recommend, rank = RecommendQuery(USER, 3), RankQuery(USER, ["item-4", "item-2"])
    (answer,) = await queues.recommend("", [recommend], soon)
    assert len(answer.item_ids) == 3
    assert set((await queues.rank("tiny_ranker", rank, soon)).item_ids) == {"item-2", "item-4"}
    assert len((await queues.similar("tiny", SimilarQuery("item-4", 2), soon)).item_ids) == 2
    with pytest.raises(ItemNotFound, match="no item 'nowhere' in model 'tiny'"):
        await queues.similar("tiny", SimilarQuery("nowhere"), soon)
    for call in (queues.recommend("", [recommend], late), queues.rank("", rank, late)):
        with pytest.raises(DeadlinePassed):
            await call
