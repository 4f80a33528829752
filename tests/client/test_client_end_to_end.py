"""The clients against the real server over a real bundle: what the scripted server only claims to be."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from certificates import Authority

from honeyguide.client import (
    AsyncClient,
    Client,
    Event,
    HoneyguideClientError,
    InvalidArgumentError,
    ModelChangedError,
    NotFoundError,
    Ranked,
    UserRow,
    scoring,
)
from honeyguide.client.scoring import ScoreOptions, score
from honeyguide.sdk.host import PluginHost
from honeyguide.server.access.tokens import new_token
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings, make_settings

pytestmark = pytest.mark.slow(20)

REFLECTION = Path(__file__).parents[2] / "clients" / "reflection" / "recommend.py"
HISTORY = ["item-3", "item-14", "item-15"]


class Serving:
    """Runs a server on a thread with a loop of its own, so that synchronous clients may call it."""

    def __init__(self, settings: Settings, host: PluginHost) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._server = Server(settings, host)
        self._do(self._server.__aenter__())
        self.port = self._server.port
        self.address = f"127.0.0.1:{self.port}"

    def _do(self, coroutine: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def stop(self) -> None:
        self._do(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def address(repository: Path, tmp_path: Path, host: PluginHost) -> Iterator[str]:
    serving = Serving(
        Settings(repository=repository, port=0, metrics_port=-1, events=tmp_path / "events.db", drain_seconds=2.0), host
    )
    yield serving.address
    serving.stop()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, timeout=30) as client:
        yield client


def test_an_event_changes_the_very_next_answer(client):
    before = client.recommend("anna")
    assert {item.source for item in before} == {"POPULAR"}
    assert client.record([Event("anna", item) for item in HISTORY]).accepted == 3
    after = client.recommend("anna")
    assert {item.source for item in after} == {"RETRIEVED"}
    assert not set(after.item_ids) & set(HISTORY)
    assert after.item_ids == client.recommend(history=HISTORY).item_ids
    assert [event.item_id for event in client.events("anna", page_size=2)] == HISTORY[::-1]
    assert client.delete_user("anna") == 3
    assert client.recommend("anna").item_ids == before.item_ids


def test_recording_the_same_event_id_twice_stores_it_once(client):
    assert client.record_event("anna", "item-3", event_id="once") is True
    assert client.record_event("anna", "item-3", event_id="once") is False
    with pytest.raises(InvalidArgumentError) as caught:
        client.record_event("anna", "item-3", dwell_seconds=-1)
    assert "dwell_seconds" in caught.value.field


async def test_sync_equals_async_on_the_real_server(client, address):
    async with AsyncClient(address, timeout=30) as other:
        for name, args, kwargs in [
            ("models", (), {}),
            ("model", ("tiny",), {}),
            ("pipelines", (), {}),
            ("plugins", (), {}),
        ]:
            assert getattr(client, name)(*args, **kwargs) == await getattr(other, name)(*args, **kwargs)
        near, again = client.similar_items("item-1", k=3), await other.similar_items("item-1", k=3)
        assert replace(near, request_id=again.request_id) == again
        mine, theirs = client.recommend(history=HISTORY), await other.recommend(history=HISTORY)
        assert replace(mine, request_id=theirs.request_id) == theirs
        ranked = client.rank(["item-1", "item-2", "nobody"], history=HISTORY)
        again = await other.rank(["item-1", "item-2", "nobody"], history=HISTORY)
        assert replace(ranked, request_id=again.request_id) == again
        assert ranked.unknown_item_ids == ("nobody",)
        batches = [[UserRow(history=HISTORY), UserRow(history=["item-9"])], ["nobody"]]
        streamed = [answer async for answer in other.recommend_stream(batches)]
        same = [
            replace(a, request_id=b.request_id) for a, b in zip(client.recommend_stream(batches), streamed, strict=True)
        ]
        assert streamed == same
        assert isinstance(streamed[0].rows[0], Ranked)
        assert streamed[0].rows[0].item_ids == mine.item_ids


@pytest.mark.parametrize("mebibytes", [9, 17])
def test_a_message_that_is_too_large_is_sent_once(client, monkeypatch, mebibytes):
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(InvalidArgumentError, match=r"limit of one message \(16,777,216|allowed: 8,388,608") as caught:
        client.recommend("anna", exclude=["x" * 256] * (mebibytes << 12))
    assert (caught.value.reason, waits) == ("TOO_LARGE", [])


def test_errors_say_to_programs_what_they_say_to_people(client):
    with pytest.raises(NotFoundError) as caught:
        client.recommend("anna", pipeline="absent")
    assert set(caught.value.facts["existing"].split(", ")) == {"tiny", "tiny_ranker"}
    with pytest.raises(InvalidArgumentError) as refused:
        client.recommend("anna", k=0)
    assert {name: refused.value.facts[name] for name in ("field", "value", "allowed")} == {
        "field": "k",
        "value": "0",
        "allowed": "1 to 1,000",
    }


def test_errors_are_typed_and_name_what_to_do(client):
    with pytest.raises(InvalidArgumentError, match="1") as caught:
        client.recommend("anna", k=0)
    assert (caught.value.field, caught.value.reason) == ("k", "INVALID_FIELD")
    with pytest.raises(NotFoundError, match="tiny") as caught:
        client.recommend("anna", pipeline="absent")
    assert caught.value.reason == "PIPELINE_NOT_FOUND"
    with pytest.raises(NotFoundError):
        client.model("absent")


def test_a_model_is_loaded_and_unloaded(client, repository, add_version):
    add_version(repository)
    loaded = client.load_model("tiny")
    assert (loaded.model.version, loaded.model.state, loaded.previous_version) == (2, "SERVING", 1)
    assert client.unload_model("tiny_ranker") == 1
    states = {(model.name, model.version): model.state for model in client.models()}
    assert states[("tiny", 2)] == "SERVING"
    assert states[("tiny_ranker", 1)] == "AVAILABLE"


def test_scoring_equals_single_answers_and_refuses_a_swapped_model(
    client, repository, tmp_path, monkeypatch, add_version
):
    monkeypatch.setattr(scoring, "PART_ITEMS", 200)  # 20 users a part
    histories = [[f"item-{(n * 7 + step) % 60}" for step in range(n % 9)] for n in range(100)]
    users, output = tmp_path / "users.parquet", tmp_path / "recs.parquet"
    pq.write_table(pa.table({"user_id": [f"u{n}" for n in range(100)], "history": histories}), users)
    options = ScoreOptions(k=10, batch_size=10, pipeline="tiny")
    done = score(client, users, output, options)
    assert (done.users, done.failed) == (100, 0)
    answers = pq.read_table(output)["item_ids"].to_pylist()
    assert answers[::11] == [
        list(client.recommend(f"u{n}", history=histories[n], pipeline="tiny").item_ids) for n in range(0, 100, 11)
    ]

    def swap(finished: int, _all: int) -> None:
        if finished == 50:
            add_version(repository)
            client.load_model("tiny")

    with pytest.raises(ModelChangedError, match="was begun with tiny 1"):
        score(client, users, output, options, force=True, progress=swap)
    with pytest.raises(ModelChangedError, match="was begun with tiny 1"):
        score(client, users, output, options, force=True)
    client.load_model("tiny", 1)
    resumed = score(client, users, output, options, force=True)
    assert resumed.resumed_at >= 20
    assert pq.read_table(output)["item_ids"].to_pylist() == answers


def test_a_client_without_a_line_of_honeyguide_gets_the_same_answer_by_reflection(client, address):
    expected = client.recommend("anna", history=HISTORY, k=5)
    command = [sys.executable, "-I", str(REFLECTION), address, "anna", "5", *HISTORY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (str(rank), item.item_id, item.title) for rank, item in enumerate(expected, 1)
    ]
    assert "honeyguide" not in "".join(line for line in REFLECTION.read_text().splitlines() if "import" in line)
    refused = subprocess.run([*command[:4], "anna", "0"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("INVALID_ARGUMENT: k is 0")


def test_the_client_by_reflection_brings_a_token_and_trusts_an_authority(repository, tmp_path, host):
    made = new_token()
    (tmp_path / "token").write_text(f"{made.token}\n")
    ours = Authority(tmp_path)
    certificate, key = ours.sign("server")
    closed = make_settings(
        repository=repository,
        port=0,
        metrics_port=-1,
        events=tmp_path / "events.db",
        drain_seconds=0.5,
        callers={"shop": {"roles": ["recommend"], "sha256": made.sha256}},
        tls_certificate=certificate,
        tls_key=key,
    )
    serving = Serving(closed, host)
    try:
        command = [
            sys.executable,
            "-I",
            str(REFLECTION),
            f"localhost:{serving.port}",
            "anna",
            "3",
            "--ca",
            str(ours.certificate),
        ]
        alone = subprocess.run(command, capture_output=True, text=True, check=False)
        known = subprocess.run(
            [*command, "--token-file", str(tmp_path / "token")], capture_output=True, text=True, check=False
        )
    finally:
        serving.stop()
    assert alone.returncode == 1
    assert alone.stderr.startswith("UNAUTHENTICATED")
    assert (known.returncode, known.stderr) == (0, "")
    assert len(known.stdout.splitlines()) == 3


def test_nothing_but_client_errors_leaves_the_client_when_the_server_stops(repository, tmp_path, host):
    serving = Serving(
        Settings(repository=repository, port=0, metrics_port=-1, events=tmp_path / "events.db", drain_seconds=0.5), host
    )
    with Client(serving.address, timeout=30) as client:
        assert len(client.recommend("anna")) == 10
        stream = client.recommend_stream(["anna"] for _ in iter(int, 1))
        assert len(next(stream).rows) == 1
        stopping = threading.Thread(target=serving.stop)
        stopping.start()
        with pytest.raises(HoneyguideClientError):
            list(stream)
        stopping.join()
        with pytest.raises(HoneyguideClientError):
            client.recommend("anna")
