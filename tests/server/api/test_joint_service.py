"""A real server serves joint bundles over the retrievers they pin, and says what is wrong with those it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import rewrite_manifest

from honeyguide.sdk.errors import BundleError
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.v1 import model_service_pb2 as pb
from honeyguide.v1.errors_pb2 import ERROR_REASON_INVALID_FIELD
from honeyguide.v1.history_pb2 import History, ModelVersion
from honeyguide.v1.recommender_service_pb2 import (
    RankRequest,
    RecommendRequest,
    RecommendStreamRequest,
    SimilarItemsRequest,
    StreamOptions,
    UserBatch,
    UserRow,
)

KNOWN = History(item_ids=["item-3", "item-5", "item-8"])
MODELS = [("tiny", 1), ("tiny_ranker", 1), ("joint", 1)]


def named(models: Any) -> list[tuple[str, int]]:
    return [(model.name, model.version) for model in models]


def copy_version(repository: Path, name: str, version: int) -> None:
    shutil.copytree(repository / name / "1", repository / name / str(version))
    rewrite_manifest(repository / name / str(version), version=version)


async def test_every_rpc_answers_from_all_its_bundles(start: Any, shared_joint_repository: Path) -> None:
    async with start(shared_joint_repository) as running:
        recommended = await running.recommender.Recommend(
            RecommendRequest(history=KNOWN, pipeline="joint", explain=True)
        )
        ids = [item.item_id for item in recommended.items]
        ranked = await running.recommender.Rank(RankRequest(history=KNOWN, item_ids=ids[::-1], pipeline="joint"))
        similar = await running.recommender.SimilarItems(SimilarItemsRequest(item_id="item-7", pipeline="joint"))
    assert named(recommended.models) == named(ranked.models) == MODELS
    assert {item.source_model for item in (*recommended.items, *ranked.items)} == {"joint"}
    assert [item.item_id for item in ranked.items] == ids
    assert (similar.model.name, not recommended.degraded) == ("tiny", True)
    # "tiny" explains nothing, "tiny_ranker" does.
    assert all({b.item_id for b in item.because_items} <= set(KNOWN.item_ids) for item in recommended.items)
    assert all(b.title for item in recommended.items for b in item.because_items)
    assert all(item.because_items for item in recommended.items)


async def test_unasked_nothing_is_explained(start: Any, shared_joint_repository: Path) -> None:
    async with start(shared_joint_repository) as running:
        plain = await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline="joint"))
        cannot = await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline="tiny", explain=True))
    assert not any(item.because_items for item in (*plain.items, *cannot.items))
    assert not cannot.degraded


async def test_streams_pin_every_bundle_that_takes_part(start: Any, shared_joint_repository: Path) -> None:
    def messages(wanted: list[tuple[str, int]]) -> list[RecommendStreamRequest]:
        pins = [ModelVersion(name=name, version=version) for name, version in wanted]
        options = StreamOptions(pipeline="joint", required_models=pins)
        batch = UserBatch(rows=[UserRow(history=KNOWN), UserRow(user_id="")])
        return [RecommendStreamRequest(options=options), RecommendStreamRequest(batch=batch)]

    async with start(shared_joint_repository) as running:
        (answer,) = [a async for a in running.recommender.RecommendStream(iter(messages(MODELS)))]
        with pytest.raises(grpc.aio.AioRpcError, match="joint/1, tiny/1, tiny_ranker/1 serve"):
            # The options alone: grpc.aio may lose the status of a stream that ends while a batch is being sent.
            _ = [a async for a in running.recommender.RecommendStream(iter(messages(MODELS[:2])[:1]))]
    assert named(answer.models) == MODELS
    assert (len(answer.rows[0].ranked.item_ids), answer.rows[1].error.reason) == (10, ERROR_REASON_INVALID_FIELD)


async def test_operators_see_what_retrieves_and_what_ranks(start: Any, shared_joint_repository: Path) -> None:
    pipelines = {"all": {"model": "joint"}, "first": {"model": "joint", "rank": False}}
    async with start(shared_joint_repository, pipelines=pipelines) as running:
        both, first = (await running.models.ListPipelines(pb.ListPipelinesRequest())).pipelines
        model = (await running.models.GetModel(pb.GetModelRequest(name="joint"))).model
        other = (await running.models.GetModel(pb.GetModelRequest(name="tiny"))).model
        summary = running.server.summary()
    assert (named(both.retrievers), named([both.ranker])) == (MODELS[:2], MODELS[2:])
    assert (named(first.retrievers), first.HasField("ranker")) == (MODELS[:1], False)
    assert (named(model.retrievers), list(other.retrievers)) == (MODELS[:2], [])
    assert (model.state, model.dimension, model.index_kind, model.has_ranker) == (pb.MODEL_STATE_SERVING, 0, "", True)
    assert summary[0] == (
        "pipeline all (default): retrieve → rank with tiny/1 (tiny_gru, 60 items, index flat) + "
        "tiny_ranker/1 (tiny_ranker, 60 items, index flat) + joint/1 (tiny_joint, 60 items) on CPU"
    )
    assert summary[1] == "pipeline first: retrieve with tiny/1 (tiny_gru, 60 items, index flat) on CPU"


async def test_a_joint_bundle_keeps_its_retrievers_whatever_serves(start: Any, joint_repository: Path) -> None:
    copy_version(joint_repository, "tiny", 2)
    async with start(joint_repository) as running:

        async def recommend(pipeline: str) -> list[tuple[str, int]]:
            answer = await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline=pipeline))
            return named(answer.models)

        assert (await recommend("tiny"), await recommend("joint")) == ([("tiny", 2)], MODELS)
        await running.models.UnloadModel(pb.UnloadModelRequest(name="tiny"))
        await running.models.UnloadModel(pb.UnloadModelRequest(name="tiny_ranker"))
        assert await recommend("joint") == MODELS
        listed = (await running.models.ListModels(pb.ListModelsRequest())).models
    assert [(m.name, m.version, m.state, m.provider != "") for m in listed] == [
        ("joint", 1, pb.MODEL_STATE_SERVING, True),
        ("tiny", 2, pb.MODEL_STATE_AVAILABLE, False),
        ("tiny", 1, pb.MODEL_STATE_AVAILABLE, True),
        ("tiny_ranker", 1, pb.MODEL_STATE_AVAILABLE, True),
    ]


def test_a_version_is_in_memory_once_and_as_long_as_it_is_needed(joint_repository: Path, host: PluginHost) -> None:
    served = Repository(joint_repository, host, Runtime(1, 1))
    served.load_newest()  # the joint bundle comes first
    pinned = served.get("joint").retrievers[0]
    assert pinned is served.get("tiny")
    assert served.load("joint")[0].retrievers[0] is pinned
    served.unload("tiny")
    assert served.load("tiny")[0] is pinned
    served.unload("joint")
    served.unload("tiny")
    del pinned
    assert served.entry("tiny").provider == ""


BROKEN = {
    "a retriever that is not there": (
        {"retrievers": [["tiny", 7], ["tiny_ranker", 1]]},
        "joint/1 needs its retriever tiny/7: the repository lacks it; put it back, or train and export the joint model",
    ),
    "a model that is not there": ({"retrievers": [["../tiny", 1]]}, "needs its retriever ../tiny/1: the repository"),
    "itself": ({"retrievers": [["joint", 1]]}, "joint/1 needs its retriever joint/1: it ranks what others retrieve"),
    "other items": (
        {"vocabulary": "0" * 64},
        "retriever tiny/1 were made from other data: their item ids differ",
    ),
    "other events": (
        {"data": {"items": 60, "repeats": False, "has_time": True, "event_types": [], "features": []}},
        "joint/1 and its retriever tiny/1 were made from other data: their has_time differ; train and export both",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_joint_bundle_that_does_not_fit_is_listed_with_its_reason_and_the_others_serve(
    start: Any, joint_repository: Path, what: str
) -> None:
    fields, says = BROKEN[what]
    rewrite_manifest(joint_repository / "joint/1", **fields)
    async with start(joint_repository) as running:
        listed = {m.name: m for m in (await running.models.ListModels(pb.ListModelsRequest())).models}
        assert (await running.recommender.Recommend(RecommendRequest(history=KNOWN, pipeline="tiny"))).items
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.models.LoadModel(pb.LoadModelRequest(name="joint"))
    assert says in listed["joint"].problem
    assert listed["joint"].state == pb.MODEL_STATE_FAILED
    assert listed["tiny"].state == listed["tiny_ranker"].state == pb.MODEL_STATE_SERVING
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == listed["joint"].problem


def test_a_corrupt_retriever_is_named_for_itself_and_for_the_joint_bundle(
    joint_repository: Path, host: PluginHost
) -> None:
    (joint_repository / "tiny" / "1" / "user.onnx").write_bytes(b"changed")
    served = Repository(joint_repository, host, Runtime(1, 1))
    with pytest.raises(BundleError, match=r"joint/1 needs its retriever tiny/1: tiny/1: file user.onnx was changed"):
        served.load("joint")
    assert served.entry("joint").state == served.entry("tiny").state == BundleState.FAILED
    served.load("tiny_ranker")
