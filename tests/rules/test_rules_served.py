"""The built-in rules, by name, in the pipelines of a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import polars as pl
import pytest
import torch

from honeyguide.rules.category_cap import CategoryCap
from honeyguide.rules.diversity import Diversity
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings
from honeyguide.training.evaluation.rules import ItemFacts, reorder
from honeyguide.training.evaluation.stages import StageRanks
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import ListPipelinesRequest
from honeyguide.v1.model_service_pb2_grpc import ModelServiceStub
from honeyguide.v1.recommender_service_pb2 import RecommendRequest
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub

CAP = {"name": "category_cap", "options": {"cap": 2}}
SEEN = {"name": "seen", "options": {"newest": 1}}
VARIED = Diversity.Config(trade_off=0.4)
PIPELINES = {
    "plain": {"model": "tiny"},
    "capped": {"model": "tiny", "rules": [CAP]},
    "varied": {"model": "tiny", "rules": [{"name": "diversity", "options": {"trade_off": 0.4}}]},
    "again": {"model": "tiny", "drop_seen": False, "rules": [SEEN]},
    "all": {"model": "tiny", "drop_seen": False, "rules": [SEEN, {"name": "diversity"}, CAP]},
}


@pytest.fixture
async def channel(shared_repository: Path, tmp_path: Path, host: PluginHost) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with a pipeline for each rule, and one with all of them."""
    given: dict[str, Any] = {"repository": shared_repository, "events": tmp_path / "events.db", "pipelines": PIPELINES}
    async with (
        Server(Settings(port=0, metrics_port=-1, drain_seconds=2.0, **given), host) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield channel


async def recommended(channel: grpc.aio.Channel, pipeline: str, k: int, *met: int, user_id: str = "") -> list[int]:
    """Returns the items of an answer that lost no part, as numbers; for a stored user, or for who met these items."""
    stub: Any = RecommenderServiceStub(channel)
    user: Any = {"user_id": user_id} if user_id else {"history": History(item_ids=[f"item-{row}" for row in met])}
    answer = await stub.Recommend(RecommendRequest(pipeline=pipeline, k=k, **user))
    assert not answer.degraded
    return [int(item.item_id.removeprefix("item-")) for item in answer.items]


def most_of_one_category(items: list[int]) -> int:
    """Counts as the shared bundles do: an item is odd or even, and the first ten are "first" as well."""
    return max(Counter([category for item in items for category in [item % 2, *["first"] * (item < 10)]]).values())


async def test_no_category_exceeds_its_cap_among_the_first_k(channel: grpc.aio.Channel) -> None:
    plain = [await recommended(channel, "plain", 4, row) for row in range(10)]
    assert max(map(most_of_one_category, plain)) > 2
    capped = [await recommended(channel, "capped", 4, row) for row in range(10)]
    assert {(len(set(items)), most_of_one_category(items)) for items in capped} == {(4, 2)}


async def test_a_capped_answer_is_filled_to_k_where_the_categories_are_too_few(channel: grpc.aio.Channel) -> None:
    plain = await recommended(channel, "plain", 58, 3, 5)
    capped = await recommended(channel, "capped", 58, 3, 5)
    assert sorted(capped) == sorted(plain)
    assert most_of_one_category(capped[:4]) == 2


async def test_what_was_just_met_stays_away_and_the_rest_may_come_again(channel: grpc.aio.Channel) -> None:
    assert set(range(60)) - set(await recommended(channel, "again", 60, 3, 5)) == {5}
    events: Any = EventServiceStub(channel)
    await events.RecordEvents(RecordEventsRequest(events=[Event(user_id="u", item_id="item-3")]))
    assert set(range(60)) - set(await recommended(channel, "again", 60, user_id="u")) == {3}
    await events.RecordEvents(RecordEventsRequest(events=[Event(user_id="u", item_id="item-7")]))
    assert set(range(60)) - set(await recommended(channel, "again", 60, user_id="u")) == {7}


async def test_rules_run_in_the_order_of_the_pipeline(channel: grpc.aio.Channel) -> None:
    models: Any = ModelServiceStub(channel)
    listed = {p.name: list(p.rules) for p in (await models.ListPipelines(ListPipelinesRequest())).pipelines}
    assert listed["all"] == ["seen", "diversity", "category_cap"]
    together = await recommended(channel, "all", 4, 3, 5)
    assert 5 not in together
    assert (len(set(together)), most_of_one_category(together)) == (4, 2)


async def test_evaluate_reorders_as_the_server_does(channel: grpc.aio.Channel, shared_repository: Path) -> None:
    stub: Any = RecommenderServiceStub(channel)
    histories = [[row, row + 20] for row in range(10)]
    asked = [History(item_ids=[f"item-{row}" for row in own]) for own in histories]
    plain = [await stub.Recommend(RecommendRequest(pipeline="plain", k=58, history=own)) for own in asked]
    stage = StageRanks(
        ranks=np.ones(10),
        lists=np.array([[int(item.item_id.removeprefix("item-")) for item in answer.items] for answer in plain]),
        scores=np.array([[item.score for item in answer.items] for answer in plain], np.float32),
        ranked=np.full(10, 58),
    )
    data = EvaluationSet(HistoryBatch.from_lists(histories), np.arange(10), np.zeros(10, np.int32))
    tables = shared_repository / "tiny" / "1"
    network: Any = torch.nn.Module()
    network.items = lambda: torch.from_numpy(np.load(tables / "item_vectors.npy"))
    facts = ItemFacts.of(pl.read_parquet(tables / "items.parquet"), network)
    for pipeline, rule in {"capped": CategoryCap(CategoryCap.Config(cap=2)), "varied": Diversity(VARIED)}.items():
        lists = reorder(rule, stage, data, facts, 5, 58)
        assert (lists != stage.lists[:, :5]).any()
        assert lists.tolist() == [await recommended(channel, pipeline, 5, *own) for own in histories]
