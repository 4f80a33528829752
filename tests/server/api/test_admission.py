"""A stream is held to its caller's pace, and ends when its caller is not let in any more."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from honeyguide.server.access.tokens import new_token
from honeyguide.server.api.admission import StreamPace
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
        running.server._transport._services.gate._clock = lambda: 5e9
        await stream.write(RecommendStreamRequest(batch=UserBatch(sequence=2, rows=[ROW])))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stream.read()
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert StreamPace.keep.__doc__
