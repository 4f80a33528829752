"""Serves a scripted Honeyguide on a real port: answers that follow from the request, and failures on demand."""

# ruff: noqa: N802  # gRPC calls servicer methods by the rpcs' names

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from honeyguide.v1 import (
    errors_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    history_pb2,
    model_service_pb2,
    model_service_pb2_grpc,
    recommender_service_pb2,
    recommender_service_pb2_grpc,
)

__all__ = ["FakeServer", "closed_port", "fake", "serve"]


def status(code: grpc.StatusCode, reason: str, message: str, *details: Any, **metadata: str) -> Any:
    """Makes a status as the server's interceptor does."""
    rich = status_pb2.Status(code=code.value[0], message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="honeyguide", metadata=metadata), *details):
        packed = AnyMessage()
        packed.Pack(detail)
        rich.details.append(packed)
    return rpc_status.to_status(rich)


class FakeServer(
    recommender_service_pb2_grpc.RecommenderServiceServicer,
    event_service_pb2_grpc.EventServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
):
    """Answers from the request alone; `fail` scripts failures, `requests` remembers what came."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.authorizations: list[str] = []
        self.failures: dict[str, list[Any]] = defaultdict(list)
        self.models = self.placing = [history_pb2.ModelVersion(name="cf", version=1)]
        self.events: list[event_service_pb2.Event] = []
        self.streams = 0
        self.unanswered = 0
        self.most_unanswered = 0
        self.before_batch: Callable[[int, Any], None] = lambda _number, _context: None
        """Called with the running number of the batch, over all streams, before it is answered."""
        self.batches = 0
        self.port = 0
        self.slow = threading.Event()
        self.came = threading.Event()
        self.title = "Honig"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def fail(self, rpc: str, code: grpc.StatusCode, reason: str, message: str, *details: Any, times: int = 1) -> None:
        self.failures[rpc] += [status(code, reason, message, *details)] * times

    def count(self, rpc: str) -> int:
        return sum(name == rpc for name, _ in self.requests)

    def _came(self, rpc: str, request: Any, context: Any) -> None:
        self.requests.append((rpc, request))
        self.authorizations += [value for key, value in context.invocation_metadata() if key == "authorization"]
        self.came.set()
        if self.failures[rpc]:
            context.abort_with_status(self.failures[rpc].pop(0))

    def Recommend(self, request, context):
        self._came("Recommend", request, context)
        if request.user_id == "slow":
            self.slow.wait(5)
        item = recommender_service_pb2.Item(
            item_id=f"i-{request.user_id}", score=0.5, source=1, source_model="cf", title=self.title
        )
        for carrier in ("a", "b"):
            item.because_items.add(item_id=carrier, title=f"Title {carrier}")
        return recommender_service_pb2.RecommendResponse(
            request_id="0" * 32, items=[item], shortfall=request.k - 1, unknown_history_items=2, models=self.models,
            degraded=True, degraded_reasons=[1], user_state=1,
            unknown_categories=[c for c in request.filter.any_categories if c.startswith("no ")],
        )  # fmt: skip

    def Rank(self, request, context):
        self._came("Rank", request, context)
        items = [
            recommender_service_pb2.Item(item_id=i, score=1 / (n + 1), source=3) for n, i in enumerate(request.item_ids)
        ]
        return recommender_service_pb2.RankResponse(
            items=items, unknown_item_ids=["x"], models=self.models, user_state=2
        )

    def SimilarItems(self, request, context):
        self._came("SimilarItems", request, context)
        item = recommender_service_pb2.Item(item_id=f"near-{request.item_id}", score=0.9, source=1)
        return recommender_service_pb2.SimilarItemsResponse(items=[item], shortfall=request.k - 1, model=self.models[0])

    def RecommendStream(self, request_iterator, context):
        options = next(request_iterator)
        self._came("RecommendStream", options, context)
        self.streams += 1
        waiting: list[Any] = []
        lock = threading.Condition()

        def read() -> None:
            try:
                for request in request_iterator:
                    with lock:
                        waiting.append(request.batch)
                        lock.notify()
            except grpc.RpcError:
                pass  # the client went away; the answering side notices by itself
            with lock:
                waiting.append(None)
                lock.notify()

        threading.Thread(target=read, daemon=True).start()
        while True:
            with lock:
                lock.wait_for(lambda: waiting)
                self.most_unanswered = max(self.most_unanswered, sum(b is not None for b in waiting))
                batch = waiting.pop(0)
            if batch is None:
                return
            required = [(m.name, m.version) for m in options.options.required_models]
            if required and required != [(m.name, m.version) for m in self.models]:
                changed = status(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_CHANGED", "the pipeline has cf 2")
                context.abort_with_status(changed)
            self.batches += 1
            self.before_batch(self.batches - 1, context)
            if (answer := self.answer(batch, options.options.k)) is None:
                return  # as a server that breaks the protocol
            yield answer

    def answer(self, batch, k):
        if len(batch.rows) > 256:
            error = errors_pb2.RowError(code=3, reason="ERROR_REASON_INVALID_FIELD", field="batch.rows", message="many")
            return recommender_service_pb2.RecommendStreamResponse(sequence=batch.sequence, error=error)
        rows = [self._row(row, k) for row in batch.rows]
        return recommender_service_pb2.RecommendStreamResponse(
            sequence=batch.sequence, request_id="1" * 32, models=self.models, rows=rows
        )

    @staticmethod
    def _row(row, k):
        if row.HasField("user_id") and (not row.user_id or row.user_id.startswith("bad")):
            error = errors_pb2.RowError(
                code=3, reason="ERROR_REASON_INVALID_FIELD", field="user_id", message=f"{row.user_id!r} is bad"
            )
            return recommender_service_pb2.ResultRow(error=error)
        who = row.user_id or "+".join(row.history.item_ids)
        reasons = ["DEGRADED_REASON_RANK_FAILED"] if who.startswith("poor") else []
        return recommender_service_pb2.ResultRow(
            ranked=recommender_service_pb2.Ranked(
                item_ids=[f"{who}/{n}" for n in range(k)],
                scores=[1 / (n + 1) for n in range(k)],
                sources=[1] * k,
                degraded=bool(reasons),
                degraded_reasons=reasons,
                source_model="cf",
                user_state="USER_STATE_STORED",
                user_id=row.user_id if row.HasField("user_id") else None,
            )
        )

    def RecordEvents(self, request, context):
        self._came("RecordEvents", request, context)
        known = {event.event_id for event in self.events if event.event_id}
        rejected = [
            event_service_pb2.RejectedEvent(
                index=n,
                error=errors_pb2.RowError(
                    code=3, reason="ERROR_REASON_INVALID_FIELD", field="dwell_seconds", message="dwell < 0"
                ),
            )
            for n, event in enumerate(request.events)
            if event.dwell_seconds < 0
        ]
        rejected += [
            event_service_pb2.RejectedEvent(
                index=n, error=errors_pb2.RowError(code=8, reason="ERROR_REASON_RATE_EXCEEDED", message="no more today")
            )
            for n, event in enumerate(request.events)
            if event.item_id == "too-many"
        ]
        bad = {one.index for one in rejected}
        fresh = [event for n, event in enumerate(request.events) if n not in bad and event.event_id not in known]
        self.events += fresh
        duplicates = len(request.events) - len(rejected) - len(fresh)
        return event_service_pb2.RecordEventsResponse(accepted=len(fresh), duplicates=duplicates, rejected=rejected)

    def ListEvents(self, request, context):
        self._came("ListEvents", request, context)
        start = int(request.page_token or 0)
        mine = [event for event in reversed(self.events) if event.user_id == request.user_id]
        stop = start + request.page_size
        token = str(stop) if stop < len(mine) else ""
        return event_service_pb2.ListEventsResponse(
            events=mine[start:stop], next_page_token=token, total_size=len(mine)
        )

    def ListUsers(self, request, context):
        self._came("ListUsers", request, context)
        known = sorted({event.user_id for event in self.events})
        start = int(request.page_token or 0)
        stop = start + request.page_size
        token = str(stop) if stop < len(known) else ""
        return event_service_pb2.ListUsersResponse(user_ids=known[start:stop], next_page_token=token)

    def DeleteUser(self, request, context):
        self._came("DeleteUser", request, context)
        return event_service_pb2.DeleteUserResponse(deleted_events=7)

    def _model(self, version: int) -> model_service_pb2.Model:
        model = model_service_pb2.Model(
            name="cf", version=version, state=2, item_count=3, has_ranker=True, metrics={"ndcg@10": 0.25}
        )
        model.create_time_ms = 1_700_000_000_000
        model.provider, model.precision, model.memory_bytes = "CPUExecutionProvider", "float16", 12_300_000
        model.digest, model.signer, model.load_time_ms = "ab" * 32, "release", 1_800_000_000_000
        return model

    def ListModels(self, request, context):
        self._came("ListModels", request, context)
        if not request.page_token:
            return model_service_pb2.ListModelsResponse(models=[self._model(2)], next_page_token="more")
        return model_service_pb2.ListModelsResponse(models=[self._model(1)])

    def GetModel(self, request, context):
        self._came("GetModel", request, context)
        return model_service_pb2.GetModelResponse(model=self._model(request.version or 2))

    def LoadModel(self, request, context):
        self._came("LoadModel", request, context)
        return model_service_pb2.LoadModelResponse(model=self._model(request.version or 2), previous_version=1)

    def UnloadModel(self, request, context):
        self._came("UnloadModel", request, context)
        return model_service_pb2.UnloadModelResponse(version=2)

    def SetTraffic(self, request, context):
        self._came("SetTraffic", request, context)
        return model_service_pb2.SetTrafficResponse(traffic=request.traffic)

    def UpsertItems(self, request, context):
        self._came("UpsertItems", request, context)
        columns = {name for item in request.items for name in item.numbers} - {"price"}
        failure = model_service_pb2.PlacingFailure(model={"name": "odd", "version": 2}, problem="no encoder")
        return model_service_pb2.UpsertItemsResponse(
            added_count=len(request.items), models=self.placing, unknown_columns=columns, failures=[failure]
        )

    def DeleteItems(self, request, context):
        self._came("DeleteItems", request, context)
        return model_service_pb2.DeleteItemsResponse(deleted_count=1, missing_item_ids=request.item_ids[1:])

    def ListItems(self, request, context):
        self._came("ListItems", request, context)
        return model_service_pb2.ListItemsResponse(items=[model_service_pb2.NewItem(item_id="n", numbers={"price": 2})])

    def ListPipelines(self, request, context):
        self._came("ListPipelines", request, context)
        ranked = model_service_pb2.Pipeline(
            name="shop",
            is_default=True,
            retrievers=self.models,
            ranker=self.models[0],
            rules=["diversity"],
            drop_seen=True,
        )
        plain = model_service_pb2.Pipeline(name="plain", retrievers=self.models)
        return model_service_pb2.ListPipelinesResponse(pipelines=[ranked, plain])

    def ListPlugins(self, request, context):
        self._came("ListPlugins", request, context)
        plugin = model_service_pb2.Plugin(name="cf", distribution="honeyguide", version="0.1.0", models=["cf"])
        return model_service_pb2.ListPluginsResponse(plugins=[plugin])


def serve(fake: FakeServer, port: int = 0) -> grpc.Server:
    """Starts a server for the fake and notes its port; the caller stops it."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    recommender_service_pb2_grpc.add_RecommenderServiceServicer_to_server(fake, server)
    event_service_pb2_grpc.add_EventServiceServicer_to_server(fake, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(fake, server)
    deadline = time.monotonic() + 10
    while not (bound := _bind(server, port)):
        assert time.monotonic() < deadline, f"port {port} stays taken"
        time.sleep(0.05)
    fake.port = bound
    server.start()
    return server


def _bind(server: grpc.Server, port: int) -> int:
    try:
        return server.add_insecure_port(f"127.0.0.1:{port}")
    except RuntimeError:  # a server stopped a moment ago still holds it
        return 0


@pytest.fixture
def fake() -> Iterator[FakeServer]:
    fake = FakeServer()
    server = serve(fake)
    yield fake
    fake.slow.set()
    server.stop(None).wait()


@pytest.fixture
def closed_port() -> int:
    """A port where nothing listens."""
    fake = FakeServer()
    serve(fake).stop(None).wait()
    return fake.port
