"""Opens the ports that the settings name: of calls, of operators, of the web, and of the metrics."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.certificates import server_context
from honeyguide.server.ops.endpoint import MetricsEndpoint
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.workers import Receive
from honeyguide.server.settings import Settings
from honeyguide.server.transport.choice import Choice, make_transport
from honeyguide.server.transport.grpcio import GrpcioTransport
from honeyguide.server.transport.services import Services, Transport

if TYPE_CHECKING:
    from honeyguide.server.web.door import WebDoor

__all__ = ["Doors"]


class Doors:
    """Ports of one server: bound at once, open once they are started."""

    def __init__(self, services: Services, settings: Settings, choice: Choice, metrics: Metrics) -> None:
        """Binds the ports; must be called on the event loop. Raises `ConfigError` where one cannot be had.

        Whoever calls it calls `close` in any case, and `stop` before that once calls may have come.
        """
        self._open: list[Transport | WebDoor] = []
        self._endpoint: MetricsEndpoint | None = None
        self.port, self.admin_port, self.web_port, self.metrics_port = -1, -1, -1, -1
        """The ports, -1: there is none; 0 of ``port``: a Unix socket."""
        self.transport = make_transport(choice, services, settings)
        self._open.append(self.transport)
        self.port = self.transport.port
        if settings.admin_port >= 0:
            admin = GrpcioTransport(services, settings, is_admin=True)
            self._open.append(admin)
            self.admin_port = admin.port
        if settings.web_port >= 0:
            web = _web_door(services, settings, metrics)
            self._open.append(web)
            self.web_port = web.port
        if settings.metrics_port >= 0:
            self._endpoint = MetricsEndpoint(metrics.registry, settings.metrics_host, settings.metrics_port)
            self.metrics_port = self._endpoint.port

    @property
    def receive(self) -> Receive | None:
        """Where a worker waits for calls; None: they are put to the workers."""
        return self.transport.receive

    async def start(self) -> None:
        """Takes calls from now on."""
        for door in self._open:
            await door.start()

    async def stop(self, grace: float | None) -> None:
        """Refuses new calls, gives those under way ``grace`` seconds, None is none, and frees the ports of calls."""
        await asyncio.gather(*(door.stop(grace) for door in self._open))

    def close(self) -> None:
        """Frees the port of the metrics, which tell of a server to its end."""
        if self._endpoint is not None:
            self._endpoint.stop()


def _web_door(services: Services, settings: Settings, metrics: Metrics) -> WebDoor:
    try:
        from honeyguide.server.web.door import WebDoor  # most servers have none
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"web_port is set, for which {error.name} is missing: pip install 'honeyguide[web]'"
        ) from error
    return WebDoor(services, settings, services.tls and partial(server_context, settings, metrics))
