"""A client's own id runs through logs and answers, on both transports; what may not stand there is ignored."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
import structlog

from honeyguide.server.api.given_ids import adopt, returned
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import ListModelsRequest
from honeyguide.v1.recommender_service_pb2 import RecommendRequest, RecommendStreamRequest

pytestmark = pytest.mark.slow(5)

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "adopted"),
    [
        ({}, ""),
        ({"x-request-id": "order-17:a.b_c"}, "order-17:a.b_c"),
        ({"x-request-id": "a" * 64}, "a" * 64),
        ({"x-request-id": "a" * 65}, ""),
        ({"x-request-id": "a b"}, ""),
        ({"x-request-id": "a\n2026 forged"}, ""),
        ({"x-request-id": b"a"}, ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, f"{TRACE}-{SPAN}"),
        ({"traceparent": f"01-{TRACE}-{SPAN}-01-more"}, f"{TRACE}-{SPAN}"),
        ({"traceparent": f"ff-{TRACE}-{SPAN}-01"}, ""),
        ({"traceparent": f"00-{'0' * 32}-{SPAN}-01"}, ""),
        ({"traceparent": f"00-{TRACE}-{'0' * 16}-01"}, ""),
        ({"traceparent": f"00-{TRACE.upper()}-{SPAN}-01"}, ""),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "mine"}, "mine"),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "not mine"}, f"{TRACE}-{SPAN}"),
    ],
)
def test_what_is_adopted(given: dict[str, str | bytes], adopted: str) -> None:
    assert adopt(given.items()) == adopted


def test_what_comes_back() -> None:
    traced = [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("x-request-id", "mine"), ("authorization", "Bearer secret")]
    assert returned(traced, "mine") == (("x-request-id", "mine"), traced[0])
    assert returned([("traceparent", "forged"), ("x-request-id", "mine")], "mine") == (("x-request-id", "mine"),)
    assert returned([("traceparent", "forged")], "") == ()


@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_the_id_is_in_answers_trailers_errors_and_logs(start: Any, transport: str) -> None:
    known = RecommendRequest(history=History(item_ids=["item-1"]))
    with structlog.testing.capture_logs() as log:
        async with start(transport=transport) as running:
            call = running.recommender.Recommend(known, metadata=[("x-request-id", "mine-1")])
            assert (await call).request_id == "mine-1"
            assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
            call = running.recommender.Recommend(known)
            assert len((await call).request_id) == 32
            assert "x-request-id" not in dict(await call.trailing_metadata())
            call = running.models.ListModels(ListModelsRequest(), metadata=[("traceparent", f"00-{TRACE}-{SPAN}-01")])
            await call
            assert dict(await call.trailing_metadata())["x-request-id"] == f"{TRACE}-{SPAN}"
            given = [("x-request-id", "mine-2"), ("traceparent", f"00-{TRACE}-{SPAN}-01")]
            failures = []
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.recommender.Recommend(RecommendRequest(k=-1), metadata=given)
            failures.append(dict(caught.value.trailing_metadata()))
            with pytest.raises(grpc.aio.AioRpcError) as caught:  # a stream without options
                await running.recommender.RecommendStream(iter([RecommendStreamRequest()]), metadata=given).read()
            failures.append(dict(caught.value.trailing_metadata()))
    for trailers in failures:
        assert {pair: trailers[pair] for pair, _ in given} == dict(given)
        assert b"mine-2" in trailers["grpc-status-details-bin"]
    assert "mine-2" in {line.get("request_id") for line in log}
