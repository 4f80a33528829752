"""Carries calls out on an asyncio event loop; method by method the twin of `sync.Client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import grpc

from honeyguide.answers import BatchAnswer, ModelVersion, UserRow
from honeyguide.client import calls
from honeyguide.client.calls import Call, Pages
from honeyguide.client.channel import DEFAULT_TARGET, OPTIONS, Deadline, described, dressed, open_channel, rpcs
from honeyguide.client.errors import from_rpc
from honeyguide.client.retry import RetryPolicy
from honeyguide.client.stream import Stream

__all__ = ["AsyncClient"]

P = ParamSpec("P")
T = TypeVar("T")


def _method(describe: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Makes a coroutine method that carries out the described call."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(described(describe, *args, **kwargs))

    return dressed(method, describe)


def _listing(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, list[T]]]:
    """Makes a coroutine method that gives all the entries of the described pages."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        return [entry async for entry in self._pages(describe(*args, **kwargs))]

    return dressed(method, describe)


def _iterating(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    """Makes a method that goes through the described pages, each asked for when it is reached."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._pages(describe(*args, **kwargs))

    return dressed(method, describe)


class AsyncClient:
    """Talks to a Honeyguide server from asyncio; make it where the event loop runs.

        async with AsyncClient("127.0.0.1:50051") as client:
            for item in await client.recommend("user-7", k=5):
                print(item.item_id, item.title, item.score)
            async for event in client.events("user-7"):
                print(event.item_id)

    Methods, parameters, answers and errors are `Client`'s.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        timeout: float = 5.0,
        retry: RetryPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        """Opens a channel; nothing is sent yet. The arguments are `Client`'s."""
        self.target = target
        self._timeout = timeout
        self._retry = retry or RetryPolicy()
        self._channel = (
            grpc.aio.secure_channel(target, credentials, OPTIONS)
            if credentials
            else grpc.aio.insecure_channel(target, OPTIONS)
        )
        self._rpcs = rpcs(self._channel)
        self._closed = False
        # When a server ends a stream while a message is being sent, grpc.aio 1.81 loses the status and the answers not
        # yet read (`set_internal_error` in its call.py). So streams have a synchronous channel, and a thread each.
        self._stream_channel = open_channel(target, credentials)

    recommend = _method(calls.recommend)
    rank = _method(calls.rank)
    similar_items = _method(calls.similar_items)
    record = _method(calls.record)
    record_event = _method(calls.record_event)
    events = _iterating(calls.events)
    delete_user = _method(calls.delete_user)
    models = _listing(calls.models)
    model = _method(calls.model)
    load_model = _method(calls.load_model)
    unload_model = _method(calls.unload_model)
    pipelines = _listing(calls.pipelines)
    plugins = _listing(calls.plugins)

    async def recommend_stream(
        self,
        batches: Iterable[Sequence[UserRow | str]] | AsyncIterable[Sequence[UserRow | str]],
        *,
        k: int = 10,
        pipeline: str = "",
        drop_seen: bool | None = None,
        exclude: Iterable[str] = (),
        allow: Iterable[str] = (),
        any_categories: Iterable[str] = (),
        request_time_ms: int = 0,
        required_models: Sequence[ModelVersion] = (),
        titles: bool = False,
        window: int = 4,
        timeout: float = 60.0,  # noqa: ASYNC109  # seconds for one batch; asyncio.timeout would bound the whole stream
    ) -> AsyncIterator[BatchAnswer]:
        """Recommends to many users over one stream, as `Client.recommend_stream`; `batches` may be asynchronous."""
        options = calls.stream_options(
            k=k,
            pipeline=pipeline,
            drop_seen=drop_seen,
            exclude=exclude,
            allow=allow,
            any_categories=any_categories,
            request_time_ms=request_time_ms,
            required_models=required_models,
            titles=titles,
        )
        rpc = rpcs(self._stream_channel)["RecommendStream"]
        stream = Stream(rpc, options, window=window, timeout=timeout, target=self.target)
        thread = ThreadPoolExecutor(1, "honeyguide-stream")
        receive = partial(asyncio.get_running_loop().run_in_executor, thread, stream.receive)
        try:
            async for batch in _each(batches):
                stream.send(batch)
                if stream.full:
                    yield await receive()
            stream.finish()
            while stream.waiting:
                yield await receive()
        finally:
            stream.close()
            thread.shutdown(wait=False)

    async def close(self) -> None:
        """Closes the channel; calls under way are cancelled."""
        self._closed = True
        self._stream_channel.close()
        await self._channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, call: Call[T]) -> T:
        """Carries a call out, again where that is safe and may help, within its deadline."""
        deadline = Deadline(self._timeout if call.timeout is None else call.timeout)
        for attempt in count(1):
            try:
                return call.read(await self._rpcs[call.rpc](call.request, timeout=deadline.remaining))
            except grpc.aio.AioRpcError as error:
                failure = from_rpc(error, self.target)
                again = call.safe and not self._closed
                delay = self._retry.delay(failure, attempt, deadline.remaining) if again else None
                if delay is None:
                    raise failure from error
            await asyncio.sleep(delay)
        raise AssertionError("count never ends")

    async def _pages(self, pages: Pages[T]) -> AsyncIterator[T]:
        """Goes through all pages."""
        token = ""
        while True:
            entries, token = await self._run(pages.page(token))
            for entry in entries:
                yield entry
            if not token:
                return


async def _each(batches: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Goes through either kind of iterable."""
    if isinstance(batches, AsyncIterable):
        async for batch in batches:
            yield batch
    else:
        for batch in batches:
            yield batch
