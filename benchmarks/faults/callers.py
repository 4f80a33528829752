"""What calls a server: stubs over one channel that tries nothing again, and threads that call until they may not."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc

from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub
from honeyguide.v1.model_service_pb2_grpc import ModelServiceStub
from honeyguide.v1.recommender_service_pb2 import RecommendRequest
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub

__all__ = ["Caller", "calling", "code_of", "event", "every_event", "recommend_request"]

_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class Caller:
    """The three services over one connection."""

    def __init__(self, address: str, options: Sequence[tuple[str, object]] = ()) -> None:
        """Opens a channel; nothing is sent yet."""
        self.channel = grpc.insecure_channel(address, [*_OPTIONS, *options])
        self.recommender: Any = RecommenderServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated
        self.events: Any = EventServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated
        self.models: Any = ModelServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def record(self, *events: Event, timeout: float = 5.0) -> str:
        """Records events; returns the code's name."""
        return code_of(lambda: self.events.RecordEvents(RecordEventsRequest(events=events), timeout=timeout))


def code_of(call: Callable[[], object]) -> str:
    """Returns the name of the code that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def event(user: str, item: str, name: str = "", time_ms: int = 0) -> Event:
    """Makes an event; ``name`` makes recording it idempotent."""
    return Event(event_id=name, user_id=user, item_id=item, time_ms=time_ms, event_type="view")


def recommend_request(*items: str, user: str | None = None, k: int = 10, pipeline: str = "near") -> RecommendRequest:
    """Makes a request with a history of its own, for a stored user, or for both."""
    request = RecommendRequest(user_id=user, k=k, pipeline=pipeline)
    if items:
        request.history.item_ids.extend(items)
    return request


def every_event(caller: Caller, user: str) -> list[Event]:
    """Returns all stored events of a user, newest first."""
    from honeyguide.v1.event_service_pb2 import ListEventsRequest

    found: list[Event] = []
    token = ""
    while True:
        request = ListEventsRequest(user_id=user, page_size=1000, page_token=token)
        page = caller.events.ListEvents(request, timeout=30)
        found += page.events
        token = page.next_page_token
        if not token:
            return found


@contextmanager
def calling(count: int, one: Callable[[int, Callable[[], bool]], None]) -> Iterator[None]:
    """Runs ``one(number, going)`` in so many threads while the block lasts; ``going()`` turns false at its end.

    Raises what the first of them raised.
    """
    ended = threading.Event()
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            one(number, lambda: not ended.is_set())
        except BaseException as error:  # a thread's boundary: it is raised where the block ends
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join(60)
    if raised:
        raise raised[0]
