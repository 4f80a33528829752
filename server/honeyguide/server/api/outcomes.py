"""Counts, times and logs what becomes of requests, whichever transport brought them."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

import structlog
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # Google ships no stubs

from honeyguide.sdk.errors import HoneyguideError
from honeyguide.server.api.statuses import to_status
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import ServerCall

__all__ = ["Outcomes"]


class Outcomes:
    """Book of the requests of one server."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log = structlog.get_logger("honeyguide.requests")

    def begin(self, method: str, count: int = 1) -> None:
        """Notes that requests began."""
        self._metrics.requests.labels(method).inc(count)

    def end(self, method: str, seconds: float) -> None:
        """Notes that a request ended, however, and how long it took."""
        self._metrics.request_seconds.labels(method).observe(seconds)

    def refuse(self, method: str, request_id: str, error: Exception) -> Status:
        """Notes why a request fails; returns what its caller is told."""
        reason = error.reason if isinstance(error, HoneyguideError) else "INTERNAL"
        self._metrics.errors.labels(method, reason).inc()
        log = self._log.bind(request_id=request_id, method=method)
        if reason == "INTERNAL":
            log.error("request failed", exc_info=error)
        else:
            log.debug("request refused", reason=reason, message=str(error))
        return to_status(error, request_id)

    def abandon(self, method: str, reason: str) -> None:
        """Notes a request that ended without an answer of ours."""
        self._metrics.errors.labels(method, reason).inc()

    def answer(self, calls: Sequence[ServerCall], payloads: Sequence[bytes]) -> None:
        """Answers calls of one method."""
        method = calls[0].method
        seconds = self._metrics.request_seconds.labels(method)
        for call, payload in zip(calls, payloads, strict=True):
            call.gone = True
            call.respond(payload)
        now = monotonic()
        for call in calls:
            seconds.observe(now - call.arrived)

    def fail(self, call: ServerCall, error: Exception) -> None:
        """Ends a call with an error, unless it has ended."""
        if call.gone:
            return
        call.gone = True
        call.fail(self.refuse(call.method, call.request_id, error))
        self.end(call.method, monotonic() - call.arrived)
