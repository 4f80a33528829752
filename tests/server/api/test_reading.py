"""What cannot be read is told, and compressed bytes are inflated no further than anybody reads."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from honeyguide.sdk.errors import Malformed, TooLarge
from honeyguide.server.api.reading import MAX_MESSAGE_BYTES, inflate, read_message
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

REQUEST = RecommendRequest(user_id="anna", k=3)


def test_bytes_become_the_message_however_they_were_packed() -> None:
    plain = REQUEST.SerializeToString()
    for data in (plain, gzip.compress(plain), zlib.compress(plain)):
        assert read_message(RecommendRequest.FromString, inflate(data)) == REQUEST


def test_what_is_no_message_or_too_large_is_told() -> None:
    with pytest.raises(Malformed, match=r"no message of this call; check the client's \.proto files"):
        read_message(RecommendRequest.FromString, b"\xff\xff")
    with pytest.raises(Malformed, match="compressed, and broken"):
        inflate(b"\x1f\x8bnothing")
    with pytest.raises(TooLarge, match="8,388,609 bytes or more; allowed: 8,388,608"):
        read_message(RecommendRequest.FromString, bytes(MAX_MESSAGE_BYTES + 1))
    read_message(bytes, bytes(MAX_MESSAGE_BYTES))


def test_packed_zeros_take_no_more_memory_than_the_largest_message() -> None:
    packed = gzip.compress(bytes(100 << 20), 1)
    tracemalloc.start()
    try:
        inflated = inflate(packed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(inflated) == MAX_MESSAGE_BYTES + 1
    assert peak < 4 * MAX_MESSAGE_BYTES
