"""Builds the server out of its parts, starts it, says what it serves, and stops it without a failed call."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
import structlog
from grpc_health.v1.health_pb2 import DESCRIPTOR as HEALTH_FILE
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from honeyguide.sdk import PluginHost
from honeyguide.sdk.errors import ConfigError, NothingServed
from honeyguide.server.api.event_service import EventServicer
from honeyguide.server.api.health import HealthServicer
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.model_service import ModelServicer
from honeyguide.server.api.recommender_service import RecommenderServicer
from honeyguide.server.api.reflection import add_reflection
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import CPU, Runtime
from honeyguide.server.events.sqlite import EventStore
from honeyguide.server.ops.logs import log_plugins
from honeyguide.server.ops.metrics import Metrics, MetricsEndpoint
from honeyguide.server.serving.batching import Queues
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.plan import Plan
from honeyguide.server.settings import Settings
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2
from honeyguide.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from honeyguide.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from honeyguide.v1.recommender_service_pb2_grpc import add_RecommenderServiceServicer_to_server

__all__ = ["Server", "serve"]

_FILES = (
    recommender_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    model_service_pb2.DESCRIPTOR,
    HEALTH_FILE,
)
_MAX_REQUEST_BYTES = 8 << 20
_RECOMMENDER = "honeyguide.v1.RecommenderService"
_ALWAYS = ("honeyguide.v1.EventService", "honeyguide.v1.ModelService")
"""Services that answer although no model is loaded."""


class Server:
    """Is one server: ``async with Server(settings) as server`` starts it and stops it."""

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
        _check_free(settings.host, settings.port)  # before the slow part
        store = EventStore(settings.events)
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
        self._grpc = grpc.aio.server(
            interceptors=[ErrorInterceptor(self.metrics)],
            options=[
                # Else a second server binds the same port in silence and takes half of the calls.
                ("grpc.so_reuseport", 0),
                # gRPC's default of 4 MiB is below a filter and a history of the sizes that the protos allow.
                ("grpc.max_receive_message_length", _MAX_REQUEST_BYTES),
            ],
        )
        self._parts.push_async_callback(self._grpc.stop, None)
        add_RecommenderServiceServicer_to_server(
            RecommenderServicer(self.queues, self.pipelines, self.metrics), self._grpc
        )
        add_EventServiceServicer_to_server(EventServicer(store, self.metrics, reads, self.queues.forget), self._grpc)
        models = ModelServicer(self.repository, self.pipelines, host, self._refresh_health)
        add_ModelServiceServicer_to_server(models, self._grpc)
        add_HealthServicer_to_server(self.health, self._grpc)
        add_reflection(self._grpc, _FILES)
        self.port = self._bind()
        self.metrics_port = -1
        if settings.metrics_port >= 0:
            endpoint = MetricsEndpoint(self.metrics, settings.host, settings.metrics_port)
            self._parts.callback(endpoint.stop)
            self.metrics_port = endpoint.port
        await self._refresh_health()
        await self._grpc.start()

    async def stop(self) -> None:
        """Says NOT_SERVING, refuses new calls, lets those under way finish, then frees everything; twice is once."""
        if self._stopped:
            return
        self._stopped = True
        await self.health.enter_graceful_shutdown()
        await self._grpc.stop(self.settings.drain_seconds)
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
            lines.append(
                f"pipeline {name}{' (default)' * (name == self.pipelines.default)}: "
                f"{' → '.join(plan.stages)} with {_described(plan)} on {_device(plan.bundle.provider)}"
            )
        lines += [
            f"not served: {entry.problem}" for entry in self.repository.entries() if entry.state == BundleState.FAILED
        ]
        lines.append(
            f"gRPC on {self.settings.host}:{self.port}"
            + (f", metrics on http://{self.settings.host}:{self.metrics_port}/metrics" * (self.metrics_port >= 0))
            + f", events in {self.settings.events}, {self.runtime.workers} x {self.runtime.threads} threads"
        )
        return lines

    async def _refresh_health(self) -> None:
        """Tells health what answers: without a model, recommendations do not, and so the server as a whole."""
        ready = HealthCheckResponse.SERVING if self.repository.serving else HealthCheckResponse.NOT_SERVING
        await self.health.set("", ready)
        await self.health.set(_RECOMMENDER, ready)
        for name in _ALWAYS:
            await self.health.set(name, HealthCheckResponse.SERVING)

    def _bind(self) -> int:
        address = f"{_bracketed(self.settings.host)}:{self.settings.port}"
        try:
            return self._grpc.add_insecure_port(address)
        except RuntimeError as error:
            raise ConfigError(_port_taken(self.settings.host, self.settings.port)) from error


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


def _check_free(host: str, port: int) -> None:
    """Raises `ConfigError` where the port is taken; gRPC would write to stderr as well."""
    if port == 0:
        return
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ConfigError(f"{_port_taken(host, port)} ({error.strerror})") from error


def _port_taken(host: str, port: int) -> str:
    return f"cannot listen on {host}, port {port}: stop what listens there, or choose another with --port (0: any free)"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _described(plan: Plan) -> str:
    """Names the bundles that take part, retrieval first."""
    found = []
    for manifest in (part.manifest for part in plan.bundles):
        index = f", index {manifest.index.kind}" if manifest.index else ""
        items = f"{manifest.data.items:,} items"
        found.append(f"{manifest.name}/{manifest.version} ({manifest.model_class}, {items}{index})")
    return " + ".join(found)


def _device(provider: str) -> str:
    return "CPU" if provider == CPU else provider
