"""Carries calls out and waits for the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from types import TracebackType
from typing import Concatenate, NoReturn, ParamSpec, TypeVar

import grpc

from honeyguide.answers import BatchAnswer, ModelVersion, UserRow
from honeyguide.answers.arguments import Id, Moment
from honeyguide.answers.tables import Listing
from honeyguide.client import calls, item_calls
from honeyguide.client.calls import Call, Pages
from honeyguide.client.channel import (
    DEFAULT_TARGET,
    Deadline,
    check_client,
    check_seconds,
    described,
    dressed,
    open_channel,
    rpcs,
)
from honeyguide.client.credentials import Tls
from honeyguide.client.errors import CancelledError, from_rpc
from honeyguide.client.lifetime import Lifetime, refuse_pickling
from honeyguide.client.retry import RetryPolicy
from honeyguide.client.stream import BATCH_SECONDS, Stream, check_window, wrong_batches
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest

__all__ = ["Client"]

P = ParamSpec("P")
T = TypeVar("T")


def _method(describe: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """Makes a method that carries out the described call."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        self._lifetime.check()
        return self._run(described(describe, *args, **kwargs))

    return dressed(method, describe)


def _listing(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[Client, P], list[T]]:
    """Makes a method that gives all the entries of the described pages."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> list[T]:
        self._lifetime.check()
        pages = described(describe, *args, **kwargs)
        return Listing(pages.kind, self._pages(pages))

    return dressed(method, describe)


def _iterating(describe: Callable[P, Pages[T]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """Makes a method that goes through the described pages, each asked for when it is reached."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        self._lifetime.check()
        return self._pages(described(describe, *args, **kwargs))

    return dressed(method, describe)


class Client:
    """Talks to a Honeyguide server; may be shared by threads.

        with Client("127.0.0.1:50051") as client:
            for item in client.recommend("user-7", k=5):
                print(item.item_id, item.title, item.score)

    Every method raises a `HoneyguideClientError`; its parameters and answers stand in `honeyguide.client.calls`. A
    client belongs to the process it was made in: make another after a fork.
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
        """Opens a channel; nothing is sent yet.

        Args:
            target: host:port, [IPv6]:port, or any gRPC target, such as unix:/path or dns:///name:port. An address of
                this machine is never asked for through a proxy.
            timeout: Seconds for a whole call, tries and waits between them included, unless a call says otherwise.
                None: 5; infinity: no limit.
            retry: When to try again; None: the default policy. Calls that are not safe to repeat never are.
            token: Says who calls, where the server asks; None: what the variable HONEYGUIDE_TOKEN holds, "": none.
            tls: The files of TLS; `Tls()`: the public authorities. None: plain text.
            credentials: gRPC's own, in the place of `tls`.
            insecure: Whether a token may go to another machine in plain text.

        Raises InputError where one of them is none.
        """
        checked = check_client(target, timeout, retry, token=token, tls=tls, credentials=credentials, insecure=insecure)
        self.target, self._timeout, self._retry = checked.target, checked.timeout, checked.retry
        self._channel = open_channel(self.target, checked.credentials)
        self._rpcs = rpcs(self._channel, checked.metadata)
        self._lifetime = Lifetime("Client")

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
        batches: Iterable[Sequence[UserRow | Id]],
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
    ) -> Iterator[BatchAnswer]:
        """Recommends to many users over one stream; yields one answer for each batch, in order.

        A batch that breaks a rule fails alone: its answer has an `error` and no rows.

        Args:
            batches: Lists of 1–256 users; users × k is at most 20,000. Read as answers come, in the caller's thread.
            k: How many items for each user.
            pipeline: "": the server's default.
            drop_seen: None: the pipeline's setting.
            exclude: Items never to answer.
            allow: When not empty, only these.
            any_categories: When not empty, only items of one of these.
            ignore_category_case: Whether they are matched without regard to case.
            request_time_ms: The moment the answers are for; 0: the server's clock.
            required_models: When not empty, the versions that must answer; others raise ModelChangedError.
            titles: Whether the answers carry the items' titles.
            window: Batches under way at once, 1 or more.
            timeout: Seconds to wait for the answer to one batch, None: 60, infinity: no limit; the stream as a whole
                has none.

        A failed stream is not tried again: the caller knows which batches were answered.
        """
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
        if isinstance(batches, str) or not isinstance(batches, Iterable):
            raise wrong_batches(batches)
        return self._stream(batches, options, check_window(window), check_seconds(timeout, BATCH_SECONDS))

    def _stream(
        self,
        batches: Iterable[Sequence[UserRow | Id]],
        options: RecommendStreamRequest,
        window: int,
        seconds: float,
    ) -> Iterator[BatchAnswer]:
        with self._lifetime.opening:
            self._lifetime.check()
            stream = Stream(self._rpcs["RecommendStream"], options, window, seconds, self.target)
        try:
            for batch in batches:
                stream.send(batch)
                if stream.full:
                    yield stream.receive()
            stream.finish()
            while stream.waiting:
                yield stream.receive()
        except CancelledError as error:
            raise self._lifetime.explained(error) from error
        finally:
            stream.close()

    def close(self) -> None:
        """Closes the channel; calls under way are cancelled, and later ones raise ClientStateError. Twice is once."""
        self._lifetime.close(self._channel)

    def __enter__(self) -> Client:
        self._lifetime.check()
        return self

    def __reduce__(self) -> NoReturn:
        refuse_pickling("Client")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, call: Call[T]) -> T:
        """Carries a call out, again where that is safe and may help, within its deadline."""
        deadline = Deadline(check_seconds(call.timeout, self._timeout))
        for attempt in count(1):
            self._lifetime.check()
            try:
                response = self._rpcs[call.rpc](call.request, timeout=deadline.timeout)
            except grpc.RpcError as error:
                failure = from_rpc(error, self.target)
                again = call.safe and not self._lifetime.closed
                delay = self._retry.delay(failure, attempt, deadline.remaining) if again else None
                if delay is None:
                    raise self._lifetime.explained(failure) from error
            except ValueError:  # another thread closed the channel since the check
                self._lifetime.check()
                raise
            else:
                return call.read(response)
            time.sleep(delay)
        raise AssertionError("count never ends")

    def _pages(self, pages: Pages[T]) -> Iterator[T]:
        """Goes through all pages."""
        token = ""
        while True:
            entries, token = self._run(pages.page(token))
            yield from entries
            if not token:
                return
