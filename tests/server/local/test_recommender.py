"""A repository in this process answers as a server does: same parameters, answers, checks and words of errors."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from honeyguide import answers
from honeyguide.client import AsyncClient, HoneyguideClientError, calls
from honeyguide.sdk.errors import ConfigError, HoneyguideError, Unavailable
from honeyguide.sdk.host import PluginHost
from honeyguide.server import open_repository
from honeyguide.server.local.recommender import LocalRecommender
from honeyguide.server.settings import Settings

PIPELINES: dict[str, dict[str, Any]] = {
    "plain": {"model": "tiny_ranker"},
    "varied": {"model": "tiny_ranker", "rules": [{"name": "diversity", "options": {"trade_off": 0.5}}]},
    "all": {"model": "joint"},
}
HISTORY = answers.History(
    ["item-3", "item-5", "nowhere"], times_ms=[1, 2, 2], event_types=["view", "", "buy"], values=[1.0, 2.0, -3.0]
)
RIGHT = [
    ("recommend", ("known",), {}),
    ("recommend", ("stranger",), {"k": 3}),
    ("recommend", (), {"history": ["item-3", "item-5"], "explain": True, "pipeline": "plain"}),
    ("recommend", ("known",), {"history": HISTORY, "pipeline": "varied", "k": 25, "drop_seen": False}),
    ("recommend", (), {"history": HISTORY, "pipeline": "all", "request_time_ms": 5, "any_categories": ["odd"]}),
    ("recommend", (), {"history": ["item-1"], "exclude": ["item-2"], "allow": ["item-2", "item-4"], "k": 5}),
    ("rank", (["item-9", "item-1", "nowhere"],), {"user_id": "known"}),
    ("rank", (["item-9", "item-1"],), {"history": ["item-3"], "pipeline": "all"}),
    ("rank", (["item-9", "item-1"],), {"pipeline": "varied"}),
    ("similar_items", ("item-7",), {}),
    ("similar_items", ("item-7",), {"k": 4, "exclude": ["item-8"], "any_categories": ["first"], "pipeline": "all"}),
]
WRONG = [
    ("recommend", (), {"k": 0}),
    ("recommend", (), {"k": 1001, "history": answers.History(["item-1"], clicks=[-1.0])}),
    ("recommend", ("u" * 257,), {}),
    ("recommend", (), {"pipeline": "none"}),
    ("recommend", (), {"any_categories": [""]}),
    ("recommend", (), {"history": answers.History(["item-1", "item-2"], times_ms=[2, 1])}),
    ("recommend", (), {"request_time_ms": -1}),
    ("rank", ([],), {}),
    ("rank", (["item-1", "item-1"],), {}),
    ("similar_items", ("nowhere",), {}),
    ("similar_items", ("item-1",), {"k": 0}),
]


@pytest.fixture
def recommender(shared_joint_repository: Path, host: PluginHost, tmp_path: Path) -> Iterator[LocalRecommender]:
    with open_repository(
        shared_joint_repository, events=tmp_path / "local.db", pipelines=PIPELINES, plugins=host
    ) as opened:
        opened.record([answers.Event("known", f"item-{row}", time_ms=row) for row in (1, 2, 3)])
        yield opened


def anonymous(answer: Any) -> Any:
    """An answer without the id that names it."""
    return replace(answer, request_id="")


async def test_local_answers_and_errors_are_those_of_a_server(
    recommender: LocalRecommender, start: Any, shared_joint_repository: Path
) -> None:
    async with (
        start(shared_joint_repository, pipelines=PIPELINES) as running,
        AsyncClient(f"127.0.0.1:{running.server.port}") as client,
    ):
        await client.record([answers.Event("known", f"item-{row}", time_ms=row) for row in (1, 2, 3)])
        for method, arguments, options in RIGHT:
            served = await getattr(client, method)(*arguments, **options)
            assert served.items
            assert served.request_id
            assert anonymous(getattr(recommender, method)(*arguments, **options)) == anonymous(served)
        for method, arguments, options in WRONG:
            with pytest.raises(HoneyguideClientError) as of_server:
                await getattr(client, method)(*arguments, **options)
            with pytest.raises(HoneyguideError) as local:
                getattr(recommender, method)(*arguments, **options)
            assert local.value.reason == of_server.value.reason
            assert local.value.message.split(": ")[0] in of_server.value.message


async def test_a_batch_is_answered_as_a_batch_of_a_stream(
    recommender: LocalRecommender, start: Any, shared_joint_repository: Path
) -> None:
    users = ["known", "stranger", answers.UserRow("", HISTORY), answers.UserRow(None, ["item-3"]), answers.UserRow()]
    options: dict[str, Any] = {"k": 4, "exclude": ["item-9"], "titles": True, "pipeline": "all"}
    async with (
        start(shared_joint_repository, pipelines=PIPELINES) as running,
        AsyncClient(f"127.0.0.1:{running.server.port}") as client,
    ):
        await client.record([answers.Event("known", f"item-{row}", time_ms=row) for row in (1, 2, 3)])
        (served,) = [answer async for answer in client.recommend_stream([users], **options)]
    local = recommender.recommend_batch(users, **options)
    assert anonymous(local) == anonymous(served)
    assert [type(row) for row in local.rows].count(answers.RowFailure) == 1


@pytest.mark.parametrize("method", ["recommend", "rank", "similar_items", "record", "delete_user"])
def test_parameters_are_the_clients_but_for_the_timeout(method: str) -> None:
    def parameters(function: Any) -> list[tuple[str, Any, Any]]:
        signature = inspect.signature(function).parameters.values()
        return [(p.name, p.kind, p.default) for p in signature if p.name not in ("self", "timeout")]

    assert parameters(getattr(LocalRecommender, method)) == parameters(getattr(calls, method))


def test_keywords_are_settings_of_the_server() -> None:
    names = set(inspect.signature(open_repository).parameters) - {"plugins"}
    assert names <= set(Settings.model_fields)


def test_a_batch_of_many_is_the_singles_together(recommender: LocalRecommender) -> None:
    histories = [[f"item-{(7 * user + place) % 60}" for place in range(1 + user % 5)] for user in range(300)]
    batch = recommender.recommend_batch([answers.UserRow(history=history) for history in histories], k=3)
    assert len(batch.rows) == 300
    for row, history in list(zip(batch.rows, histories, strict=True))[::60]:
        assert isinstance(row, answers.Ranked)
        assert row.item_ids == recommender.recommend(history=history, k=3).item_ids
    assert recommender.recommend_batch([]).rows == ()


def test_what_is_recorded_counts_in_the_next_answer_and_is_gone_when_the_user_is(recommender: LocalRecommender) -> None:
    assert recommender.recommend("new").user_state == "ANONYMOUS"
    events = [answers.Event("new", "item-7", event_id="once"), answers.Event("new", "", event_id="bad")]
    recorded = recommender.record(events)
    assert (recorded.accepted, recorded.duplicates) == (1, 0)
    ((index, failure),) = [(one.index, one.error) for one in recorded.rejected]
    assert (index, failure.reason, failure.field) == (1, "INVALID_FIELD", "item_id")
    assert recommender.record(events[:1]).duplicates == 1
    answer = recommender.recommend("new", k=60)
    assert answer.user_state == "STORED"
    assert "item-7" not in answer.item_ids
    assert recommender.delete_user("new") == 1
    assert recommender.recommend("new").user_state == "ANONYMOUS"


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [
        ("recommend", {"history": "item-1"}, "history.item_ids is 'item-1'; allowed: a list"),
        ("recommend", {"exclude": "item-1"}, "exclude is 'item-1'; allowed: a list"),
        ("rank", {"item_ids": "item-1"}, "item_ids is 'item-1'; allowed: a list"),
        ("recommend_batch", {"users": "user-1"}, "users is 'user-1'; allowed: a list"),
        ("recommend", {"k": 1 << 40}, "request is .*allowed: values that the fields"),
    ],
)
def test_what_no_message_can_hold_is_refused(
    recommender: LocalRecommender, method: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(HoneyguideError, match=says):
        getattr(recommender, method)(**options)


def test_threads_and_a_running_event_loop_may_share_a_recommender(recommender: LocalRecommender) -> None:
    alone = recommender.recommend("known").item_ids
    with ThreadPoolExecutor(4) as threads:
        for answer in threads.map(lambda _: recommender.recommend("known"), range(20)):
            assert answer.item_ids == alone


async def test_events_are_recorded_inside_a_running_event_loop(recommender: LocalRecommender) -> None:
    assert recommender.record([answers.Event("someone", "item-1")]).accepted == 1


def test_without_events_there_is_nothing_to_record_and_after_the_end_nothing_to_ask(
    shared_repository: Path, host: PluginHost
) -> None:
    with open_repository(shared_repository, plugins=host) as recommender:
        assert len(recommender.recommend(history=["item-1"])) == 10
        with pytest.raises(ConfigError, match="opened without events: open it with events="):
            recommender.record([answers.Event("u", "item-1")])
    with pytest.raises(Unavailable, match="is closed: open it again"):
        recommender.recommend()
    recommender.close()


def test_what_is_wrong_is_said_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    program = f"""
import sys
import honeyguide.server
assert not {{"numpy", "grpc", "pydantic"}} & set(sys.modules)
for keywords in ({{"threads": -1}}, {{"pipelines": {{"p": {{}}}}}}, {{}}):
    try:
        honeyguide.server.open_repository({str(tmp_path / "nowhere")!r}, **keywords)
    except Exception as error:
        print(type(error).__name__, error)
print(sorted({{"grpc", "faiss", "onnxruntime", "polars"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    threads, pipeline, folder, loaded = done.stdout.splitlines()
    assert threads.startswith("ConfigError keyword threads: threads is -1")
    assert pipeline.startswith("ConfigError keyword pipelines: pipelines.p.model is missing")
    assert folder.startswith("ConfigError repository ")
    assert loaded == "[]"


def test_standard_output_is_the_program_s_own(shared_repository: Path) -> None:
    program = f"""
from honeyguide.server import open_repository
from honeyguide.sdk.host import PluginHost
from bundles import tiny_host
with open_repository({str(shared_repository)!r}, plugins=tiny_host()) as recommender:
    print(len(recommender.recommend(history=["item-3"], k=5)))
"""
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert (done.stdout, done.stderr) == ("5\n", "")
