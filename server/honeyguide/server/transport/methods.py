"""Makes the handlers of all methods, those that the workers answer among them, for what runs on the event loop."""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

import grpc
from google.protobuf.message_factory import GetMessageClass

from honeyguide.oip.v2 import inference_pb2
from honeyguide.sdk.errors import HoneyguideError, Unavailable
from honeyguide.server.api.given_ids import GIVEN_IDS, adopt, returned
from honeyguide.server.api.reading import inflate
from honeyguide.server.api.statuses import to_grpc_status
from honeyguide.server.oip import wire
from honeyguide.server.serving.calls import Failure, ServerCall
from honeyguide.server.serving.workers import STOPPING
from honeyguide.server.transport.services import Services
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

__all__ = ["Methods"]


class Methods:
    """Methods of the services, by path; as gRPC's handlers, for whichever transport calls them with a context."""

    def __init__(self, services: Services) -> None:
        """Takes what is answered; must be made on the event loop."""
        self._services = services
        self._answers = _Answers(asyncio.get_running_loop())
        self._stopping = False

    def refuse(self) -> None:
        """Refuses every call to the workers that comes from now on: the server stops."""
        self._stopping = True

    def handlers(self, carries: Callable[[str], bool]) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Returns the handlers by path, "/package.Service/Method", of those that ``carries`` says yes to."""
        handlers: dict[str, Any] = {}
        services = self._services
        for file, servicer, name in (
            (recommender_service_pb2.DESCRIPTOR, services.streams, ""),
            (event_service_pb2.DESCRIPTOR, services.events, ""),
            (model_service_pb2.DESCRIPTOR, services.models, ""),
            (inference_pb2.DESCRIPTOR, services.inference, wire.SERVICE),
        ):
            (service,) = file.services_by_name.values()
            for method in service.methods:
                if call := getattr(servicer, method.name, None):
                    handlers[f"/{name or service.full_name}/{method.name}"] = _handler(method, call)
        handlers |= {path: grpc.unary_unary_rpc_method_handler(self._method(path)) for path in services.unary}
        return {path: handler for path, handler in handlers.items() if carries(path)}

    def _method(self, path: str) -> Callable[[bytes, grpc.aio.ServicerContext[Any, Any]], Any]:
        services, answers, gate = self._services, self._answers, self._services.gate

        async def method(payload: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
            left = context.time_remaining()
            deadline = math.inf if left is None else monotonic() + left
            metadata, own = context.invocation_metadata() or (), ""
            for pair in metadata:
                if pair[0] in GIVEN_IDS:
                    own = adopt(metadata)
                    break
            call = _Call(own or services.request_ids.new(), deadline, context.peer() or "", path, payload, answers)
            if own:
                call.returned = returned(metadata, own)
            try:
                if self._stopping:
                    raise Unavailable(STOPPING)
                if gate is not None:
                    caller = gate.admit(path, gate.credentials(context))
                    call.limits = caller.limits if caller else None
                call.payload = inflate(payload)
            except HoneyguideError as error:
                services.outcomes.refuse_all([call], error)
            else:
                services.workers.put(call)
            try:
                outcome = await call.future
            except asyncio.CancelledError:  # the client went away, or its deadline passed
                services.workers.withdraw(call)
                services.outcomes.abandon(path, "CANCELLED")
                raise
            if isinstance(outcome, bytes):
                if own:
                    context.set_trailing_metadata(call.returned)
                return outcome
            await context.abort_with_status(to_grpc_status(outcome, call.returned))
            raise AssertionError("abort_with_status raises")

        return method


class _Call(ServerCall):
    """Call whose answer goes back to the event loop."""

    __slots__ = ("_answers", "future")

    def __init__(
        self, request_id: str, deadline: float, caller: str, method: str, payload: bytes, answers: _Answers
    ) -> None:
        super().__init__(request_id, deadline, caller, method, payload)
        self.future: asyncio.Future[bytes | Failure] = answers.loop.create_future()
        self._answers = answers

    def respond(self, payload: bytes) -> None:
        self._answers.put(self.future, payload)

    def fail(self, failure: Failure) -> None:
        self._answers.put(self.future, failure)


class _Answers:
    """Answers on their way to the event loop, which is called once for as many as there are."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ready: deque[tuple[asyncio.Future[bytes | Failure], bytes | Failure]] = deque()
        self._called = False
        self._thread = threading.get_ident()

    def put(self, future: asyncio.Future[bytes | Failure], outcome: bytes | Failure) -> None:
        """Settles a future on its loop; from any thread."""
        if threading.get_ident() == self._thread:  # refused as it came
            future.set_result(outcome)
            return
        self._ready.append((future, outcome))
        if not self._called:
            self._called = True
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._called = False  # before the queue is emptied: what is put from now on calls again
        while self._ready:
            future, outcome = self._ready.popleft()
            if not future.done():
                future.set_result(outcome)


def _handler(method: Any, call: Any) -> grpc.RpcMethodHandler[Any, Any]:
    """Makes the handler of one method of a servicer, as generated code does, but that answers may be bytes already."""
    sides = ("stream" if streams else "unary" for streams in (method.client_streaming, method.server_streaming))
    build = getattr(grpc, f"{'_'.join(sides)}_rpc_method_handler")
    return build(call, GetMessageClass(method.input_type).FromString, _to_bytes)  # type: ignore[no-any-return]


def _to_bytes(answer: Any) -> bytes:
    return answer if isinstance(answer, bytes) else answer.SerializeToString()
