"""Counts, times and logs what becomes of requests, whichever transport brought them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from time import monotonic

import structlog
from prometheus_client import Counter

from honeyguide.sdk.errors import HoneyguideError, InvalidArgument, Malformed, NotFound
from honeyguide.server.api.statuses import to_failures
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import Failure, ServerCall

__all__ = ["Outcomes"]

_MALFORMED_SECONDS = 1.0


class Outcomes:
    """Book of the requests of one server."""

    def __init__(self, metrics: Metrics) -> None:
        self._log = structlog.get_logger("honeyguide.requests")
        self._malformed, self._next_malformed = 0, 0.0
        self._seconds = metrics.request_seconds
        # Looking a metric up by its labels takes longer than counting; methods and reasons are few.
        self._requests = cache(lambda method: metrics.requests.labels(method))
        self._errors = cache(lambda method, reason: metrics.errors.labels(method, reason))

    def begin(self, method: str, count: int = 1) -> None:
        """Notes that requests began."""
        requests: Counter = self._requests(method)
        requests.inc(count)

    def end(self, method: str, seconds: float) -> None:
        """Notes that a request ended, however, and how long it took."""
        self._seconds.observe(method, seconds)

    def refuse(self, method: str, request_id: str, error: Exception) -> Failure:
        """Notes why a request fails; returns what its caller is told."""
        return self._refuse(method, [request_id], error)[0]

    def _refuse(self, method: str, request_ids: Sequence[str], error: Exception) -> list[Failure]:
        log, reason = self._log.bind(), "INTERNAL"
        for request_id in request_ids:
            if isinstance(error, HoneyguideError):
                reason = error.reason
                log.debug("request refused", request_id=request_id, method=method, reason=reason, **_told(error))
            else:
                log.error("request failed", request_id=request_id, method=method, exc_info=error)
        self._errors(method, reason).inc(len(request_ids))
        if isinstance(error, Malformed):
            self._note_malformed(method, request_ids[0], len(request_ids))
        return to_failures(error, request_ids)

    def _note_malformed(self, method: str, request_id: str, count: int) -> None:
        """Logs bytes that are no message, a line a second with how many: a broken client sends thousands."""
        self._malformed += count
        if (now := monotonic()) >= self._next_malformed:
            self._log.warning("bytes that are no message", method=method, request_id=request_id, count=self._malformed)
            self._malformed, self._next_malformed = 0, now + _MALFORMED_SECONDS

    def abandon(self, method: str, reason: str) -> None:
        """Notes a request that ended without an answer of ours."""
        self._errors(method, reason).inc()

    def answer(self, calls: Sequence[ServerCall], payloads: Sequence[bytes]) -> None:
        """Answers calls of one method."""
        now = monotonic()
        # Who is gone was cancelled while it was computed, and counted as that.
        live = [(call, payload) for call, payload in zip(calls, payloads, strict=True) if not call.gone]
        for call, payload in live:
            call.gone = True
            call.respond(payload)
        self._seconds.observe(calls[0].method, *[now - call.arrived for call, _ in live])

    def fail(self, call: ServerCall, error: Exception) -> None:
        """Ends a call with an error, unless it has ended."""
        self.fail_all([call], error)

    def fail_all(self, calls: Sequence[ServerCall], error: Exception) -> None:
        """Ends calls of one method with the same error, those that have not ended."""
        calls = [call for call in calls if not call.gone]
        if not calls:
            return
        method = calls[0].method
        failures = self._refuse(method, [call.request_id for call in calls], error)
        now = monotonic()
        for call, failure in zip(calls, failures, strict=True):
            call.gone = True
            call.fail(failure)
        self._seconds.observe(method, *[now - call.arrived for call in calls])

    def refuse_all(self, calls: Sequence[ServerCall], error: HoneyguideError) -> None:
        """Ends calls that are not computed."""
        methods: dict[str, list[ServerCall]] = {}
        for call in calls:
            methods.setdefault(call.method, []).append(call)
        for method, own in methods.items():
            self.begin(method, len(own))
            self.fail_all(own, error)


def _told(error: HoneyguideError) -> dict[str, str]:
    """Returns what the log may hold of an error: where a message quotes the request, the fields alone."""
    if isinstance(error, InvalidArgument):
        return {"fields": ", ".join(each.field for each in (error, *error.others))}
    if isinstance(error, Malformed):
        return {}
    return {"fields": error.facts["field"]} if isinstance(error, NotFound) else {"message": error.message}
