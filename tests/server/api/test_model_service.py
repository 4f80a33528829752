"""Operators see what serves, and swap versions without a failed call."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import rewrite_manifest

from honeyguide.sdk.manifest import read_manifest
from honeyguide.v1 import model_service_pb2 as pb
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RankRequest, RecommendRequest

KNOWN = RecommendRequest(history=History(item_ids=["item-3"]))


async def test_models_are_listed_with_what_their_manifest_says(start: Any, shared_repository: Path) -> None:
    async with start() as running:
        listed = (await running.models.ListModels(pb.ListModelsRequest())).models
        got = (await running.models.GetModel(pb.GetModelRequest(name="tiny_ranker"))).model
    assert [(m.name, m.version, m.state) for m in listed] == [
        ("tiny", 1, pb.MODEL_STATE_SERVING),
        ("tiny_ranker", 1, pb.MODEL_STATE_SERVING),
    ]
    assert got == listed[1]
    assert (got.model_class, got.plugin, got.item_count, got.dimension) == ("tiny_ranker", "tests 0.0.0", 60, 16)
    assert (got.has_ranker, got.max_length, got.provider, got.index_kind) == (True, 20, "CPUExecutionProvider", "flat")
    assert got.create_time_ms > 1_600_000_000_000
    assert got.data_fingerprint == "0" * 64
    assert dict(got.metrics) == {"retrieve/ndcg@10": 0.0}
    assert (got.precision, got.digest, got.signer, got.last_error) == (
        "float32",
        read_manifest(shared_repository / "tiny_ranker" / "1").digest,
        "",
        "",
    )
    assert 10_000 < got.memory_bytes < 10_000_000
    assert got.load_time_ms > got.create_time_ms > 1_600_000_000_000


async def test_pages_join_to_the_whole_list(start: Any) -> None:
    async with start() as running:
        first = await running.models.ListModels(pb.ListModelsRequest(page_size=1))
        token = first.next_page_token
        second = await running.models.ListModels(pb.ListModelsRequest(page_size=1, page_token=token))
        with pytest.raises(grpc.aio.AioRpcError, match=r"page_token is .*allowed: the next_page_token"):
            await running.models.ListPipelines(pb.ListPipelinesRequest(page_token=token))
        for bad in ("!", "W10=", "eyJh", base64.urlsafe_b64encode(b"[" * 100_000).decode()):
            with pytest.raises(grpc.aio.AioRpcError, match="page_token"):
                await running.models.ListModels(pb.ListModelsRequest(page_token=bad))
        with pytest.raises(grpc.aio.AioRpcError, match="page_size is -1; allowed: 1 to 1,000, or 0 for 100"):
            await running.models.ListPlugins(pb.ListPluginsRequest(page_size=-1))
        with pytest.raises(grpc.aio.AioRpcError, match=r"page_token is '!'.*page_size is -1"):
            await running.models.ListPipelines(pb.ListPipelinesRequest(page_size=-1, page_token="!"))
        assert len((await running.models.ListPlugins(pb.ListPluginsRequest(page_size=2**31 - 1))).plugins) > 2
    assert [m.name for m in (*first.models, *second.models)] == ["tiny", "tiny_ranker"]
    assert second.next_page_token == ""


async def test_pipelines_are_listed_the_default_first(start: Any) -> None:
    pipelines = {"a": {"model": "tiny"}, "b": {"model": "tiny_ranker", "drop_seen": False}}
    async with start(pipelines=pipelines, default_pipeline="b") as running:
        listed = (await running.models.ListPipelines(pb.ListPipelinesRequest())).pipelines
    assert [(p.name, p.is_default, p.drop_seen) for p in listed] == [("b", True, False), ("a", False, True)]
    assert listed[0].retrievers[0] == listed[0].ranker
    assert listed[0].ranker.name == "tiny_ranker"
    assert not listed[1].HasField("ranker")


async def test_plugins_are_listed(start: Any) -> None:
    async with start() as running:
        listed = (await running.models.ListPlugins(pb.ListPluginsRequest())).plugins
    (tiny,) = [plugin for plugin in listed if plugin.name == "tiny_gru"]
    assert list(tiny.models) == ["tiny_gru", "tiny_ranker"]
    assert tiny.error_class == ""


async def test_swap_under_load_fails_no_call(start: Any, repository: Path, add_version: Any) -> None:
    add_version(repository)
    versions: list[int] = []
    done = asyncio.Event()

    async def client(running: Any) -> None:
        while not done.is_set():
            answer = await running.recommender.Recommend(KNOWN)
            assert len(answer.items) == 10
            versions.append(answer.models[0].version)

    async with start(repository) as running:
        clients = [asyncio.create_task(client(running)) for _ in range(8)]
        for version in (1, 2) * 4:
            answer = await running.models.LoadModel(pb.LoadModelRequest(name="tiny", version=version))
            assert (answer.model.version, answer.model.state) == (version, pb.MODEL_STATE_SERVING)
            assert answer.previous_version == 3 - version
        done.set()
        await asyncio.gather(*clients)  # raises what any call raised
    assert set(versions) == {1, 2}


async def test_corrupt_bundle_is_refused_by_name_and_the_old_one_goes_on(
    start: Any, repository: Path, add_version: Any
) -> None:
    async with start(repository) as running:
        add_version(repository)
        (repository / "tiny" / "2" / "user.onnx").write_bytes(b"changed")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.models.LoadModel(pb.LoadModelRequest(name="tiny"))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == "tiny/2: file user.onnx was changed; export the model again"
        assert (await running.recommender.Recommend(KNOWN)).models[0].version == 1
        got = (await running.models.GetModel(pb.GetModelRequest(name="tiny", version=2))).model
    assert (got.state, got.problem) == (pb.MODEL_STATE_FAILED, caught.value.details())


async def test_foreign_bundle_is_listed_with_its_reason(start: Any, repository: Path) -> None:
    (repository / "alien" / "1").mkdir(parents=True)
    (repository / "alien" / "1" / "bundle.json").write_text(json.dumps({"format_version": 99}), "utf-8")
    async with start(repository) as running:
        listed = (await running.models.ListModels(pb.ListModelsRequest())).models
        assert any("format 99" in line for line in running.server.summary())
    assert (listed[0].name, listed[0].state) == ("alien", pb.MODEL_STATE_FAILED)
    assert "format 99" in listed[0].problem


@pytest.mark.parametrize("change", [{"created": "soon"}, {"dimension": "wide"}, {"max_length": 2**40}])
async def test_manifest_of_wrong_values_spoils_no_list(
    start: Any, repository: Path, change: dict[str, Any], add_version: Any
) -> None:
    async with start(repository) as running:
        add_version(repository)
        rewrite_manifest(repository / "tiny" / "2", **change)
        listed = (await running.models.ListModels(pb.ListModelsRequest())).models
    assert [m.state for m in listed] == [pb.MODEL_STATE_FAILED, pb.MODEL_STATE_SERVING, pb.MODEL_STATE_SERVING]
    assert listed[0].problem.startswith("tiny/2: ")
    assert listed[0].problem.endswith("; export the model again")
    assert listed[0].last_error == listed[0].problem


async def test_unload_refuses_what_a_pipeline_needs(start: Any) -> None:
    async with start(pipelines={"p": {"model": "tiny"}}) as running:
        with pytest.raises(grpc.aio.AioRpcError, match="model 'tiny' is needed by pipeline p") as caught:
            await running.models.UnloadModel(pb.UnloadModelRequest(name="tiny"))
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert (await running.models.UnloadModel(pb.UnloadModelRequest(name="tiny_ranker"))).version == 1


async def test_unload_that_waits_for_a_load_holds_no_other_call_up(start: Any) -> None:
    async with start() as running:
        with running.server.repository._lock:  # as a load does for as long as it takes
            unloading = running.models.UnloadModel(pb.UnloadModelRequest(name="tiny"))
            await asyncio.sleep(0.05)
            assert (await running.recommender.Recommend(RecommendRequest(), timeout=5)).items
        assert (await unloading).version == 1


async def test_unloaded_model_takes_its_own_pipeline_along(start: Any) -> None:
    async with start() as running:
        await running.models.UnloadModel(pb.UnloadModelRequest(name="tiny"))
        listed = (await running.models.ListPipelines(pb.ListPipelinesRequest())).pipelines
        assert [(p.name, p.is_default) for p in listed] == [("tiny_ranker", True)]
        with pytest.raises(grpc.aio.AioRpcError, match="no pipeline 'tiny'; there are: tiny_ranker"):
            await running.recommender.Recommend(RecommendRequest(pipeline="tiny"))
        answer = await running.models.LoadModel(pb.LoadModelRequest(name="tiny"))
        assert answer.previous_version == 0
        assert (await running.recommender.Recommend(RecommendRequest(pipeline="tiny"))).items


PIPELINES = {"home": {"model": "tiny"}, "next": {"model": "tiny_ranker"}, "old": {"model": "tiny", "version": 1}}


def _traffic(shadows: tuple[str, ...] = (), **arms: float) -> pb.Traffic:
    return pb.Traffic(arms=[pb.Arm(pipeline=name, percent=share) for name, share in arms.items()], shadows=shadows)


async def _arms(running: Any) -> list[tuple[str, str]]:
    """Returns for each of some users which arm answered, and by which model."""
    answers = await asyncio.gather(
        *(running.recommender.Recommend(RecommendRequest(user_id=f"u{n}", pipeline="home")) for n in range(40))
    )
    return [(answer.arm, answer.models[-1].name) for answer in answers]


async def test_traffic_is_set_kept_over_a_restart_and_taken_back(start: Any, tmp_path: Path) -> None:
    settings = {"pipelines": PIPELINES, "traffic": tmp_path / "traffic.json", "default_pipeline": "home"}
    async with start(**settings) as running:
        assert set(await _arms(running)) == {("", "tiny")}
        set_to = await running.models.SetTraffic(pb.SetTrafficRequest(traffic=_traffic(("old",), next=50)))
        assert (set_to.traffic, set_to.previous) == (_traffic(("old",), next=50), pb.Traffic())
        half = await _arms(running)
        assert set(half) == {("home", "tiny"), ("next", "tiny_ranker")}
        assert await _arms(running) == half  # a user stays
        ranked = await running.recommender.Rank(RankRequest(user_id="u0", item_ids=["item-1"]))
        assert ranked.arm == half[0][0]
        (home, *_) = (await running.models.ListPipelines(pb.ListPipelinesRequest())).pipelines
        assert home.traffic == _traffic(("old",), next=50)
        metrics = running.server.metrics.registry
        labels = {"pipeline": "home", "arm": "next"}
        answered = 2 * half.count(("next", "tiny_ranker")) + (ranked.arm == "next")
        assert metrics.get_sample_value("honeyguide_arm_answers_total", labels) == answered
        shadow = {"pipeline": "home", "shadow": "old"}
        assert sum(
            metrics.get_sample_value("honeyguide_shadow_answers_total", {**shadow, "outcome": outcome}) or 0
            for outcome in ("scored", "dropped")
        )
    async with start(**settings) as running:
        assert await _arms(running) == half
        back = await running.models.SetTraffic(pb.SetTrafficRequest(previous=True))
        assert (back.traffic, back.previous) == (pb.Traffic(), _traffic(("old",), next=50))
        assert set(await _arms(running)) == {("", "tiny")}
    async with start(**settings) as running:
        await running.server.apply({"traffic": running.server.pipelines.traffic.state, "subject": "traffic"})
        assert set(await _arms(running)) == {("", "tiny")}


async def test_users_without_id_are_drawn_by_the_request(start: Any, tmp_path: Path) -> None:
    arms = {**PIPELINES, "home": {"model": "tiny", "arms": {"next": 50}}}
    async with start(pipelines=arms, traffic=tmp_path / "traffic.json") as running:
        request = RecommendRequest(pipeline="home")
        answers = await asyncio.gather(*(running.recommender.Recommend(request) for _ in range(40)))
    assert {answer.arm for answer in answers} == {"home", "next"}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (pb.SetTrafficRequest(pipeline="home"), "traffic, previous is 'neither'; allowed: one of them"),
        (pb.SetTrafficRequest(pipeline="home", traffic=pb.Traffic(), previous=True), "is 'both'"),
        (pb.SetTrafficRequest(pipeline="home", previous=True), "'home' was never set"),
        (pb.SetTrafficRequest(pipeline="cart", traffic=pb.Traffic()), "no pipeline 'cart' in the settings"),
        (pb.SetTrafficRequest(pipeline="home", traffic=_traffic(cart=5)), "no pipeline 'cart' in the settings"),
        (
            pb.SetTrafficRequest(pipeline="home", traffic=pb.Traffic(arms=[pb.Arm(pipeline="next", percent=1)] * 2)),
            "each pipeline once",
        ),
    ],
)
async def test_traffic_that_makes_no_sense_is_refused(
    start: Any, tmp_path: Path, request_: pb.SetTrafficRequest, says: str
) -> None:
    async with start(pipelines=PIPELINES, traffic=tmp_path / "traffic.json") as running:
        with pytest.raises(grpc.aio.AioRpcError, match=says):
            await running.models.SetTraffic(request_)
    assert not (tmp_path / "traffic.json").exists()


async def test_an_arm_whose_version_does_not_load_leaves_its_users_to_the_pipeline(start: Any, tmp_path: Path) -> None:
    pipelines = {"home": {"model": "tiny", "arms": {"gone": 50}}, "gone": {"model": "tiny", "version": 9}}
    async with start(pipelines=pipelines, traffic=tmp_path / "traffic.json") as running:
        assert set(await _arms(running)) == {("home", "tiny")}
        with pytest.raises(grpc.aio.AioRpcError, match="'gone' needs version 9 of model 'tiny': no version 9"):
            await running.recommender.Recommend(RecommendRequest(pipeline="gone"))
