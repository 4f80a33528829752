"""Graphs of bundles answer what the bundle answers, and nothing reaches one that it does not bear.

Named here: `models.py`, `graph_work.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest
from inference_requests import add_input, infer_request, method, read_output

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.model import TensorSpec
from honeyguide.server.oip import models

pytestmark = pytest.mark.slow(6)
TOKENS = np.array([[0, 3, 5], [7, 8, 9]])
CODE = grpc.StatusCode


def user_request(tokens: Any = TOKENS, model: str = "tiny.user") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name=model)
    add_input(request, "tokens", tokens, "INT64")
    return request


def rank_request(
    candidates: Any, scores: Any = None, tokens: Any = TOKENS, model: str = "tiny_ranker.rank", sources: int = 1
) -> pb.ModelInferRequest:
    request = user_request(tokens, model)
    add_input(request, "candidates", candidates, "INT64")
    scores = np.ones((*np.shape(candidates), sources)) if scores is None else scores
    add_input(request, "retrieval_scores", scores, "FP32")
    return request


async def infer(running: Any, request: pb.ModelInferRequest) -> pb.ModelInferResponse:
    answer: pb.ModelInferResponse = await method(running.channel, "ModelInfer")(request)
    return answer


async def test_user_graph_gives_the_vectors_that_retrieval_uses(start: Any) -> None:
    async with start(max_batch_rows=3) as running:
        bundle = running.server.repository.get("tiny")
        tokens = np.random.default_rng(0).integers(1, 61, (8, 5))
        answer = await infer(running, user_request(tokens))
        vectors = read_output(answer, "user_vector")
        assert (answer.model_name, answer.model_version, vectors.dtype) == ("tiny.user", "1", np.float32)
        np.testing.assert_allclose(vectors, bundle.read({"tokens": tokens})[0], rtol=1e-4, atol=1e-5)
        ids = read_output(
            await infer(running, infer_request([[f"item-{t - 1}" for t in row] for row in tokens], k=[[1]])), "ids"
        )
        scores = vectors @ bundle.item_vectors.T
        np.put_along_axis(scores, tokens - 1, -np.inf, 1)
        assert ids[:, 0].tolist() == [f"item-{row}" for row in scores.argmax(1)]
        stats = await method(running.channel, "ModelStatistics")(pb.ModelStatisticsRequest(name="tiny.user"))
        assert (stats.model_stats[0].inference_count, stats.model_stats[0].execution_count) == (8, 3)


async def test_rank_graph_gives_the_scores_that_ranking_uses(start: Any, monkeypatch: Any) -> None:
    candidates = np.array([[4, 1, 60, 0], [9, 2, 3, 1]])
    monkeypatch.setattr("honeyguide.server.oip.graph_work._MAX_CELLS", 12)  # one row at a time
    async with start() as running:
        bundle = running.server.repository.get("tiny_ranker")
        scores = read_output(await infer(running, rank_request(candidates)), "scores")
        expected = bundle.rank({"tokens": TOKENS}, candidates - 1, np.ones((2, 4, 1), np.float32))
        np.testing.assert_allclose(scores[candidates > 0], expected[candidates > 0], rtol=1e-4, atol=1e-5)


async def test_a_joint_bundle_ranks_and_has_no_user_graph(start: Any, shared_joint_repository: Any) -> None:
    async with start(repository=shared_joint_repository) as running:
        answer = await infer(running, rank_request([[4, 1], [9, 2]], model="joint.rank", sources=2))
        assert read_output(answer, "scores").shape == (2, 2)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await infer(running, user_request(model="joint.user"))
        assert caught.value.code() == CODE.NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (user_request([[61]]), r"inputs\[tokens\] is 61; allowed: 0 to 60"),
        (user_request([[-1]]), r"inputs\[tokens\] is -1"),
        (user_request([[2**62]]), r"inputs\[tokens\] is 4611686018427387904"),
        (user_request([[3, 0]]), "the newest event in the last column"),
        (user_request([[0, 0]]), "the newest event in the last column"),
        (user_request(np.empty((1, 0))), "the newest event in the last column"),
        (user_request([[3, 0, 4]]), "padding on the left alone"),
        (user_request([[1] * 201]), "0 to "),
        (user_request([[1]] * 257), "1 to 256 rows"),
        (rank_request([[61], [1]]), r"inputs\[candidates\] is 61"),
        (rank_request([[1], [1]], [[[np.nan]], [[1]]]), "finite numbers"),
        (rank_request([[1, 2], [1, 2]], np.ones((2, 3, 1))), "length 3'; allowed: 2"),
        (rank_request([[1] * 1001] * 2), "0 to 1,000"),
        (rank_request(np.empty((2, 0))), r"inputs\[candidates\] is 'no candidate'"),
        (rank_request([[1], [1]], np.ones((2, 1, 2))), "0 to 1,000, 1"),
        (rank_request([[1]], tokens=TOKENS), "as many as the other inputs have"),
    ],
)
async def test_what_a_graph_would_trust_is_checked_before_it_runs(
    start: Any, request_: pb.ModelInferRequest, says: str
) -> None:
    async with start() as running:
        with pytest.raises(grpc.aio.AioRpcError, match=says) as caught:
            await infer(running, request_)
        assert caught.value.code() == CODE.INVALID_ARGUMENT
        assert len((await infer(running, user_request())).outputs) == 1


async def test_parameters_of_pipelines_are_none_of_graphs(start: Any) -> None:
    request = user_request()
    request.parameters["k"].int64_param = 3
    async with start() as running:
        with pytest.raises(grpc.aio.AioRpcError, match="parameters is 'k'; allowed: timeout"):
            await infer(running, request)


def test_a_graph_with_an_input_of_unknown_range_is_not_offered(host: Any, shared_repository: Any) -> None:
    from honeyguide.server.bundles.loading import load_bundle
    from honeyguide.server.bundles.runtime import Runtime

    bundle = load_bundle(shared_repository / "tiny" / "1", host, Runtime(1, 1))
    assert [graph.name for graph in models._graphs(bundle)] == ["tiny.user"]
    for extra in (TensorSpec("regions", "int64", ("batch",)), TensorSpec("words", "str", ("batch",))):
        bundle.manifest = replace(bundle.manifest, inputs=(*bundle.manifest.inputs, extra))
        assert list(models._graphs(bundle)) == []
