"""Speaks HTTP/1.1 with one client: uvicorn's protocol, with an end to those who say nothing, and with TLS's names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["Names", "WebConnection"]

Names = dict[str, Mapping[str, list[bytes]]]
"""Names in the certificates of connected clients by their address, as gRPC's auth context has them."""

HEADER_SECONDS = 10.0
"""How long the headers of a request may take from the connection's beginning, or from their own first byte."""


class WebConnection(H11Protocol):
    """WebConnection of one client."""

    def __init__(self, *args: Any, names: Names, **kwargs: Any) -> None:
        """Takes what uvicorn's protocol does, and where the names in the client's certificate go."""
        super().__init__(*args, **kwargs)
        self._names = names
        self._address = ""
        self._headers: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Waits for headers, and notes who it is where TLS has checked that."""
        super().connection_made(transport)
        if self.client is not None and (tls := transport.get_extra_info("ssl_object")) is not None:
            self._address = f"{self.client[0]}:{self.client[1]}"
            self._names[self._address] = names_in(tls.getpeercert() or {})
        self._headers = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def data_received(self, data: bytes) -> None:
        """Reads; what are not yet whole headers must become so in time."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._headers is None and not self.transport.is_closing():
            self._headers = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the client."""
        self._stop_waiting()
        self._names.pop(self._address, None)
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None

    def _give_up(self) -> None:
        self._headers = None
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            if self.conn.our_state is h11.IDLE:
                self.conn.send(h11.ConnectionClosed())
            self.transport.close()


def names_in(certificate: Mapping[str, Any]) -> Mapping[str, list[bytes]]:
    """Returns the names in a client's certificate, as `ssl` gives it: what `credentials_of` looks at."""
    common = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    # gRPC gives the names of these kinds alone (x509_subject_alternative_name).
    others = [
        value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI", "email", "IP Address")
    ]
    return {
        "x509_common_name": [name.encode(errors="surrogateescape") for name in common],
        "x509_subject_alternative_name": [name.encode(errors="surrogateescape") for name in others],
    }
