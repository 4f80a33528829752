"""Several processes serve as one, whatever happens to one of them; the processes run `member.py`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from bundles import make_bundle
from shared import make_once

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.server.processes import supervisor as supervisor_module
from honeyguide.server.processes.merged_metrics import MergedMetrics
from honeyguide.server.processes.supervisor import Supervisor
from honeyguide.server.settings import Settings
from honeyguide.v1.event_service_pb2 import DeleteUserRequest, Event, ListEventsRequest, RecordEventsRequest
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.model_service_pb2 import (
    MODEL_STATE_SERVING,
    Arm,
    ListModelsRequest,
    LoadModelRequest,
    SetTrafficRequest,
    Traffic,
)
from honeyguide.v1.model_service_pb2_grpc import ModelServiceStub
from honeyguide.v1.recommender_service_pb2 import RecommendRequest
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub

pytestmark = pytest.mark.slow(20)

INLINE = RecommendRequest(history=History(item_ids=["item-1"]))
TO_OLD = Traffic(arms=[Arm(pipeline="old", percent=100)])
OWN = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
"""Options of a channel that shares its connection with no other."""
CONNECTIONS = 12
"""By which each of two processes is as good as sure to be met."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a model that is installed, as the processes load their plugins themselves."""

    def make(folder: Path) -> None:
        make_bundle(folder, "small", model="cf")
        make_bundle(folder, "small", model="cf", seed=1)

    return make_once(tmp_path_factory, "processes", make)


@asynccontextmanager
async def serving(models: Path, folder: Path, **settings: Any) -> AsyncIterator[Supervisor]:
    given = {"port": 0, "metrics_port": -1, "processes": 2, "events": folder / "events.db", "drain_seconds": 2.0}
    async with Supervisor(Settings(repository=models, **(given | settings))) as supervisor:
        yield supervisor


@asynccontextmanager
async def connection(supervisor: Supervisor) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of its own, to whichever process it comes."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.port}", OWN) as channel:
        yield channel


async def over_connections(supervisor: Supervisor, ask: Callable[[grpc.aio.Channel], Awaitable[Any]]) -> list[Any]:
    answers = []
    for _ in range(CONNECTIONS):
        async with connection(supervisor) as channel:
            answers.append(await ask(channel))
    return answers


async def version(channel: grpc.aio.Channel) -> int:
    """Which version answers."""
    answer = await RecommenderServiceStub(channel).Recommend(INLINE)
    return int(answer.models[0].version)


def version_on_web(port: int) -> str:
    """Which version answers JSON, over a connection of its own."""
    url = f"http://127.0.0.1:{port}/honeyguide.v1.RecommenderService/Recommend"
    request = urllib.request.Request(url, b'{"history": {"itemIds": ["item-1"]}}', {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["models"][0]["version"])


async def serves(channel: grpc.aio.Channel) -> tuple[int, ...]:
    models = (await ModelServiceStub(channel).ListModels(ListModelsRequest())).models
    return tuple(model.version for model in models if model.state == MODEL_STATE_SERVING)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def runs(pid: int) -> bool:
    """Whether a process runs; one that ended and that nobody has asked for yet has no command any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


class Cannot:
    """What starts a process where the machine lets nobody start one."""

    asked = 0

    async def __call__(self, *_: object, **__: object) -> None:
        self.asked += 1
        raise BlockingIOError(11, "Resource temporarily unavailable")


@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_what_one_process_is_told_every_process_knows(models: Path, tmp_path: Path, transport: str) -> None:
    pipelines = {"home": {"model": "small"}, "old": {"model": "small", "version": 1}}
    settings = {"pipelines": pipelines, "default_pipeline": "home", "traffic": tmp_path / "traffic.json"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        web_port = free.getsockname()[1]
    async with serving(models, tmp_path, transport=transport, web_port=web_port, **settings) as supervisor:
        assert len(set(supervisor.pids)) == 2
        assert set(await over_connections(supervisor, version)) == {2}
        pages = await supervisor.metrics()
        assert all("honeyguide_requests_total{" in pages[process] for process in "01"), "both were asked"

        for change, answers in (({"traffic": TO_OLD}, 1), ({"previous": True}, 2)):
            async with connection(supervisor) as channel:
                await ModelServiceStub(channel).SetTraffic(SetTrafficRequest(**change))
            assert set(await over_connections(supervisor, version)) == {answers}

        async with connection(supervisor) as channel:
            await ModelServiceStub(channel).LoadModel(LoadModelRequest(name="small", version=1))
        assert set(await over_connections(supervisor, version)) == {1}
        assert set(await over_connections(supervisor, serves)) == {(1,)}
        over_web = [await asyncio.to_thread(version_on_web, web_port) for _ in range(CONNECTIONS)]
        assert set(over_web) == {"1"}

        async def record(channel: grpc.aio.Channel) -> None:
            await EventServiceStub(channel).RecordEvents(
                RecordEventsRequest(events=[Event(user_id="u", item_id="item-3")])
            )

        async def recorded(channel: grpc.aio.Channel) -> int:
            state = (await RecommenderServiceStub(channel).Recommend(RecommendRequest(user_id="u"))).user_state
            listed = await EventServiceStub(channel).ListEvents(ListEventsRequest(user_id="u"))
            return int(listed.total_size) if state else -1

        async with connection(supervisor) as channel:
            await record(channel)
        assert set(await over_connections(supervisor, recorded)) == {1}
        async with connection(supervisor) as channel:
            await EventServiceStub(channel).DeleteUser(DeleteUserRequest(user_id="u"))
        assert set(await over_connections(supervisor, recorded)) == {0}


async def test_changes_at_the_same_time_end_alike_everywhere(models: Path, tmp_path: Path) -> None:
    async with serving(models, tmp_path) as supervisor:

        async def load(number: int) -> None:
            async with connection(supervisor) as channel:
                await ModelServiceStub(channel).LoadModel(LoadModelRequest(name="small", version=1 + number % 2))

        await asyncio.gather(*map(load, range(16)))
        assert len(set(await over_connections(supervisor, version))) == 1


async def test_a_process_that_is_killed_is_replaced_and_knows_what_was_changed(models: Path, tmp_path: Path) -> None:
    async with serving(models, tmp_path) as supervisor:
        async with connection(supervisor) as channel:
            await ModelServiceStub(channel).LoadModel(LoadModelRequest(name="small", version=1))
        before = supervisor.pids
        os.kill(before[0], signal.SIGKILL)
        async with asyncio.timeout(30):
            while len(supervisor.pids) < 2 or before[0] in supervisor.pids:  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
        assert before[1] in supervisor.pids
        assert set(await over_connections(supervisor, version)) == {1}


async def test_who_is_killed_while_it_waits_for_its_turn_leaves_it_to_others(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "_FIRST_PAUSE", 0.1)
    async with serving(models, tmp_path) as supervisor:
        await supervisor._turn.acquire()  # as if a third process loaded a model
        async with connection(supervisor) as channel:
            waits = ModelServiceStub(channel).LoadModel(LoadModelRequest(name="small", version=1))
            async with asyncio.timeout(10):
                while not supervisor._turn._waiters:  # noqa: ASYNC110  # another process's doing
                    await asyncio.sleep(0.05)
            before = supervisor.pids
            start = asyncio.create_subprocess_exec
            monkeypatch.setattr(asyncio, "create_subprocess_exec", cannot := Cannot())
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(grpc.aio.AioRpcError):
                await waits
        async with asyncio.timeout(10):
            while cannot.asked < 4:  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
        monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
        supervisor._turn.release()
        async with asyncio.timeout(30):
            while len(supervisor.pids) < 2:  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
        async with connection(supervisor) as channel:
            await ModelServiceStub(channel).LoadModel(LoadModelRequest(name="small", version=1), timeout=10)


async def test_metrics_of_all_are_on_one_page(models: Path, tmp_path: Path) -> None:
    async with serving(models, tmp_path) as supervisor:
        await over_connections(supervisor, version)
        endpoint = MergedMetrics(supervisor).answer("127.0.0.1", 0)
        try:
            url = f"http://127.0.0.1:{endpoint.port}/metrics"
            page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
        finally:
            await asyncio.to_thread(endpoint.stop)
    rows = [line for line in page.splitlines() if line.startswith("honeyguide_requests_total{")]
    assert sum(float(row.split()[-1]) for row in rows) == CONNECTIONS
    assert {'process="0"' in row for row in rows} == {True, False}
    assert page.count("# TYPE honeyguide_requests_total counter") == 1


async def test_what_keeps_one_from_starting_is_said_once_and_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; `honeyguide demo` makes one"):
        async with serving(tmp_path / "none", tmp_path):
            pass
    with pytest.raises(ConfigError, match="Unix socket cannot be shared"):
        async with serving(tmp_path, tmp_path, host=f"unix:{tmp_path}/s"):
            pass


async def test_a_taken_port_is_not_shared(models: Path, tmp_path: Path) -> None:
    async with serving(models, tmp_path) as supervisor:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {supervisor.port}"):
            async with serving(models, tmp_path, port=supervisor.port):
                pass


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
async def test_no_process_outlives_its_supervisor(models: Path, tmp_path: Path, sent: signal.Signals) -> None:
    verb = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "honeyguide.cli", "serve", "--port", "0", "--metrics-port", "0", "--processes", "2"),
        *("--repository", str(models), "--events", str(tmp_path / "events.db"), "--log-format", "json"),
        stderr=asyncio.subprocess.PIPE,
    )
    assert verb.stderr is not None
    lines: list[dict[str, Any]] = []  # nothing but JSON comes on this stream
    async with asyncio.timeout(60):
        while "metrics of all" not in (lines[-1]["event"] if lines else ""):
            lines.append(json.loads(await verb.stderr.readline()))
    assert {line["process"] for line in lines if line["event"] == "model serves"} == {0, 1}
    members = children(verb.pid)
    assert len(members) == 2
    verb.send_signal(sent)
    assert await verb.wait() == (0 if sent == signal.SIGTERM else -sent)
    if sent == signal.SIGTERM:
        assert json.loads(await verb.stderr.readline())["event"] == "stopping"
    async with asyncio.timeout(20):
        while any(map(runs, members)):  # noqa: ASYNC110  # no longer our children
            await asyncio.sleep(0.05)


async def test_a_process_that_hangs_is_killed_and_its_successor_knows_the_change(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "_FOLLOW_SECONDS", 1.0)
    async with serving(models, tmp_path) as supervisor:
        channels = [grpc.aio.insecure_channel(f"127.0.0.1:{supervisor.port}", OWN) for _ in range(CONNECTIONS)]
        for channel in channels:
            await version(channel)  # connected, so that each has its process
        hanging = supervisor.pids[0]
        os.kill(hanging, signal.SIGSTOP)
        assert list(await supervisor.metrics()) == ["1"], "the others' metrics are told"
        calls = [
            ModelServiceStub(channel).LoadModel(LoadModelRequest(name="small", version=1), timeout=20)
            for channel in channels
        ]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert any(not isinstance(answer, BaseException) for answer in answers)
        async with asyncio.timeout(30):
            while len(supervisor.pids) < 2 or hanging in supervisor.pids:  # noqa: ASYNC110  # another process's doing
                await asyncio.sleep(0.05)
        assert set(await over_connections(supervisor, version)) == {1}
        for channel in channels:
            await channel.close()


class Follower:
    """What the supervisor has of a process that takes a while to do a change, or fails."""

    number, ready, killed = 1, True, False

    def __init__(self, seconds: float = 0.0, *, fails: bool = False, is_open: bool = True) -> None:
        self.line, self.process = self, self
        self.seconds, self.fails, self.is_open = seconds, fails, is_open

    async def ask(self, _: dict[str, Any]) -> None:
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise Unavailable("no")

    def kill(self) -> None:
        self.killed = True


async def test_who_is_as_slow_as_the_one_who_made_the_change_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "_FOLLOW_SECONDS", 0.1)
    supervisor: Any = Supervisor(Settings(repository=tmp_path))
    slow, slow_to_join, hanging = Follower(0.5), Follower(0.5), Follower(0.5)
    await supervisor._follow(slow, {"items": 1, "seconds": 1})
    supervisor._lasting["items"] = {"items": 1, "seconds": 1}
    await supervisor._let_join(slow_to_join)
    await supervisor._follow(hanging, {"items": 1})
    assert (slow.killed, slow_to_join.killed, hanging.killed) == (False, False, True)


async def test_who_is_gone_keeps_nobody_from_a_change(tmp_path: Path) -> None:
    supervisor: Any = Supervisor(Settings(repository=tmp_path))
    await supervisor._follow(Follower(fails=True, is_open=False), {"items": 1})
    with pytest.raises(Unavailable, match="process 1 could not do the same: no"):
        await supervisor._follow(Follower(fails=True), {"items": 1})
