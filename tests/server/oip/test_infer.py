"""ModelInfer of a real server: what a pipeline answers is what Recommend answers, and what is odd gets Triton's code.

Named here: `infer.py`, `jobs.py`, `work.py`, `parameters.py`, `pipeline_work.py`. The codes are those that Triton 2.51
gives; ``tests/server/oip/clients`` asks it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import polars as pl
import pytest
from google.rpc import error_details_pb2
from grpc_status.rpc_status import aio as rich_status
from inference_requests import DIFFERENT, GOOD, ODD, add_input, infer_request, method, read_output

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.server.access.tokens import new_token
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

pytestmark = pytest.mark.slow(12)
both = pytest.mark.parametrize("transport", ["native", "grpcio"])
CODE = grpc.StatusCode


async def infer(running: Any, request: pb.ModelInferRequest, **how: Any) -> pb.ModelInferResponse:
    answer: pb.ModelInferResponse = await method(running.channel, "ModelInfer")(request, **how)
    return answer


async def refused(running: Any, request: pb.ModelInferRequest, **how: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await infer(running, request, **how)
    return caught.value.code(), caught.value.details() or ""


async def statistics_of(running: Any, name: str) -> pb.ModelStatistics:
    answer = await method(running.channel, "ModelStatistics")(pb.ModelStatisticsRequest(name=name))
    return answer.model_stats[0]  # type: ignore[no-any-return]  # stubs are made by name


async def recommended(running: Any, **request: Any) -> tuple[list[str], list[float]]:
    answer = await running.recommender.Recommend(RecommendRequest(**request))
    return [item.item_id for item in answer.items], [item.score for item in answer.items]


@both
async def test_a_pipeline_answers_as_recommend_does(start: Any, transport: str) -> None:
    rows = [["item-3", "item-5"], ["item-9", ""], ["", ""], ["nowhere", "item-3"]]
    async with start(transport=transport) as running:
        event = Event(user_id="u", item_id="item-7", event_id="1")
        await running.events.RecordEvents(RecordEventsRequest(events=[event]))
        request = infer_request(rows, "tiny_ranker", k=[[4], [2], [4], [4]], user_id=[[""], [""], ["u"], ["u"]])
        request.id = "mine"
        answer = await infer(running, request)
        assert (answer.model_name, answer.model_version, answer.id) == ("tiny_ranker", "1", "mine")
        assert [(o.name, o.datatype, list(o.shape)) for o in answer.outputs] == [
            ("ids", "BYTES", [4, 4]),
            ("scores", "FP32", [4, 4]),
        ]
        assert not any(output.HasField("contents") for output in answer.outputs)
        ids, scores = read_output(answer, "ids"), read_output(answer, "scores")
        asked: list[dict[str, Any]] = [
            {"history": History(item_ids=rows[0]), "k": 4},
            {"history": History(item_ids=["item-9"]), "k": 2},
            {"user_id": "u", "k": 4},
            {"user_id": "u", "history": History(item_ids=rows[3]), "k": 4},
        ]
        for place, how in enumerate(asked):
            own_ids, own_scores = await recommended(running, pipeline="tiny_ranker", **how)
            assert ids[place, : how["k"]].tolist() == own_ids
            np.testing.assert_allclose(scores[place, : how["k"]], own_scores, rtol=1e-4, atol=1e-5)
        assert ids[1, 2:].tolist() == ["", ""]
        assert np.isneginf(scores[1, 2:]).all()
        stats = await statistics_of(running, "tiny_ranker")
        assert (stats.inference_count, stats.inference_stats.queue.count) == (4, 1)


@both
async def test_what_both_answer_and_what_both_refuse(start: Any, transport: str) -> None:
    async with start(transport=transport) as running:
        for what, request in GOOD.items():
            answer = await infer(running, request)
            assert {output.name for output in answer.outputs} <= {"ids", "scores"}, what
        told = {what: await refused(running, request) for what, request in ODD.items()}
        missing = {what for what, (code, _) in told.items() if code == CODE.NOT_FOUND}
        assert missing == {"no model name", "unknown model", "unknown version"}
        assert {code for what, (code, _) in told.items() if what not in missing} == {CODE.INVALID_ARGUMENT}
        assert told["unknown model"][1].startswith("no model 'nowhere'; there are: tiny, tiny_ranker, tiny.user, ")
        assert told["wrong type"][1] == "inputs[history].datatype is 'INT32'; allowed: BYTES"
        for what, (request, code) in DIFFERENT.items():
            if code == "OK":
                await infer(running, request)
            else:
                assert (await refused(running, request))[0].name == code, what
        stats = (await statistics_of(running, "tiny")).inference_stats
        assert stats.queue.count == stats.success.count == len(GOOD) + 1
        assert stats.fail.count == len(ODD) - len(missing) - 2 + len(DIFFERENT) - 1  # two have a version that is none


async def test_an_error_carries_the_same_details_as_everywhere(start: Any) -> None:
    async with start() as running:
        call = method(running.channel, "ModelInfer")(ODD["k of too few bytes"])
        with pytest.raises(grpc.aio.AioRpcError):
            await call
        status = await rich_status.from_call(call)
    assert status is not None
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(bad)
    assert (info.reason, bad.field_violations[0].field) == ("INVALID_FIELD", "inputs[k]")


@pytest.mark.parametrize(
    ("inputs", "parameters", "says"),
    [
        ({"k": [[0]]}, {}, "k is 0; allowed: 1 to 1,000"),
        ({"k": [[1001]]}, {}, "k is 1001"),
        ({}, {"k": pb.InferParameter(int64_param=-1)}, "k is -1"),
        ({"k": [[3]]}, {"k": pb.InferParameter(int64_param=3)}, "k once"),
        ({"history": [["item-1"]] * 256, "k": [[100]]}, {}, "rows x k of at most 20,000"),
        ({"history": [[b"\xff\xfe"]]}, {}, "UTF-8"),
        ({"history": [["x" * 257]]}, {}, "1 to 256 bytes"),
        ({"user_id": [["x" * 257]]}, {}, "1 to 256 bytes"),
        ({"history": [["item-1"] * 4097]}, {}, "0 to 4,096"),
    ],
)
async def test_what_a_pipeline_refuses(start: Any, inputs: Any, parameters: Any, says: str) -> None:
    request = infer_request(**inputs)
    for name, value in parameters.items():
        request.parameters[name].CopyFrom(value)
    async with start() as running:
        code, message = await refused(running, request)
    assert code == CODE.INVALID_ARGUMENT
    assert says in message


async def test_parameters_hold_for_every_row(start: Any) -> None:
    request = infer_request([["item-1"], ["item-2"]])
    request.parameters["k"].int64_param = 60
    request.parameters["drop_seen"].bool_param = False
    async with start() as running:
        ids = read_output(await infer(running, request), "ids")
        assert ids.shape == (2, 60)
        assert set(ids[0]) == set(ids[1]) == {f"item-{n}" for n in range(60)}
        request.parameters["drop_seen"].bool_param = True
        ids = read_output(await infer(running, request), "ids")
        assert "item-1" not in ids[0]
        assert ids[0, -1] == "", "one short, and said so"
        late = infer_request()
        late.parameters["timeout"].int64_param = 1
        running.server.workers._places, before = 0, running.server.workers._places  # nothing is computed for now
        waiting = asyncio.ensure_future(refused(running, late))
        await asyncio.sleep(0.05)
        running.server.workers._places = before
        running.server.workers._rouse()
        assert (await waiting)[0] == CODE.DEADLINE_EXCEEDED


async def test_outputs_come_in_the_order_in_which_they_are_asked_for(start: Any) -> None:
    request = infer_request()
    for name in ("scores", "ids", "scores"):
        request.outputs.add(name=name)
    async with start() as running:
        answer = await infer(running, request)
        assert [output.name for output in answer.outputs] == ["scores", "ids"]
        assert read_output(answer, "ids").shape == (1, 10)
        request.outputs[0].parameters["classification"].int64_param = 2
        assert (await refused(running, request))[0] == CODE.UNIMPLEMENTED


@both
async def test_a_large_batch_is_computed_in_pieces_between_other_calls(start: Any, transport: str) -> None:
    rows = [[f"item-{n % 60}", f"item-{n % 7}"] for n in range(256)]
    async with start(transport=transport, max_batch_rows=16) as running:
        answers = await asyncio.gather(*[infer(running, infer_request(rows)) for _ in range(4)])
        assert len({answer.SerializeToString() for answer in answers}) == 1
        ids = read_output(answers[0], "ids")
        for place in (0, 17, 255):
            assert ids[place].tolist() == (await recommended(running, history=History(item_ids=rows[place])))[0]
        stats = await statistics_of(running, "tiny")
        assert stats.inference_count == 1024
        assert max(batch.batch_size for batch in stats.batch_stats) <= 16


async def test_more_than_may_wait_is_refused_at_once_and_the_rest_is_answered(start: Any) -> None:
    rows = [["item-1"]] * 256
    async with start(max_batch_rows=8, max_queue_rows=300) as running:
        tried = await asyncio.gather(
            *[infer(running, infer_request(rows), timeout=30) for _ in range(6)], return_exceptions=True
        )
        codes = {error.code() for error in tried if isinstance(error, grpc.aio.AioRpcError)}
        assert codes == {CODE.RESOURCE_EXHAUSTED}
        assert any(isinstance(answer, pb.ModelInferResponse) for answer in tried)
        assert len((await infer(running, infer_request(rows))).outputs) == 2, "there is room again"


async def test_a_caller_that_leaves_costs_no_more(start: Any) -> None:
    async with start(max_batch_rows=4) as running:
        call = method(running.channel, "ModelInfer")(infer_request([["item-1"]] * 256, k=[[70]]))
        await asyncio.sleep(0.01)
        call.cancel()
        for _ in range(500):
            if running.server.workers._parts:
                await asyncio.sleep(0.01)
        assert not running.server.workers._parts
        assert len((await infer(running, infer_request())).outputs) == 2


async def test_arms_answer_their_share_and_shadows_and_exposures_are_told(start: Any, tmp_path: Path) -> None:
    (key := tmp_path / "key").write_text("0123456789abcdef")
    pipelines = {
        "home": {"model": "tiny", "arms": {"next": 50.0}, "shadows": ["next"]},
        "next": {"model": "tiny_ranker"},
    }
    how = {"pipelines": pipelines, "exposures": tmp_path / "shown", "exposures_key": key}
    users = [[f"user-{n}"] for n in range(40)]
    async with start(**how) as running:
        answer = await infer(running, infer_request([["item-3"]] * 40, "home", user_id=users))
        ids = read_output(answer, "ids")
        assert answer.model_version == "1"
        for place in (0, 1, 2, 3, 4):
            own = await recommended(
                running, pipeline="home", user_id=users[place][0], history=History(item_ids=["item-3"])
            )
            assert ids[place].tolist() == own[0], "the same user, the same arm"
        metrics = running.server.metrics
        shares = [metrics.arm_rows.labels("home", arm)._value.get() for arm in ("home", "next")]
        assert sum(shares) == 45
        assert min(shares) > 5
        for _ in range(500):
            samples = [sample for family in metrics.registry.collect() for sample in family.samples]
            if (asked := sum(s.value for s in samples if s.name == "honeyguide_shadow_answers_total")) == 45:
                break
            await asyncio.sleep(0.01)
        assert asked == 45
    shown = pl.concat([pl.read_parquet(file) for file in (tmp_path / "shown").rglob("*.parquet")])
    assert shown.height == 45
    assert (set(shown["pipeline"]), set(shown["arm"])) == ({"home"}, {"home", "next"})


@both
async def test_roles_and_rates_hold(start: Any, transport: str) -> None:
    token, boss = new_token(), new_token()
    callers = {
        "shop": {"roles": ["recommend"], "sha256": token.sha256, "requests_per_second": 1, "burst": 2},
        "boss": {"roles": ["admin"], "sha256": boss.sha256},
    }
    async with start(transport=transport, callers=callers) as running:
        assert (await refused(running, infer_request()))[0] == CODE.UNAUTHENTICATED
        shop, admin = (("authorization", f"Bearer {t.token}") for t in (token, boss))
        code, message = await refused(running, infer_request(), metadata=[admin])
        assert (code, "needs the role recommend" in message) == (CODE.PERMISSION_DENIED, True)
        codes = []
        for _ in range(4):
            try:
                await infer(running, infer_request(), metadata=[shop])
                codes.append(CODE.OK)
            except grpc.aio.AioRpcError as error:
                codes.append(error.code())
        assert codes[:2] == [CODE.OK] * 2
        assert CODE.RESOURCE_EXHAUSTED in codes


@both
async def test_bytes_that_are_no_message_are_told_so(start: Any, transport: str) -> None:
    async with start(transport=transport) as running:
        call = running.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for data in (b"\xff\xff\xff", b"\x0a\xff"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(data)
            assert caught.value.code() == CODE.INVALID_ARGUMENT
        counted = running.server.metrics.errors.labels("/inference.GRPCInferenceService/ModelInfer", "MALFORMED")
        assert counted._value.get() == 2


async def test_a_model_that_is_swapped_answers_as_the_version_that_serves(
    start: Any, repository: Path, add_version: Any
) -> None:
    async with start(repository=repository) as running:
        first = await infer(running, infer_request())
        add_version(repository)
        await method(running.channel, "RepositoryModelLoad")(pb.RepositoryModelLoadRequest(model_name="tiny"))
        second = await infer(running, infer_request())
        assert (first.model_version, second.model_version) == ("1", "2")
        assert read_output(first, "scores").tolist() != read_output(second, "scores").tolist()
        pinned = infer_request()
        pinned.model_version = "1"
        code, message = await refused(running, pinned)
        assert (code, message) == (CODE.NOT_FOUND, "no version 1 of model 'tiny'; version 2 serves")
        add_input(pinned, "k", [[2]], "INT32")
        pinned.model_version = "2"
        assert read_output(await infer(running, pinned), "ids").shape == (1, 2)
