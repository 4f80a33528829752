"""Listens for the web: binds the port, serves it on the server's event loop, and stops without a failed call."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import uvicorn

from honeyguide.server.access.roles import is_carried
from honeyguide.server.settings import Settings
from honeyguide.server.transport.ports import port_taken
from honeyguide.server.transport.services import Services
from honeyguide.server.web.application import Receiving, make_application
from honeyguide.server.web.connections import Names, WebConnection
from honeyguide.server.web.endpoints import Endpoints

__all__ = ["WebDoor"]

_IDLE_SECONDS = 60
"""How long a connection may be idle between two requests."""
_MOST_CONNECTIONS = 2048
"""Connections; what comes above them is told 503."""
_BACKLOG = 1024
_LAST_SECONDS = 0.1
"""How long calls are still taken once the server stops, and then how long they are refused; as on gRPC."""


class WebDoor:
    """Server of JSON, Connect and gRPC-Web on one port."""

    def __init__(self, services: Services, settings: Settings, tls: Callable[[], ssl.SSLContext] | None) -> None:
        """Binds the port; must be called on the event loop.

        Args:
            services: what it answers.
            settings: the address, and whose pages may call.
            tls: makes what it speaks TLS with; None: it speaks none.

        Raises `ConfigError` where the port cannot be had, or the certificate cannot be read.
        """
        self._settings = settings
        self._tls = None if tls is None else tls()
        self._executor = ThreadPoolExecutor(1, "honeyguide-json")
        self._names: Names = {}
        self._endpoints = Endpoints(services, self._names, self._executor)
        self._receiving = Receiving()
        self._socket = _bind(settings)
        self.port = int(self._socket.getsockname()[1])
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes calls from now on."""
        settings, names, endpoints = self._settings, self._names, self._endpoints
        methods = await endpoints.make(partial(is_carried, settings=settings, by_admin_port=False))
        protocol: Any = partial(WebConnection, names=names)
        tls = self._tls
        self._server = _Server(
            uvicorn.Config(
                make_application(endpoints, methods, settings.web_origins, self._receiving),
                http=protocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # below, it tells of what strangers send
                access_log=False,
                proxy_headers=False,  # the audit log writes who connected
                server_header=False,
                reset_contextvars=True,
                limit_concurrency=_MOST_CONNECTIONS,
                backlog=_BACKLOG,
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
                ssl_context_factory=None if tls is None else lambda *_: tls,
            )
        )
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:  # no event tells
            if self._serving.done():
                await self._serving
            await asyncio.sleep(0.001)

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the port.

        A call whose request is not all there is none under way: it is refused.
        """
        if self._serving is not None and self._server is not None:
            if grace:
                await asyncio.sleep(min(grace, _LAST_SECONDS))
                self._endpoints.refuse_all()
                self._receiving.stop()
                await asyncio.sleep(min(grace, _LAST_SECONDS))
            self._server.should_exit = True
            await self._serving
            self._serving = None
        self._socket.close()
        self._executor.shutdown(wait=False, cancel_futures=True)


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to the program."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield


def _bind(settings: Settings) -> socket.socket:
    """Takes the port; several processes share it. Raises `ConfigError`."""
    host, port = settings.web_host, settings.web_port
    bound = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if settings.processes > 1:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise port_taken(host, port, error.strerror, "--web-port") from error
    return bound
