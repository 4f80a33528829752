"""Carries unary calls over a front that runs in Rust, outside the interpreter lock, straight to the workers.

The front (the package pygrpc-native) speaks HTTP/2 and gRPC on threads of its own and hands over all calls that wait at
once. What it does not carry, streams, health and rare calls, it passes on to a grpcio server that stands behind it on a
Unix socket in a folder that only this user may enter.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import monotonic

from pygrpc_native import EVENT_CALL, NativeGrpcFront

from honeyguide.sdk.errors import HoneyguideError, Unavailable
from honeyguide.server.access.gate import Gate, credentials_of
from honeyguide.server.api.given_ids import GIVEN_IDS, adopt, returned
from honeyguide.server.serving.calls import Failure, ServerCall
from honeyguide.server.serving.workers import STOPPING, Receive
from honeyguide.server.settings import Settings
from honeyguide.server.transport.grpcio import GrpcioTransport
from honeyguide.server.transport.ports import address_of, port_taken
from honeyguide.server.transport.services import Services

__all__ = ["NativeTransport"]

_MOST_EVENTS = 4096
"""Calls that are received at once."""
_NEVER_MS = 2_147_483_647
_FLUSH_SECONDS = 0.05
"""What the front gets to send the last answers: it closes without a look at what it has not sent."""


class NativeTransport:
    """Front on one port, and a grpcio server behind it; see `Transport`."""

    receive: Receive | None

    def __init__(self, services: Services, settings: Settings) -> None:
        """Binds the port; must be called on the event loop. Raises `ConfigError` where it cannot be had."""
        self._services, self._paths = services, list(services.unary)
        self._calls: dict[int, _Call] = {}  # those under way
        self._stopping = False
        self.receive = self._receive
        self._folder = tempfile.mkdtemp(prefix="honeyguide-")  # for this user alone
        try:
            socket = str(Path(self._folder) / "grpc.sock")
            self._behind = GrpcioTransport(services, settings, socket)
            self._front = NativeGrpcFront(
                address_of(settings.host, settings.port),
                [(path, False) for path in self._paths],
                io_threads=1,
                reuse_port=settings.processes > 1,
                call_details=True,
                keepalive_time_ms=min(round(settings.keepalive_seconds * 1000), _NEVER_MS),
                keepalive_timeout_ms=round(settings.keepalive_timeout_seconds * 1000),
                max_concurrent_streams=settings.max_concurrent_streams,
            )
            self._front.set_fallback(socket)
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise port_taken(settings.host, settings.port) from error
        self.port = 0 if settings.host.startswith("unix:") else self._front.bound_port

    async def start(self) -> None:
        """Takes calls from now on."""
        await self._behind.start()
        self._front.start()

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the port."""
        self._stopping = True
        behind = asyncio.create_task(self._behind.stop(grace))
        until = monotonic() + (grace or 0)
        while self._calls and monotonic() < until:  # noqa: ASYNC110  # threads that end calls know no event loop
            await asyncio.sleep(0.005)
        await behind
        if grace:
            await asyncio.sleep(_FLUSH_SECONDS)
        await asyncio.to_thread(self._front.close)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self) -> Sequence[ServerCall] | None:
        """Waits for calls; None: the front is closed."""
        events = self._front.recv_batch_details(_MOST_EVENTS)
        if events is None:
            return None
        new_id = self._services.request_ids.new
        calls: list[_Call] = []
        gate = self._services.gate
        for kind, number, method, payload, _, details in events:
            if kind == EVENT_CALL and details is not None:
                metadata, peer, left = details
                deadline = math.inf if left is None else monotonic() + left
                own = ""
                for pair in metadata:  # no function is called where none is given
                    if pair[0] in GIVEN_IDS:
                        own = adopt(metadata)
                        break
                call = _Call(own or new_id(), deadline, peer, self._paths[method], payload or b"", self, number)
                if own:
                    call.returned = returned(metadata, own)
                self._calls[number] = call
                if gate is None or self._let_in(gate, call, metadata):
                    calls.append(call)
            elif (gone := self._calls.pop(number, None)) is not None:  # the client left, or its deadline passed
                self._services.workers.withdraw(gone)
                self._services.outcomes.abandon(gone.method, "CANCELLED")
        calls = [call for call in calls if not call.gone]
        if self._stopping:
            error = Unavailable(STOPPING)
            self._services.outcomes.refuse_all(calls, error)
            return ()
        return calls

    def _let_in(self, gate: Gate, call: _Call, metadata: Iterable[tuple[str, str | bytes]]) -> bool:
        """Says whether a call may go on; one that may not is ended."""
        try:
            caller = gate.admit(call.method, credentials_of(metadata))
        except HoneyguideError as error:
            self._services.outcomes.refuse_all([call], error)
            return False
        call.limits = caller.limits if caller else None
        return True

    def respond(self, number: int, payload: bytes, trailers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answers a call under way."""
        self._calls.pop(number, None)
        if trailers:
            self._front.respond(number, payload, None, trailers)
        else:
            self._front.respond(number, payload)

    def fail(self, number: int, failure: Failure, returned: tuple[tuple[str, str], ...] = ()) -> None:
        """Ends a call under way with an error."""
        self._calls.pop(number, None)
        # No grpc-retry-pushback-ms: the front keeps names that begin with grpc- for itself. The details have RetryInfo.
        trailers: list[tuple[str, str | bytes]] = [("grpc-status-details-bin", failure.details), *returned]
        self._front.fail(number, failure.code, failure.message, trailers)


class _Call(ServerCall):
    """Call that the front carries."""

    __slots__ = ("_number", "_transport")

    def __init__(
        self,
        request_id: str,
        deadline: float,
        caller: str,
        method: str,
        payload: bytes,
        transport: NativeTransport,
        number: int,
    ) -> None:
        super().__init__(request_id, deadline, caller, method, payload)
        self._transport, self._number = transport, number

    def respond(self, payload: bytes) -> None:
        self._transport.respond(self._number, payload, self.returned)

    def fail(self, failure: Failure) -> None:
        self._transport.fail(self._number, failure, self.returned)
