"""The server says what it serves, can be asked by generic tools, and stops without a failed call.

Named here: `doors.py`, `summary.py`.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from honeyguide.sdk.errors import ConfigError, HoneyguideError
from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest


async def test_summary_says_what_is_served_where_and_by_what(start: Any) -> None:
    async with start(metrics_port=0) as running:
        lines = running.server.summary()
        url = f"http://127.0.0.1:{running.server.metrics_port}/metrics"
        await running.recommender.Recommend(RecommendRequest(history=History(item_ids=["item-1"])))
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
    assert lines[0] == ("pipeline tiny (default): retrieve with tiny/1 (tiny_gru, 60 items, index flat) on CPU")
    assert lines[1].startswith("pipeline tiny_ranker: retrieve → rank with tiny_ranker/1")
    assert lines[-1].startswith(f"gRPC on 127.0.0.1:{running.server.port}, metrics on {url}, events in ")
    assert 'honeyguide_model_version{model="tiny"} 1.0' in page
    assert 'honeyguide_batch_rows_count{pipeline="tiny"} 1.0' in page
    for stage in ("history", "encode", "retrieve"):
        assert f'honeyguide_stage_seconds_count{{stage="{stage}"}} 1.0' in page


async def test_taken_port_is_named_with_the_remedy(start: Any, tmp_path: Path, host: PluginHost) -> None:
    async with start() as running:
        taken = running.server.port
        settings = Settings(
            port=taken, metrics_port=-1, repository=running.server.settings.repository, events=tmp_path / "2.db"
        )
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1, port {taken}: stop .* --port"):
            async with Server(settings, host):
                pass
        with pytest.raises(ConfigError, match=f"metrics_port is {taken}"):
            async with Server(settings.model_copy(update={"port": 0, "metrics_port": taken}), host):
                pass


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pipelines": {"p": {"model": "huge"}}}, "pipelines.p.model is 'huge'.*there are: tiny, tiny_ranker"),
        ({"default_pipeline": "huge"}, "default_pipeline is 'huge'; there are: tiny, tiny_ranker"),
        ({"pipelines": {"p": {"model": "tiny", "rules": [{"name": "huge"}]}}}, "offers rule 'huge'"),
        (
            {"pipelines": {"p": {"model": "tiny", "rules": [{"name": "diversity", "options": {"no": 1}}]}}},
            "pipelines.p, rule 'diversity': unknown option 'no'",
        ),
    ],
)
async def test_setting_that_names_nothing_stops_the_start(start: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(HoneyguideError, match=says):
        async with start(**settings):
            pass


async def test_a_model_loaded_later_does_not_become_the_default(start: Any) -> None:
    async with start() as running:
        repository, pipelines = running.server.repository, running.server.pipelines
        repository.unload("tiny")
        assert pipelines.default == "tiny_ranker"
        repository.load("tiny")
        assert pipelines.default == "tiny_ranker"


@contextmanager
def _process(repository: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Serves with the tiny plugin in a process of its own; tells on its last line what heavy things it loaded."""
    program = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1] / "plugins_for_tests")!r})
from importlib import metadata
from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import serve
from honeyguide.server.ops.logs import configure_logs
from honeyguide.server.settings import Settings
host = PluginHost.load([metadata.EntryPoint("tiny_gru", "tiny_gru", "honeyguide.plugins")])
configure_logs()
settings = Settings(
    repository=Path({str(repository)!r}), events=Path({str(folder / "e.db")!r}), port=0, metrics_port=-1
)
asyncio.run(serve(settings, lambda line: print(line, flush=True), host))
print(sorted({{"torch", "lightning", "onnx", "onnxscript", "safetensors", "uvicorn"}} & set(sys.modules)), flush=True)
"""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_serving_never_imports_torch_and_ends_with_zero_on_sigterm(shared_repository: Path, tmp_path: Path) -> None:
    with _process(shared_repository, tmp_path) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0].startswith("pipeline tiny (default)")
        port = lines[2].split(",")[0].rpartition(":")[2]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            recommend = channel.unary_unary(
                "/honeyguide.v1.RecommenderService/Recommend",
                request_serializer=RecommendRequest.SerializeToString,
                response_deserializer=lambda answer: answer,
            )
            request = RecommendRequest(history=History(item_ids=["item-1"]), pipeline="tiny_ranker")
            assert recommend(request, timeout=10)
        process.send_signal(signal.SIGTERM)
        rest, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest == "[]\n"
    assert "Traceback" not in errors
