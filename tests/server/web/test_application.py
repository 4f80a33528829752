"""The web's door: JSON, Connect and gRPC-Web answer as gRPC does, and nothing that comes in does harm.

Named here: `application.py`, `bodies.py`, `context.py`, `door.py`, `endpoints.py`, `statuses.py`.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import struct
from typing import Any

import grpc
import pytest
from connectrpc.client import ConnectClient
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status

from honeyguide.server.api.reading import MAX_MESSAGE_BYTES
from honeyguide.server.web.bodies import from_json
from honeyguide.server.web.statuses import retry_after, to_connect_error
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import (
    RecommendRequest,
    RecommendResponse,
    RecommendStreamRequest,
    RecommendStreamResponse,
)

pytestmark = pytest.mark.slow(6)

RECOMMEND = "/honeyguide.v1.RecommenderService/Recommend"
EVENTS = "/honeyguide.v1.EventService"
KNOWN = {"itemIds": ["item-3", "item-5"]}
DEEP = b'{"history":' * 5000


async def test_json_recommends_records_and_recommends_otherwise(start: Any, web: Any) -> None:
    async with start(web_port=0) as running:
        port = running.server.web_port
        assert f", web on http://127.0.0.1:{port}, " in running.server.summary()[-1]
        first = await web.post(port, RECOMMEND, {"userId": "ada", "k": 4})
        assert (first.status, first.headers["content-type"]) == (200, "application/json")
        assert first.json["userState"] == "USER_STATE_ANONYMOUS"
        recorded = await web.post(port, f"{EVENTS}/RecordEvents", {"events": [{"userId": "ada", "itemId": "item-3"}]})
        assert recorded.json == {"accepted": 1}
        after = await web.post(
            port, RECOMMEND, {"user_id": "ada", "k": 4}, content_type="application/json; charset=utf-8"
        )
        assert (after.json["userState"], len(after.json["items"])) == ("USER_STATE_STORED", 4)
        over_grpc = await running.recommender.Recommend(RecommendRequest(user_id="ada", k=4))
        assert [item["itemId"] for item in after.json["items"]] == [item.item_id for item in over_grpc.items]
        listed = await web.post(port, f"{EVENTS}/ListEvents", {"userId": "ada"})
        assert (listed.json["totalSize"], listed.json["events"][0]["itemId"]) == ("1", "item-3")
        assert (await web.post(port, "/honeyguide.v1.ModelService/ListModels", b"")).json["models"][0]["name"] == "tiny"
        packed = await web.post(
            port, RECOMMEND, gzip.compress(b'{"k": 2}'), content_encoding="gzip", accept_encoding="gzip"
        )
        assert packed.headers["content-encoding"] == "gzip"
        assert len(json.loads(gzip.decompress(packed.body))["items"]) == 2
        long = {"history": {"itemIds": ["item-3"] * 4000}, "filter": {"excludeItemIds": ["item-x" * 40] * 400}}
        assert len((await web.post(port, RECOMMEND, long)).json["items"]) == 10, "long JSON is read beside the loop"
        assert running.server.metrics.requests.labels(f"{EVENTS}/ListEvents")._value.get() == 1


@pytest.mark.parametrize("protocol", [ProtocolType.CONNECT, ProtocolType.GRPC_WEB])
@pytest.mark.parametrize("codec", [google_protobuf_binary_codec(), google_protobuf_json_codec()])
async def test_a_client_of_connect_and_of_grpc_web_is_answered(start: Any, protocol: Any, codec: Any) -> None:
    def method(name: str, request: Any, answer: Any, kind: StreamType = StreamType.UNARY) -> MethodInfo[Any, Any]:
        return MethodInfo(
            name=name,
            service_name="honeyguide.v1.RecommenderService",
            input=request,
            output=answer,
            idempotency_level=IdempotencyLevel.UNKNOWN,
            stream_type=kind,
        )

    recommend = method("Recommend", RecommendRequest, RecommendResponse)
    stream = method("RecommendStream", RecommendStreamRequest, RecommendStreamResponse, StreamType.BIDI_STREAM)

    async def none() -> Any:
        yield RecommendStreamRequest()

    async with start(web_port=0) as running:
        address = f"http://127.0.0.1:{running.server.web_port}"
        async with ConnectClient(address, codec=codec, protocol=protocol) as client:
            request = RecommendRequest(history=History(item_ids=["item-3"]), k=4)
            assert len((await client.execute_unary(request=request, method=recommend, timeout_ms=9000)).items) == 4
            with pytest.raises(ConnectError, match="k is 0; allowed: 1 to 1,000") as caught:
                await client.execute_unary(request=RecommendRequest(k=0), method=recommend)
            assert caught.value.code is Code.INVALID_ARGUMENT
            info = details.ErrorInfo.FromString(caught.value.details[0].message_bytes)
            assert (info.reason, info.domain, info.metadata["field"]) == ("INVALID_FIELD", "honeyguide", "k")
            with pytest.raises(ConnectError, match="RecommendStream is answered on the gRPC port alone") as caught:
                async for _ in client.execute_bidi_stream(request=none(), method=stream):
                    pass
            assert caught.value.code is Code.UNIMPLEMENTED


async def test_an_error_is_the_one_of_the_grpc_port(start: Any, web: Any) -> None:
    async with start(web_port=0) as running:
        port = running.server.web_port
        calls = [
            ("RecommenderService/Recommend", RecommendRequest(k=0, pipeline="x" * 300)),
            ("RecommenderService/Recommend", RecommendRequest(pipeline="nowhere")),
            ("RecommenderService/SimilarItems", RecommendRequest(user_id="nowhere")),  # its first field is `item_id`
            ("EventService/ListEvents", RecommendRequest()),
            ("ModelService/LoadModel", RecommendRequest(user_id="nowhere")),
        ]
        for name, request in calls:
            path = f"/honeyguide.v1.{name}"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.channel.unary_unary(path)(request.SerializeToString())
            status = Status.FromString(dict(caught.value.trailing_metadata() or ())["grpc-status-details-bin"])
            answer = await web.post(port, path, request.SerializeToString(), content_type="application/proto")
            assert answer.json["message"] == status.message
            assert answer.json["code"].upper() == caught.value.code().name
            assert [part["type"] for part in answer.json["details"]] == [
                part.type_url.rpartition("/")[2] for part in status.details
            ]
            info = details.ErrorInfo()
            status.details[0].Unpack(info)
            assert answer.reason == info.reason
        bad = running.server.pipelines.get()
        bad.recommend_parts = lambda queries: {}["secret"]
        broken = await web.post(port, RECOMMEND, {"history": KNOWN})
        assert (broken.status, broken.reason) == (500, "INTERNAL")
        assert b"secret" not in broken.body


BAD: dict[str, tuple[Any, dict[str, str], int, str]] = {
    "unknown field": ({"userID": "ada", "who": 1}, {}, 400, "MALFORMED"),
    "wrong type": ({"k": "many"}, {}, 400, "MALFORMED"),
    "wrong shape": ({"history": [1]}, {}, 400, "MALFORMED"),
    "a list": ([1, 2], {}, 400, "MALFORMED"),
    "an empty list": (b" []", {}, 400, "MALFORMED"),
    "an empty text": ("", {}, 400, "MALFORMED"),
    "no JSON": (b"{", {}, 400, "MALFORMED"),
    "not UTF-8": (b'{"userId": "\xff"}', {}, 400, "MALFORMED"),
    "a field twice": (b'{"k": 1, "k": 2}', {}, 400, "MALFORMED"),
    "a number of 6,000 digits": (b'{"k": ' + b"9" * 6000 + b"}", {}, 400, "MALFORMED"),
    "a lone surrogate": (b'{"userId": "\\ud800"}', {}, 400, "MALFORMED"),
    "nested": (DEEP, {}, 400, "MALFORMED"),
    "nested lists": (b"[" * 100_000, {}, 400, "MALFORMED"),
    "no protobuf": (b"\xff\xff\xff", {"content_type": "application/proto"}, 400, "MALFORMED"),
    "out of range": ({"k": 0}, {}, 400, "INVALID_FIELD"),
    "too large": (bytes(MAX_MESSAGE_BYTES + 6), {}, 400, "TOO_LARGE"),
    "too many values": ({"history": {"timesMs": [1] * 100_002}}, {}, 400, "TOO_LARGE"),
    "broken gzip": (b"\x1f\x8bnothing", {"content_encoding": "gzip"}, 400, "MALFORMED"),
    "gzip of too much": (gzip.compress(b" " * (16 << 20)), {"content_encoding": "gzip"}, 400, "TOO_LARGE"),
    "gzip of too much protobuf": (
        gzip.compress(bytes(16 << 20)),
        {"content_encoding": "gzip", "content_type": "application/proto"},
        400,
        "TOO_LARGE",
    ),
    "unknown compression": (b"{}", {"content_encoding": "br"}, 501, ""),
    "a form": (b"k=1", {"content_type": "application/x-www-form-urlencoded"}, 415, ""),
    "text": (b"{}", {"content_type": "text/plain"}, 415, ""),
    "no content type": (b"{}", {"content_type": ""}, 415, ""),
    "gRPC": (b"", {"content_type": "application/grpc"}, 415, ""),
    "gRPC-Web as text": (b"", {"content_type": "application/grpc-web-text"}, 415, ""),
    "a stream of one": (b"", {"content_type": "application/connect+json"}, 415, ""),
    "a deadline of letters": ({}, {"connect_timeout_ms": "soon"}, 400, ""),
    "a deadline below zero": ({}, {"connect_timeout_ms": "-1"}, 400, ""),
    "a deadline of 11 digits": ({}, {"connect_timeout_ms": "99999999999"}, 400, ""),
    "a deadline of none": ({}, {"connect_timeout_ms": "0"}, 504, ""),
    "another version": ({}, {"connect_protocol_version": "2"}, 400, ""),
    "letters in a header": ({}, {"x_request_id": "ü"}, 400, ""),
    "GET": ({}, {"method": "GET"}, 405, ""),
    "another path": ({}, {"path": "/"}, 404, ""),
    "an unknown rpc": ({}, {"path": "/honeyguide.v1.RecommenderService/Nothing"}, 404, ""),
    "a stream as JSON": ({}, {"path": "/honeyguide.v1.RecommenderService/RecommendStream"}, 501, ""),
    "health": ({}, {"path": "/grpc.health.v1.Health/Check"}, 404, ""),
    "two lengths": (b"{}", {"content_length": "2\r\ncontent-length: 1"}, 400, ""),
    "length and chunks": (b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n", {"transfer_encoding": "chunked"}, 200, ""),
    "odd chunks": (b"{}", {"transfer_encoding": "chunked, identity"}, 400, ""),
    "a space in a name": (b"{}", {"a b": "1"}, 400, ""),
}


async def test_what_is_no_call_is_told_and_does_no_harm(start: Any, web: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with start(web_port=0) as running:
        port = running.server.web_port
        for what, (body, given, status, reason) in BAD.items():
            headers = dict(given)
            path = headers.pop("path", RECOMMEND)
            answer = await web.post(port, path, body, **headers)
            assert answer.status == status, (what, answer)
            if answer.headers.get("content-type") == "application/json" and status != 200:
                assert answer.json["message"], what
                assert answer.reason == reason, (what, answer)
            else:
                assert reason == "", (what, answer)
        assert (await web.post(port, RECOMMEND, {"history": KNOWN, "k": 3})).status == 200
        counted = running.server.metrics.errors.labels(RECOMMEND, "MALFORMED")._value.get()
        assert counted == sum(reason == "MALFORMED" for _, _, _, reason in BAD.values())
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_odd_envelopes_of_grpc_web_end_with_a_status(
    start: Any, web: Any, caplog: pytest.LogCaptureFixture
) -> None:
    message = RecommendRequest(k=1).SerializeToString()
    whole = struct.pack(">BI", 0, len(message)) + message
    odd = {
        "none": (b"", b"12"),
        "two": (whole + whole, b"12"),
        "cut": (whole[:-1], b"3"),
        "half a head": (b"\0\0", b"3"),
        "odd flags": (b"\x40" + whole[1:], b"3"),
        "two gigabytes": (struct.pack(">BI", 0, 1 << 31) + b"x", b"8"),
        "packed without saying how": (b"\x01" + whole[1:], b"13"),
        "no message": (struct.pack(">BI", 0, 3) + b"\xff\xff\xff", b"3"),
        "whole": (whole, b"0"),
    }
    async with start(web_port=0) as running:
        for what, (body, status) in odd.items():
            answer = await web.post(running.server.web_port, RECOMMEND, body, content_type="application/grpc-web+proto")
            told = answer.body + answer.headers.get("grpc-status", "").encode()
            assert answer.status == 200, what
            assert b"grpc-status: " + status + b"\r\n" in answer.body or told.endswith(status), (what, answer)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_an_unknown_field_is_named_and_no_value_comes_back(start: Any, web: Any) -> None:
    async with start(web_port=0) as running:
        answer = await web.post(running.server.web_port, RECOMMEND, {"userId": "ada", "userid": "bob"})
    assert 'RecommendRequest" has no field named "userid"' in answer.json["message"]
    assert "ada" not in answer.json["message"]


async def test_ids_of_the_client_come_back_and_stand_in_the_answer(start: Any, web: Any) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with start(web_port=0) as running:
        port = running.server.web_port
        for path, key in ((RECOMMEND, "requestId"), (f"{EVENTS}/ListUsers", "")):
            for headers, own in (
                ({"x_request_id": "mine-1"}, "mine-1"),
                ({"traceparent": trace}, "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"),
            ):
                answer = await web.post(port, path, {}, **headers)
                assert answer.headers["x-request-id"] == answer.headers["trailer-x-request-id"] == own
                assert key == "" or answer.json[key] == own
        wrong = await web.post(port, RECOMMEND, {"no": 1}, x_request_id="mine-2")
        assert wrong.json["details"][0]["debug"]["metadata"]["request_id"] == "mine-2"
        assert wrong.headers["x-request-id"] == "mine-2"


async def test_fuzz_of_json_raises_only_what_clients_are_told() -> None:
    from hypothesis import given, settings
    from hypothesis import strategies as st

    from honeyguide.sdk.errors import Malformed

    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    names = st.sampled_from(["userId", "k", "history", "itemIds", "filter", "dropSeen", "pipeline", "timesMs", "x"])
    trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))

    @settings(max_examples=100, deadline=None)
    @given(trees)
    def read(tree: Any) -> None:
        with contextlib.suppress(Malformed):
            RecommendRequest.FromString(from_json(json.dumps(tree).encode(), RecommendRequest()))

    read()


def test_a_failure_keeps_its_code_and_says_when_to_try_again() -> None:
    from honeyguide.sdk.errors import OverCapacity
    from honeyguide.server.api.statuses import to_failures

    (failure,) = to_failures(OverCapacity("full", retry_after=1.2), ["0" * 32])
    assert retry_after(failure) == "2"
    assert to_connect_error(failure).code is Code.RESOURCE_EXHAUSTED
    assert to_connect_error(failure._replace(code=1)).code is Code.CANCELED
