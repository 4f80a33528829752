"""Both sides of a line ask and answer at the same time, and learn when the other is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.processes.line import Line, Message


async def double(request: Message) -> Message:
    """Answers after the shorter the later it was asked."""
    await asyncio.sleep(0.02 / (1 + request["number"]))
    if request["number"] < 0:
        raise ValueError("below zero")
    return {"doubled": 2 * request["number"]}


@asynccontextmanager
async def two_ends() -> AsyncIterator[tuple[Line, Line]]:
    one, other = socket.socketpair()
    ends = await Line.open(one.detach(), double), await Line.open(other.detach(), double)
    try:
        yield ends
    finally:
        for end in ends:
            end.close()
            await end.closed()


async def test_each_reply_reaches_its_request_in_any_order() -> None:
    async with two_ends() as ends:
        replies = await asyncio.gather(*(end.ask({"number": number}) for number in range(20) for end in ends))
    assert [reply["doubled"] for reply in replies] == [2 * number for number in range(20) for _ in "ab"]


async def test_an_error_is_told_and_the_line_goes_on() -> None:
    async with two_ends() as (end, _):
        with pytest.raises(Unavailable, match="below zero"):
            await end.ask({"number": -0.5})
        assert await end.ask({"number": 3}) == {"doubled": 6}


async def test_who_waits_learns_that_the_other_is_gone() -> None:
    async with two_ends() as (end, other):
        asking = asyncio.create_task(end.ask({"number": 0}))
        await asyncio.sleep(0)
        other.close()
        with pytest.raises(Unavailable, match="gone"):
            await asking
        await end.closed()
        with pytest.raises(Unavailable, match="gone"):
            await end.ask({"number": 1})
