"""Shows a web call to the methods as they know calls: with what they use of gRPC's context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from connectrpc.request import RequestContext

from honeyguide.server.api.statuses import GrpcStatus
from honeyguide.server.serving.calls import Failure
from honeyguide.server.web.statuses import retry_after, to_connect_error

__all__ = ["WebContext"]

_DETAILS = "grpc-status-details-bin"


class WebContext:
    """Context of one call, in the place of gRPC's."""

    def __init__(self, call: RequestContext[Any, Any], names: Mapping[str, Iterable[bytes]]) -> None:
        """Takes the library's context, and the names in the client's certificate as gRPC's auth context has them."""
        self._call, self._names = call, names

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Returns the request's headers."""
        return tuple((key.lower(), value) for key, value in self._call.request_headers.allitems())

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, str]]) -> None:
        """Answers with headers, which pages read, and with the trailers of the protocol, which its clients read."""
        for key, value in metadata:
            self._call.response_headers[key] = value
            self._call.response_trailers[key] = value

    def time_remaining(self) -> float | None:
        """Returns the seconds until the caller's deadline; None: there is none."""
        left = self._call.timeout_ms
        return None if left is None else left / 1000

    def peer(self) -> str:
        """Returns the caller's address as gRPC writes it."""
        address = self._call.client_address or ""
        host, _, port = address.rpartition(":")
        return f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{address}"

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Returns the names in the client's certificate, which TLS has checked."""
        return self._names

    async def abort_with_status(self, status: GrpcStatus) -> NoReturn:
        """Ends the call with an error."""
        code, _ = status.code.value
        trailing: dict[str, Any] = dict(status.trailing_metadata)
        failure = Failure(code, status.details, trailing.pop(_DETAILS))
        self.set_trailing_metadata(trailing.items())
        if seconds := retry_after(failure):
            self._call.response_headers["retry-after"] = seconds
        raise to_connect_error(failure)
