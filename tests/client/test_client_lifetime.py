"""What a client says that is closed, or used where it was not made: `lifetime.py`, seen from every public method."""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest
from client_calls import CALLS

from honeyguide.client import AsyncClient, CancelledError, Client, ClientStateError, HoneyguideClientError, RetryPolicy
from honeyguide.client.lifetime import Lifetime

CLOSED = [(name, args) for name, args, _ in CALLS]


def ask(client: Client, name: str, args: tuple[Any, ...]) -> Any:
    answer = getattr(client, name)(*args)
    return list(answer) if inspect.isgenerator(answer) else answer


async def ask_async(client: AsyncClient, name: str, args: tuple[Any, ...]) -> Any:
    answer = getattr(client, name)(*args)
    return [part async for part in answer] if inspect.isasyncgen(answer) else await answer


@pytest.mark.parametrize(("name", "args"), CLOSED)
async def test_every_method_of_a_closed_client_says_so(fake, name, args):
    client, asynchronous = Client(fake.address), AsyncClient(fake.address)
    if name == "recommend":
        client.recommend("u")
        await asynchronous.recommend("u")
    client.close()
    client.close()
    await asynchronous.close()
    await asynchronous.close()
    before = len(fake.requests)
    with pytest.raises(ClientStateError, match="this Client is closed") as caught:
        ask(client, name, args)
    assert (caught.value.reason, caught.value.remedy) == ("CLIENT_CLOSED", "make a new Client")
    with pytest.raises(ClientStateError, match="this AsyncClient is closed"):
        await ask_async(asynchronous, name, args)
    assert len(fake.requests) == before


async def test_a_closed_client_is_no_context(fake):
    client, asynchronous = Client(fake.address), AsyncClient(fake.address)
    client.close()
    await asynchronous.close()
    with pytest.raises(ClientStateError):
        client.__enter__()
    with pytest.raises(ClientStateError):
        await asynchronous.__aenter__()


async def test_iterators_made_before_the_close_end_in_the_typed_error(fake):
    client, asynchronous = Client(fake.address), AsyncClient(fake.address)
    made = [client.events("u"), client.users(), client.recommend_stream([["u"]])]
    made_async = [asynchronous.events("u"), asynchronous.users(), asynchronous.recommend_stream([["u"]])]
    client.close()
    await asynchronous.close()
    for iterator in made:
        with pytest.raises(ClientStateError):
            next(iterator)
    for iterator in made_async:
        with pytest.raises(ClientStateError):
            await anext(iterator)


@pytest.mark.parametrize(("window", "waits"), [(1, False), (2, True)])
async def test_a_stream_that_is_open_when_the_client_closes_is_cancelled(fake, window, waits):
    if waits:
        fake.before_batch = lambda number, _context: number and fake.slow.wait(5)
    batches = [["a"], ["b"], ["c"], ["d"]]
    client, asynchronous = Client(fake.address), AsyncClient(fake.address)
    answers, answers_async = (c.recommend_stream(batches, window=window) for c in (client, asynchronous))
    assert next(answers).sequence == 0
    client.close()
    with pytest.raises(CancelledError):
        list(answers)
    fake.batches = 0
    assert (await anext(answers_async)).sequence == 0
    await asynchronous.close()
    with pytest.raises(CancelledError):
        [answer async for answer in answers_async]


async def test_a_call_under_way_when_the_client_closes_is_cancelled(fake):
    client = AsyncClient(fake.address, timeout=30, retry=RetryPolicy(initial_delay=0.001))
    task = asyncio.create_task(client.recommend("slow"))
    await asyncio.to_thread(fake.came.wait, 5)
    await client.close()
    with pytest.raises(CancelledError, match="closed while the call was under way"):
        await task
    assert not task.cancelled()
    assert fake.count("Recommend") == 1
    client = AsyncClient(fake.address, timeout=30)
    task = asyncio.create_task(client.recommend("slow"))
    await asyncio.sleep(0.1)
    task.cancel()  # somebody's own cancelling stays what it is
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.close()


def test_threads_that_open_streams_while_another_closes_get_typed_errors(fake):
    for _ in range(10):
        client, odd = Client(fake.address), []

        def work(client=client, odd=odd):
            try:
                while True:
                    list(client.recommend_stream([["u"]], k=1))
                    client.recommend("u")
            except HoneyguideClientError:
                pass
            except BaseException as error:
                odd.append(error)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        client.close()
        for thread in threads:
            thread.join(10)
        assert odd == []


def test_a_client_belongs_to_the_loop_of_its_first_call(fake):
    client = AsyncClient(fake.address)  # outside any loop

    async def first() -> None:
        assert (await client.recommend("u")).item_ids == ("i-u",)

    async def second() -> None:
        for name, args, _ in CALLS:
            with pytest.raises(ClientStateError, match="another event loop") as caught:
                await ask_async(client, name, args)
            assert caught.value.reason == "OTHER_EVENT_LOOP"
            assert "asyncio.run" in caught.value.remedy
        await client.close()
        with pytest.raises(ClientStateError, match="is closed"):
            await client.recommend("u")

    asyncio.run(first())
    asyncio.run(second())
    gc.collect()  # a channel that warns when it goes does so here


@pytest.mark.parametrize("send", [pickle.dumps, copy.copy, copy.deepcopy])
async def test_a_client_cannot_be_pickled_or_copied(fake, send):
    with (
        Client(fake.address) as client,
        pytest.raises(ClientStateError, match="this Client cannot be pickled") as caught,
    ):
        send(client)
    assert (caught.value.reason, "its `target` instead" in caught.value.remedy) == ("NOT_PICKLABLE", True)
    async with AsyncClient(fake.address) as asynchronous:
        with pytest.raises(ClientStateError, match="this AsyncClient cannot be pickled"):
            send(asynchronous)


FORK = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")
from honeyguide.client import AsyncClient, Client, ClientStateError
client, asynchronous = Client(sys.argv[1]), AsyncClient(sys.argv[1])
client.recommend("u")
child = os.fork()
if not child:
    said = []
    for ask in (lambda: client.recommend("u"), lambda: client.recommend_stream([["u"]]), lambda: client.models(),
                lambda: asyncio.run(asynchronous.recommend("u"))):
        try:
            ask()
        except ClientStateError as error:
            said.append(error.reason)
    client.close()
    asyncio.run(asynchronous.close())
    os._exit(0 if said == ["CLIENT_FORKED"] * 4 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(client.recommend("u").item_ids)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_is_told_and_the_first_goes_on(fake):
    done = subprocess.run([sys.executable, "-c", FORK, fake.address], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "('i-u',)\n"), done.stderr


def test_a_lifetime_ends_once():
    closed = []

    class Channel:
        def close(self) -> None:
            closed.append(self)

    lifetime, channel = Lifetime("Client"), Channel()
    lifetime.check()
    lifetime.close(channel)
    with pytest.raises(ClientStateError):
        lifetime.check()
    assert closed == [channel]
