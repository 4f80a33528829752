"""Carries calls out on an asyncio event loop; method by method the twin of `sync.Client`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import grpc

from honeyguide.answers import BatchAnswer, ModelVersion, UserRow
from honeyguide.answers.arguments import Id, Moment
from honeyguide.answers.tables import Listing
from honeyguide.client import calls, item_calls
from honeyguide.client.calls import Call, Pages
from honeyguide.client.channel import (
    DEFAULT_TARGET,
    Deadline,
    channel_options,
    check_client,
    check_seconds,
    described,
    dressed,
    open_channel,
    rpcs,
)
from honeyguide.client.credentials import Tls
from honeyguide.client.errors import CancelledError, ClientStateError, from_rpc
from honeyguide.client.lifetime import Lifetime, refuse_pickling
from honeyguide.client.retry import RetryPolicy
from honeyguide.client.stream import BATCH_SECONDS, Stream, check_window, wrong_batches
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest

__all__ = ["AsyncClient"]

P = ParamSpec("P")
T = TypeVar("T")


def _method(describe: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Makes a coroutine method that carries out the described call."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._lifetime.check()
        return await self._run(described(describe, *args, **kwargs))

    return dressed(method, describe)


def _listing(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, list[T]]]:
    """Makes a coroutine method that gives all the entries of the described pages."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        self._lifetime.check()
        pages = described(describe, *args, **kwargs)
        return Listing(pages.kind, [entry async for entry in self._pages(pages)])

    return dressed(method, describe)


def _iterating(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    """Makes a method that goes through the described pages, each asked for when it is reached."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        self._lifetime.check()
        return self._pages(described(describe, *args, **kwargs))

    return dressed(method, describe)


class AsyncClient:
    """Talks to a Honeyguide server from asyncio; it belongs to the event loop of its first call.

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
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        token: str | None = None,
        tls: Tls | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        insecure: bool = False,
    ) -> None:
        """Opens a channel; nothing is sent yet. The arguments are `Client`'s."""
        checked = check_client(target, timeout, retry, token=token, tls=tls, credentials=credentials, insecure=insecure)
        self.target, self._timeout, self._retry = checked.target, checked.timeout, checked.retry
        self._credentials, self._metadata = checked.credentials, checked.metadata
        self._lifetime = Lifetime("AsyncClient")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: grpc.aio.Channel | None = None
        self._rpcs: dict[str, Any] = {}
        # When a server ends a stream while a message is being sent, grpc.aio 1.81 loses the status and the answers not
        # yet read (`set_internal_error` in its call.py). So streams have a synchronous channel, and a thread each.
        self._stream_channel = open_channel(self.target, self._credentials)

    recommend = _method(calls.recommend)
    rank = _method(calls.rank)
    similar_items = _method(calls.similar_items)
    record = _method(calls.record)
    record_event = _method(calls.record_event)
    events = _iterating(calls.events)
    users = _iterating(calls.users)
    delete_user = _method(calls.delete_user)
    models = _listing(calls.models)
    model = _method(calls.model)
    load_model = _method(calls.load_model)
    unload_model = _method(calls.unload_model)
    pipelines = _listing(calls.pipelines)
    set_traffic = _method(calls.set_traffic)
    plugins = _listing(calls.plugins)
    upsert_items = _method(item_calls.upsert_items)
    delete_items = _method(item_calls.delete_items)
    added_items = _listing(item_calls.added_items)

    def recommend_stream(
        self,
        batches: Iterable[Sequence[UserRow | Id]] | AsyncIterable[Sequence[UserRow | Id]],
        *,
        k: int = 10,
        pipeline: str = "",
        drop_seen: bool | None = None,
        exclude: Iterable[Id] = (),
        allow: Iterable[Id] = (),
        any_categories: Iterable[Id] = (),
        ignore_category_case: bool = False,
        request_time_ms: Moment = 0,
        required_models: Sequence[ModelVersion] = (),
        titles: bool = False,
        window: int = 4,
        timeout: float | None = None,
    ) -> AsyncIterator[BatchAnswer]:
        """Recommends to many users over one stream, as `Client.recommend_stream`; `batches` may be asynchronous."""
        self._lifetime.check()
        options = described(
            calls.stream_options,
            k=k,
            pipeline=pipeline,
            drop_seen=drop_seen,
            exclude=exclude,
            allow=allow,
            any_categories=any_categories,
            ignore_category_case=ignore_category_case,
            request_time_ms=request_time_ms,
            required_models=required_models,
            titles=titles,
        )
        if isinstance(batches, str) or not isinstance(batches, Iterable | AsyncIterable):
            raise wrong_batches(batches)
        return self._stream(batches, options, check_window(window), check_seconds(timeout, BATCH_SECONDS))

    async def _stream(
        self,
        batches: Iterable[Sequence[UserRow | Id]] | AsyncIterable[Sequence[UserRow | Id]],
        options: RecommendStreamRequest,
        window: int,
        seconds: float,
    ) -> AsyncIterator[BatchAnswer]:
        self._connected()  # a stream belongs to the event loop, too
        with self._lifetime.opening:
            self._lifetime.check()
            rpc = rpcs(self._stream_channel, self._metadata)["RecommendStream"]
            stream = Stream(rpc, options, window, seconds, self.target)
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
        except CancelledError as error:
            raise self._lifetime.explained(error) from error
        finally:
            stream.close()
            thread.shutdown(wait=False)

    async def close(self) -> None:
        """Closes the channels; calls under way are cancelled, and later ones raise ClientStateError. Twice is once."""
        self._lifetime.close(self._stream_channel)
        channel, self._channel = self._channel, None
        # In another loop there is nothing to wait for: the channel's calls ended with the loop that it belongs to.
        if channel is not None and self._loop is asyncio.get_running_loop() and not self._lifetime.forked:
            await channel.close()

    async def __aenter__(self) -> AsyncClient:
        self._lifetime.check()
        return self

    def __reduce__(self) -> NoReturn:
        refuse_pickling("AsyncClient")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, call: Call[T]) -> T:
        """Carries a call out, again where that is safe and may help, within its deadline."""
        deadline = Deadline(check_seconds(call.timeout, self._timeout))
        for attempt in count(1):
            rpc = self._connected()[call.rpc]
            try:
                response = await rpc(call.request, timeout=deadline.timeout)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc(error, self.target)
                again = call.safe and not self._lifetime.closed
                delay = self._retry.delay(failure, attempt, deadline.remaining) if again else None
                if delay is None:
                    raise self._lifetime.explained(failure) from error
            except asyncio.CancelledError as error:
                # gRPC says so, too, of a call whose channel was closed; then nobody cancelled this task.
                if self._lifetime.closed and not _cancelled():
                    raise CancelledError("the client was closed while the call was under way") from error
                raise
            else:
                return call.read(response)
            await asyncio.sleep(delay)
        raise AssertionError("count never ends")

    def _connected(self) -> dict[str, Any]:
        """Gives the rpcs, over a channel of the running loop; raises ClientStateError where there can be none."""
        self._lifetime.check()
        loop = asyncio.get_running_loop()
        if self._loop is None:
            options = channel_options(self.target)
            self._channel = (
                grpc.aio.secure_channel(self.target, self._credentials, options)
                if self._credentials
                else grpc.aio.insecure_channel(self.target, options)
            )
            self._loop, self._rpcs = loop, rpcs(self._channel, self._metadata)
        if loop is not self._loop:
            raise ClientStateError(
                "this AsyncClient belongs to another event loop, that of its first call",
                reason="OTHER_EVENT_LOOP",
                remedy="make an AsyncClient in each event loop: within the coroutine that asyncio.run is given",
            )
        return self._rpcs

    async def _pages(self, pages: Pages[T]) -> AsyncIterator[T]:
        """Goes through all pages."""
        token = ""
        while True:
            entries, token = await self._run(pages.page(token))
            for entry in entries:
                yield entry
            if not token:
                return


def _cancelled() -> bool:
    """Says whether somebody cancelled the running task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _each(batches: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Goes through either kind of iterable."""
    if isinstance(batches, AsyncIterable):
        async for batch in batches:
            yield batch
    else:
        for batch in batches:
            yield batch
