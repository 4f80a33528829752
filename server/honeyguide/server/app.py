"""Builds the server out of its parts, starts it, says what it serves, and stops it without a failed call."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import structlog
from grpc_health.v1.health_pb2 import HealthCheckResponse

from honeyguide.sdk.errors import NothingServed
from honeyguide.sdk.host import PluginHost
from honeyguide.server.api.event_service import EventServicer
from honeyguide.server.api.health import HealthServicer
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.model_service import ModelServicer
from honeyguide.server.api.recommender_service import RecommenderServicer
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.ops.banner import describe_addresses, describe_pipeline
from honeyguide.server.ops.logs import log_plugins
from honeyguide.server.ops.metrics import Metrics, MetricsEndpoint
from honeyguide.server.serving.batching import Queues
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.settings import Settings
from honeyguide.server.transport.grpcio import GrpcioTransport
from honeyguide.server.transport.ports import check_free
from honeyguide.server.transport.services import Services, Transport

__all__ = ["Server", "serve"]

_RECOMMENDER = "honeyguide.v1.RecommenderService"
_ALWAYS = ("honeyguide.v1.EventService", "honeyguide.v1.ModelService")
"""Services that answer although no model is loaded."""


class Server:
    """Server of one repository: ``async with Server(settings) as server`` starts it and stops it."""

    def __init__(self, settings: Settings, host: PluginHost | None = None) -> None:
        """Starts nothing yet; ``host``: the plugins, by default all that are installed."""
        self.settings = settings
        self._host = host
        self._parts = contextlib.AsyncExitStack()
        self._stopped = False

    async def __aenter__(self) -> Server:
        try:
            await self._start()
        except BaseException:
            await self._parts.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        """Builds and starts every part; raises `ConfigError` saying what to do where one cannot be had."""
        settings = self.settings
        if self._host is None:
            self._host = await asyncio.to_thread(PluginHost.load, strict=settings.strict_plugins)
        host = self._host
        log_plugins(host)
        self.runtime = Runtime.detect(settings.threads)
        self.metrics = Metrics()
        self.repository = Repository(
            settings.repository, host, self.runtime, self.metrics.serving, settings.state_cache_users
        )
        check_free(settings.host, settings.port)  # before the slow part
        store = SqliteEventStore(settings.events)
        self._parts.callback(store.close)
        await asyncio.to_thread(self.repository.load_newest)

        batches, reads = self.runtime.executor(), ThreadPoolExecutor(2, "honeyguide-read")
        self._parts.callback(batches.shutdown)
        self._parts.callback(reads.shutdown)
        self.pipelines = Pipelines(settings, host, self.repository, store, self.metrics)
        self.queues = Queues(
            self.pipelines, self.metrics, batches, self.runtime.workers, max_queue_rows=settings.max_queue_rows
        )
        self._parts.push_async_callback(self.queues.close)

        self.health = HealthServicer()
        services = Services(
            recommender=RecommenderServicer(self.queues, self.pipelines, self.metrics),
            events=EventServicer(store, self.metrics, reads, self.queues.forget),
            models=ModelServicer(self.repository, self.pipelines, host, self._refresh_health),
            health=self.health,
            interceptors=(ErrorInterceptor(self.metrics),),
        )
        self._transport: Transport = GrpcioTransport(services, settings.host, settings.port)
        self._parts.push_async_callback(self._transport.stop, None)
        self.port = self._transport.port
        self.metrics_port = -1
        if settings.metrics_port >= 0:
            endpoint = MetricsEndpoint(self.metrics, settings.host, settings.metrics_port)
            self._parts.callback(endpoint.stop)
            self.metrics_port = endpoint.port
        await self._refresh_health()
        await self._transport.start()

    async def stop(self) -> None:
        """Says NOT_SERVING, refuses new calls, lets those under way finish, then frees everything; twice is once."""
        if self._stopped:
            return
        self._stopped = True
        await self.health.enter_graceful_shutdown()
        await self._transport.stop(self.settings.drain_seconds)
        await self._parts.aclose()

    def summary(self) -> list[str]:
        """Says in a few lines what is served, where, and by which provider."""
        lines = []
        for pipeline in self.pipelines.all():
            name = pipeline.options.name
            try:
                plan = pipeline.plan()
            except NothingServed:
                lines.append(f"pipeline {name}: model {pipeline.options.model} is not loaded")
                continue
            manifests = [bundle.manifest for bundle in plan.bundles]
            is_default = name == self.pipelines.default
            lines.append(describe_pipeline(name, plan.stages, manifests, plan.bundle.provider, is_default=is_default))
        lines += [
            f"not served: {entry.problem}" for entry in self.repository.entries() if entry.state == BundleState.FAILED
        ]
        lines.append(
            describe_addresses(
                self.settings.host,
                self.port,
                self.metrics_port,
                events=self.settings.events,
                workers=self.runtime.workers,
                threads=self.runtime.threads,
            )
        )
        return lines

    async def _refresh_health(self) -> None:
        """Tells health what answers: without a model, recommendations do not, and so the server as a whole."""
        ready = HealthCheckResponse.SERVING if self.repository.serving else HealthCheckResponse.NOT_SERVING
        await self.health.set("", ready)
        await self.health.set(_RECOMMENDER, ready)
        for name in _ALWAYS:
            await self.health.set(name, HealthCheckResponse.SERVING)


async def serve(settings: Settings, say: Callable[[str], None], host: PluginHost | None = None) -> None:
    """Serves until SIGTERM or SIGINT; ``say`` is given each line of the summary."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # Windows has no handlers on the loop; there Ctrl-C cancels this task, and the server stops all the same.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with Server(settings, host) as server:
        for line in server.summary():
            say(line)
        await stop.wait()
        structlog.get_logger("honeyguide.server").info("stopping", drain_seconds=settings.drain_seconds)
