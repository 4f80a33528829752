"""A stream is held to its caller's pace, and ends when its caller is not let in any more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from honeyguide.server.access.gate import Gate
from honeyguide.server.access.tokens import new_token
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.settings import make_settings
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest, StreamOptions, UserBatch, UserRow

ROW = UserRow(history=History(item_ids=["item-3"]))


@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_a_stream_ends_when_its_token_expires(start: Any, transport: str) -> None:
    token = new_token()
    callers = {"shop": {"roles": ["recommend"], "sha256": token.sha256, "expires": "2099-01-01T00:00:00Z"}}
    async with start(transport=transport, callers=callers) as running:
        stream = running.recommender.RecommendStream(metadata=[("authorization", f"Bearer {token.token}")])
        await stream.write(RecommendStreamRequest(options=StreamOptions(k=2)))
        await stream.write(RecommendStreamRequest(batch=UserBatch(sequence=1, rows=[ROW])))
        assert (await stream.read()).sequence == 1
        running.server._services.gate._clock = lambda: 5e9
        await stream.write(RecommendStreamRequest(batch=UserBatch(sequence=2, rows=[ROW])))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


async def test_a_method_before_which_nobody_would_ask_who_calls_is_not_there() -> None:
    """Those of libraries may be synchronous, and then nothing can be awaited before them."""
    metrics = Metrics()
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    details: Any = SimpleNamespace(method="/library.Service/Rpc")

    async def found(_: Any) -> Any:
        return handler

    for gate, expected in ((Gate(make_settings(), metrics), None), (None, handler)):
        interceptor = ErrorInterceptor(Outcomes(metrics), RequestIds(), gate=gate)
        assert await interceptor.intercept_service(found, details) is expected
