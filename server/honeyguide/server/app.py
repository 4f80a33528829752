"""Builds the server out of its parts, starts it, says what it serves, and stops it without a failed call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType

import structlog
from grpc_health.v1.health_pb2 import HealthCheckResponse

from honeyguide.sdk.host import PluginHost
from honeyguide.server.access.certificates import server_credentials
from honeyguide.server.access.gate import Gate
from honeyguide.server.access.reach import check_reach
from honeyguide.server.api.auditing import Auditor
from honeyguide.server.api.event_service import EventRecorder, EventServicer
from honeyguide.server.api.health import HealthServicer
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.model_service import ModelServicer
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.peers import Alone, Change, Peers
from honeyguide.server.api.recommender_service import RecommenderServicer
from honeyguide.server.api.store_watch import watch_store
from honeyguide.server.api.stream_batch import StreamTools
from honeyguide.server.api.unary import UnaryMethods
from honeyguide.server.api.writing import AnswerWriter
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.bundles.trust import Trust
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.cold_items.store import ColdItemStore
from honeyguide.server.doors import Doors
from honeyguide.server.events.opening import open_store
from honeyguide.server.exposure.opening import open_exposures
from honeyguide.server.oip.assembly import make_inference
from honeyguide.server.oip.wire import SERVICE
from honeyguide.server.ops.audit import AuditLog
from honeyguide.server.ops.logs import log_plugins
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.ops.pseudonyms import Pseudonyms
from honeyguide.server.ops.signals import stop_on_signals
from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.shadows import Shadows
from honeyguide.server.serving.workers import Workers
from honeyguide.server.settings import Settings
from honeyguide.server.summary import summarise
from honeyguide.server.transport.choice import choose_transport
from honeyguide.server.transport.ports import check_free
from honeyguide.server.transport.services import Services

__all__ = ["Server", "serve"]

_RECOMMENDER = "honeyguide.v1.RecommenderService"
_MODELS = "honeyguide.v1.ModelService"
"""Answers although no model is loaded."""


class Server:
    """Server of one repository: ``async with Server(settings) as server`` starts it and stops it."""

    def __init__(self, settings: Settings, host: PluginHost | None = None, peers: Peers | None = None) -> None:
        """Starts nothing yet.

        Args:
            settings: what an operator set.
            host: the plugins; None: all that are installed.
            peers: other processes on the same port; None: there are none.
        """
        self.settings = settings
        self._host = host
        self._peers = Alone() if peers is None else peers
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
        cold_items = self._cold_items = ColdItems(ColdItemStore(settings.cold_items), settings.max_cold_items)
        self.repository = Repository(
            settings.repository,
            host,
            self.runtime,
            self.metrics.serving,
            settings.state_cache_users,
            Trust(settings.trusted_keys, settings.require_signature),
            cold_items.add,
        )
        # Before the slow part.
        if settings.processes == 1:  # several share it
            check_free(settings.host, settings.port)
        self._choice = choose_transport(settings)
        for line in check_reach(settings):
            structlog.get_logger("honeyguide.access").warning(line)
        tls = None
        if settings.tls_certificate or settings.tls_key:
            tls = partial(server_credentials, settings, self.metrics)
            tls()  # says what is wrong with the files
        gate = Gate.of(settings, self.metrics)
        store = open_store(settings)
        self._parts.callback(store.close)
        await asyncio.to_thread(cold_items.refresh)
        await asyncio.to_thread(self.repository.load_newest)

        reads = ThreadPoolExecutor(2, "honeyguide-read")
        self._parts.callback(reads.shutdown)
        self.pipelines = Pipelines(settings, host, self.repository, store, self.metrics, settings.traffic, cold_items)
        shadows = Shadows(self.metrics, lambda: self.workers.waiting > 0, self.runtime.prepare_thread)
        self._parts.callback(shadows.close)
        outcomes, writer, request_ids = Outcomes(self.metrics), AnswerWriter(), RequestIds()
        recorder = EventRecorder(store, self.metrics)
        exposures = open_exposures(settings, self.metrics)
        if exposures is not None:
            self._parts.callback(exposures.close)
        unary = UnaryMethods(self.pipelines, recorder, self.metrics, outcomes, writer, exposures, shadows)
        self.workers = Workers(
            unary.answer,
            outcomes.refuse_all,
            threads=self.runtime.workers,
            max_batch_rows=settings.max_batch_rows,
            max_queue_rows=settings.max_queue_rows,
            max_queue_seconds=settings.max_queue_seconds,
            prepare=self.runtime.prepare_thread,
        )
        self.metrics.queue_rows.set_function(lambda: self.workers.waiting)  # as it is when somebody looks

        async def forget(user_id: str) -> None:
            change = {"forget": user_id}
            await self.apply(change)
            await self._peers.tell(change)
            if exposures is not None:
                await asyncio.to_thread(exposures.erase, user_id)

        self.health = HealthServicer()
        tools = StreamTools(self.workers, self.pipelines, self.metrics, writer, request_ids)
        models = ModelServicer(self.repository, self.pipelines, host, self._refresh_health, self._peers, cold_items)
        inference = make_inference(
            settings,
            self.pipelines,
            self.repository,
            self.metrics,
            self.workers,
            unary,
            outcomes,
            request_ids,
            models,
            exposures,
            shadows,
        )
        services = self._services = Services(
            unary=unary.paths,
            workers=self.workers,
            request_ids=request_ids,
            outcomes=outcomes,
            # Half of the queue at most, so that single calls always find room beside the streams.
            streams=RecommenderServicer(tools, max(1, settings.max_queue_rows // 512), settings.max_open_streams),
            events=EventServicer(store, reads, forget),
            models=models,
            inference=inference,
            health=self.health,
            gate=gate,
            tls=tls,
            intercept=partial(ErrorInterceptor, outcomes, request_ids, unary.paths, gate, self._open_audit()),
        )
        self._doors = Doors(services, settings, self._choice, self.metrics)
        self.workers.start(self._doors.receive)
        self._parts.callback(self.workers.close)
        self._parts.callback(self._doors.close)
        self._parts.push_async_callback(self._doors.stop, None)
        self.port, self.admin_port = self._doors.port, self._doors.admin_port
        self.web_port, self.metrics_port = self._doors.web_port, self._doors.metrics_port
        await self._refresh_health()
        watch = asyncio.create_task(watch_store(store, self.health, self.metrics))
        self._parts.callback(watch.cancel)
        gc.collect()
        gc.freeze()  # what was loaded stays: the collector need not look at it again and again
        await self._peers.join()
        await self._doors.start()

    async def stop(self) -> None:
        """Says NOT_SERVING, refuses new calls, lets those under way finish, then frees everything; twice is once."""
        if self._stopped:
            return
        self._stopped = True
        await self.health.enter_graceful_shutdown()
        await self._doors.stop(self.settings.drain_seconds)
        await self._parts.aclose()

    def _open_audit(self) -> Auditor | None:
        """Opens the log of what is changed and erased, where there is to be one."""
        settings = self.settings
        key = settings.log_key
        pseudonyms = Pseudonyms.until_restart() if key is None else Pseudonyms.from_file("log_key", key)
        if settings.audit_log is None:
            return None
        log = AuditLog(settings.audit_log)
        self._parts.callback(log.close)
        return Auditor(log, pseudonyms)

    async def apply(self, change: Change) -> None:
        """Does what another process did; raises as it would have there."""
        match change:
            case {"load": str(name), "version": int(version), "digest": str(digest)}:
                await asyncio.to_thread(self.repository.load, name, version, digest)
            case {"unload": str(name)}:
                await asyncio.to_thread(self.repository.unload, name)
            case {"items": _}:
                await asyncio.to_thread(self._cold_items.refresh)
                return
            case {"traffic": str(state)}:
                self.pipelines.traffic.apply(state)
                return
            case {"forget": str(user_id)}:
                # Behind what is computed now: it may have read the events before they went, and keep what they came to.
                await asyncio.to_thread(self.workers.finish_begun)
                self.pipelines.forget(user_id)
                return
        await self._refresh_health()

    def summary(self) -> list[str]:
        """Says in a few lines what is served, where, and by which provider."""
        return summarise(self.settings, self.repository, self.pipelines, self.runtime, self._choice, self._doors)

    async def _refresh_health(self) -> None:
        """Tells health what answers: without a model, recommendations do not, and so the server as a whole."""
        ready = HealthCheckResponse.SERVING if self.repository.serving else HealthCheckResponse.NOT_SERVING
        await self.health.set("", ready)
        await self.health.set(_RECOMMENDER, ready)
        await self.health.set(SERVICE, ready)
        await self.health.set(_MODELS, HealthCheckResponse.SERVING)


async def serve(settings: Settings, say: Callable[[str], None], host: PluginHost | None = None) -> None:
    """Serves until SIGTERM or SIGINT, a second one ends at once; ``say`` is given each line of the summary."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with Server(settings, host) as server:
        for line in server.summary():
            say(line)
        await stop.wait()
        structlog.get_logger("honeyguide.server").info("stopping", drain_seconds=settings.drain_seconds)
