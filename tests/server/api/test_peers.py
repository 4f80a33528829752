"""What one process changes, its peers are told, within its turn; see `peers.py`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import grpc
import pytest

from honeyguide.sdk.errors import Unavailable
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import read_manifest
from honeyguide.server.api.peers import Change, to_its_end
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings
from honeyguide.v1.event_service_pb2 import DeleteUserRequest
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import LoadModelRequest, NewItem, UpsertItemsRequest
from honeyguide.v1.model_service_pb2_grpc import ModelServiceStub
from honeyguide.v1.recommender_service_pb2 import RecommendRequest, RecommendResponse
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub


class NotedPeers:
    """Peers that note what they are told, or cannot do it."""

    def __init__(self) -> None:
        self.noted: list[object] = []
        self.able = True

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        self.noted.append("turn")
        yield
        self.noted.append("over")

    async def join(self) -> None:
        pass

    async def tell(self, change: Change) -> None:
        if not self.able:
            raise Unavailable("process 1 could not do the same: the disk is full")
        self.noted.append(dict(change))


async def test_nobody_is_answered_before_what_the_others_did_is_done(
    repository: Path, host: PluginHost, tmp_path: Path, add_version: Callable[[Path], object]
) -> None:
    add_version(repository)
    asked: list[grpc.aio.UnaryUnaryCall[RecommendRequest, RecommendResponse]] = []

    class LatePeers(NotedPeers):
        async def join(self) -> None:
            ask = RecommenderServiceStub(channel).Recommend
            asked.append(ask(RecommendRequest(history=History(item_ids=["item-1"])), wait_for_ready=True, timeout=20))
            await asyncio.sleep(0.5)
            digest = read_manifest(repository / "tiny" / "1").digest
            await server.apply({"load": "tiny", "version": 1, "digest": digest})

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(port=port, metrics_port=-1, repository=repository, events=tmp_path / "events.db")
    server = Server(settings, host, LatePeers())
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, server:
        assert (await asked[0]).models[0].version == 1


async def test_peers_are_told_of_what_was_done_and_of_nothing_that_failed(
    repository: Path, host: PluginHost, tmp_path: Path, add_version: Callable[[Path], object]
) -> None:
    settings = Settings(port=0, metrics_port=-1, repository=repository, events=tmp_path / "events.db")
    peers = NotedPeers()
    async with (
        Server(settings, host, peers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        models = ModelServiceStub(channel)
        add_version(repository)
        digest = read_manifest(repository / "tiny" / "2").digest
        await models.LoadModel(LoadModelRequest(name="tiny"))
        with pytest.raises(grpc.aio.AioRpcError):
            await models.LoadModel(LoadModelRequest(name="tiny", version=9))
        await EventServiceStub(channel).DeleteUser(DeleteUserRequest(user_id="u"))
        assert peers.noted == [
            "turn",
            {"load": "tiny", "version": 2, "digest": digest, "subject": "model tiny", "seconds": ANY},
            "over",
            "turn",
            {"forget": "u"},
        ]
        peers.able = False
        with pytest.raises(grpc.aio.AioRpcError, match="process 1 could not do the same") as refused:
            await models.LoadModel(LoadModelRequest(name="tiny", version=1))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def slow(own: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        time.sleep(1.1)
        return own(*given)

    return call


async def test_peers_are_told_how_long_a_change_took(
    placing_repository: Path, host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"events": tmp_path / "events.db", "cold_items": tmp_path / "items.db"}
    peers = NotedPeers()
    async with (
        Server(Settings(port=0, metrics_port=-1, repository=placing_repository, **given), host, peers) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        monkeypatch.setattr(server.repository, "load", slow(server.repository.load))
        monkeypatch.setattr(server._cold_items, "upsert", slow(server._cold_items.upsert))
        models = ModelServiceStub(channel)
        await models.LoadModel(LoadModelRequest(name="placed"))
        await models.UpsertItems(UpsertItemsRequest(items=[NewItem(item_id="n", title="New")]))
    loaded, added = (change for change in peers.noted if isinstance(change, dict))
    assert (loaded["load"], added["items"]) == ("placed", 1)
    assert 2 <= loaded["seconds"] < 60
    assert 2 <= added["seconds"] < 60


async def test_what_a_peer_did_is_done_here(
    repository: Path, host: PluginHost, tmp_path: Path, add_version: Callable[[Path], object]
) -> None:
    settings = Settings(port=0, metrics_port=-1, repository=repository, events=tmp_path / "events.db")
    async with Server(settings, host) as server:
        add_version(repository)
        await server.apply({"load": "tiny", "version": 2, "digest": "", "subject": "model tiny"})
        assert server.repository.serving["tiny"].key == ("tiny", 2)
        await server.apply({"unload": "tiny", "subject": "model tiny"})
        assert set(server.repository.serving) == {"tiny_ranker"}


async def test_a_change_goes_on_when_its_caller_leaves_and_a_refusal_is_told() -> None:
    steps: list[str] = []

    @to_its_end
    async def change(step: str) -> str:
        steps.append("begun")
        await asyncio.sleep(0.01)
        steps.append(step)
        if step == "wrong":
            raise ValueError(step)
        return step

    assert await change("made") == "made"
    with pytest.raises(ValueError, match="wrong"):
        await change("wrong")
    for step in ("left", "wrong"):
        calling = asyncio.create_task(change(step))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    assert steps[4:] == ["begun", "begun"]
    await asyncio.sleep(0.05)
    assert steps[6:] == ["left", "wrong"]
