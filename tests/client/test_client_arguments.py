"""Arguments of every public method: what is wrong is refused by field before any call, what is plain works."""

from __future__ import annotations

import inspect
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from client_calls import arguments, at, wrong_calls

from honeyguide.client import AsyncClient, Client, InputError, RetryPolicy, UserRow
from honeyguide.client.channel import MAX_RECEIVED_BYTES, Deadline, check_seconds
from honeyguide.server.transport import grpcio


async def test_every_wrong_value_of_every_method_is_refused_by_its_field(fake):
    """One client of each kind for all: a test for each of some 400 would take longer to start than to run."""
    unlike = []
    with Client(fake.address) as client:
        async with AsyncClient(fake.address) as asynchronous:
            for name, parameter, value in wrong_calls(Client):
                given = arguments(name, parameter, value)
                both = (refusal(client, name, given), await refusal_async(asynchronous, name, given))
                unlike += [
                    (name, parameter, value, said) for said in both if said is None or at(said.field) != parameter
                ]
    assert unlike == []
    assert {rpc for rpc, _ in fake.requests} <= {"RecommendStream"}  # a batch is looked at when it is sent


def refusal(client: Client, name: str, given: dict[str, Any]) -> InputError | None:
    try:
        answer = getattr(client, name)(**given)
        if inspect.isgenerator(answer):
            list(answer)
    except InputError as error:
        return error
    return None


async def refusal_async(client: AsyncClient, name: str, given: dict[str, Any]) -> InputError | None:
    try:
        answer = getattr(client, name)(**given)
        if inspect.isasyncgen(answer):
            [part async for part in answer]
        else:
            await answer
    except InputError as error:
        return error
    return None


def test_what_is_plain_works_and_is_sent_as_meant(fake):
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    with Client(fake.address) as client:
        client.recommend(12352, history=[22423, np.int64(5), np.str_("a")], k=np.int64(3), request_time_ms=moment)
        client.recommend(12352.0, exclude=np.array([1, 2]), allow=("x",), any_categories={"tea"}, drop_seen=np.False_)
        client.record_event(7, 8, time_ms=moment, quantity=np.float32(2))
        (answer,) = client.recommend_stream(iter([iter([7, UserRow(8, (9,))])]), k=1)
    first, second = (request for rpc, request in fake.requests if rpc == "Recommend")
    assert (first.user_id, list(first.history.item_ids), first.k) == ("12352", ["22423", "5", "a"], 3)
    assert first.request_time_ms == 1_577_836_800_000
    assert (second.user_id, list(second.filter.exclude_item_ids), second.drop_seen) == ("12352", ["1", "2"], False)
    assert (fake.events[0].user_id, fake.events[0].item_id, fake.events[0].quantity) == ("7", "8", 2.0)
    assert [row.user_id for row in answer.rows] == ["7", "8"]


def test_none_is_the_default_timeout_and_infinity_no_limit(fake):
    assert check_seconds(None, 5.0) == 5.0
    assert check_seconds(np.float64(2), 5.0) == 2.0
    assert check_seconds(1e300, 5.0) == check_seconds(math.inf, 5.0) == math.inf
    assert Deadline(math.inf).timeout is None
    assert 4 < (Deadline(5).timeout or 0) <= 5
    with Client(fake.address, timeout=math.inf) as client:
        assert client.recommend("u").item_ids == ("i-u",)
        assert client.recommend("u", timeout=None).item_ids == ("i-u",)
        assert len(list(client.recommend_stream([["u"]], timeout=math.inf))) == 1


def test_what_a_client_is_made_of_is_checked():
    for kind in (Client, AsyncClient):
        for wrong, field in (
            ({"timeout": "5"}, "timeout"),
            ({"retry": 3}, "retry"),
            ({"credentials": "x"}, "credentials"),
        ):
            with pytest.raises(InputError) as caught:
                kind("127.0.0.1:1", **wrong)
            assert caught.value.field == field
    for wrong in ({"attempts": 0}, {"attempts": 1.5}, {"initial_delay": -1.0}, {"maximum_delay": math.nan}):
        with pytest.raises(InputError, match=f"{next(iter(wrong))} is "):
            RetryPolicy(**wrong)


def test_the_client_receives_what_a_server_may_send():
    assert MAX_RECEIVED_BYTES >= grpcio._MAX_SENT_BYTES
