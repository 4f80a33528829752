"""Starts real servers over real bundles, on free ports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import make_bundle
from shared import make_once

from honeyguide.sdk.data import ItemColumn
from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub
from honeyguide.v1.model_service_pb2_grpc import ModelServiceStub
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub


class Running:
    """A server, and stubs of its services."""

    def __init__(self, server: Server, channel: grpc.aio.Channel) -> None:
        self.server, self.channel = server, channel
        self.recommender: Any = RecommenderServiceStub(channel)
        self.events: Any = EventServiceStub(channel)
        self.models: Any = ModelServiceStub(channel)


Start = Callable[..., AbstractAsyncContextManager[Running]]


@pytest.fixture
def start(shared_repository: Path, tmp_path: Path, host: PluginHost) -> Start:
    """Returns what starts a server: ``async with start(repository=…, **settings) as running``."""

    @asynccontextmanager
    async def run(repository: Path = shared_repository, **settings: Any) -> AsyncIterator[Running]:
        given = {
            "port": 0,
            "metrics_port": -1,
            "events": tmp_path / "events.db",
            "traffic": tmp_path / "traffic.json",
            "cold_items": tmp_path / "items.db",
            "drain_seconds": 2.0,
        } | settings
        async with (
            Server(Settings(repository=repository, **given), host) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            yield Running(server, channel)

    return run


@pytest.fixture(scope="session")
def placing_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one bundle, "placed" (version 1), over 60 items and 8 dimensions. Change nothing."""
    columns = [ItemColumn("image", "vector", 8)]
    return make_once(
        tmp_path_factory,
        "placing_models",
        lambda folder: make_bundle(folder, "placed", model="tiny_placed", item_columns=columns),
    )
