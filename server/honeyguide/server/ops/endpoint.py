"""Answers Prometheus over HTTP: one path, few connections, none for long."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from honeyguide.sdk.errors import ConfigError

__all__ = ["MetricsEndpoint"]

_PATH = "/metrics"
_MOST_OPEN = 8
"""Connections, a thread each; a newcomer takes the place of the oldest, so that nobody can keep Prometheus out."""
_IDLE_SECONDS = 5.0
"""How long a connection may say nothing."""


class MetricsEndpoint:
    """HTTP endpoint for Prometheus, on a port and in threads of its own."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        """Starts at once.

        Args:
            registry: what is answered.
            host: address to listen on.
            port: 1–65,535, or 0 for any free one.

        Raises `ConfigError` when the port cannot be had.
        """
        try:
            self._server = _Server(registry, host, port)
        except OSError as error:
            raise ConfigError(
                f"metrics_port is {port}, which cannot be had on {host} ({error.strerror}); "
                "choose another, 0 for any free one, or -1 for none"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="honeyguide-metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stops answering and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._server.close_all()
        self._thread.join()


class _Server(ThreadingMixIn, TCPServer):
    """Server that bounds its connections."""

    allow_reuse_address = daemon_threads = True
    block_on_close = False

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, address = found[0]
        self.registry = registry
        self._open: dict[Any, None] = {}  # in the order of arrival
        self._lock = threading.Lock()
        super().__init__(address[:2], _Handler)  # type: ignore[arg-type]  # mypy does not know the families apart

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            while len(self._open) >= _MOST_OPEN:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _hang_up(oldest)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def close_all(self) -> None:
        with self._lock:
            for each in self._open:
                _hang_up(each)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing of a connection that broke: who scrapes notices, and who does not is nobody."""


def _hang_up(connection: socket.socket) -> None:
    """Ends a connection that another thread reads; that thread closes it."""
    with suppress(OSError):  # it has ended by itself
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request of a connection, then closes it (HTTP/1.0)."""

    server: _Server
    timeout = _IDLE_SECONDS
    server_version, sys_version = "honeyguide", ""

    def do_GET(self) -> None:  # the library's
        self._answer(with_body=True)

    def do_HEAD(self) -> None:  # the library's
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        status, kind, body = HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"metrics are at /metrics\n"
        if self.path.partition("?")[0] == _PATH:
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            status, body = HTTPStatus.OK, encode(self.server.registry)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Logs no request: they come every few seconds."""
