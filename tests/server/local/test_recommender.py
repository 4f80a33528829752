"""A repository in this process answers as a server does: same parameters, answers, checks and words of errors."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from client_calls import arguments, at, wrong_calls

from honeyguide import answers
from honeyguide.client import AsyncClient, HoneyguideClientError, calls
from honeyguide.sdk.errors import ConfigError, HoneyguideError, InvalidArgument, Unavailable
from honeyguide.sdk.host import PluginHost
from honeyguide.server import open_repository
from honeyguide.server.local.recommender import LocalRecommender
from honeyguide.server.settings import Settings

PIPELINES: dict[str, dict[str, Any]] = {
    "plain": {"model": "tiny_ranker"},
    "varied": {"model": "tiny_ranker", "rules": [{"name": "diversity", "options": {"trade_off": 0.5}}]},
    "all": {"model": "joint"},
    "split": {"model": "tiny_ranker", "arms": {"varied": 50}},
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
    ("recommend", (), {"history": ["item-1"], "any_categories": ["ODD", "od", "first"], "ignore_category_case": True}),
    ("recommend", (), {"history": ["item-1"], "any_categories": ["ODD", "first"]}),
    ("recommend", (), {"history": ["item-1"], "exclude": ["item-2"], "allow": ["item-2", "item-4"], "k": 5}),
    ("rank", (["item-9", "item-1", "nowhere"],), {"user_id": "known"}),
    ("rank", (["item-9", "item-1"],), {"history": ["item-3"], "pipeline": "all"}),
    ("rank", (["item-9", "item-1"],), {"pipeline": "varied"}),
    *(
        ("recommend", (f"u{n}",), {"pipeline": "split", "k": 2}) for n in range(6)
    ),  # each in an arm, everywhere the same
    ("rank", (["item-9", "item-1"],), {"user_id": "u1", "pipeline": "split"}),
    ("similar_items", ("item-7",), {}),
    ("similar_items", ("item-7",), {"any_categories": ["Odd", "none"], "ignore_category_case": True}),
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
    options: dict[str, Any] = {
        "k": 4, "exclude": ["item-9"], "any_categories": ["odd", "none"], "titles": True, "pipeline": "all",
    }  # fmt: skip
    async with (
        start(shared_joint_repository, pipelines=PIPELINES) as running,
        AsyncClient(f"127.0.0.1:{running.server.port}") as client,
    ):
        await client.record([answers.Event("known", f"item-{row}", time_ms=row) for row in (1, 2, 3)])
        (served,) = [answer async for answer in client.recommend_stream([users], **options)]
        there, here = await client.models(), recommender.models()
        assert [replace(model, load_time_ms=0) for model in there] == [replace(model, load_time_ms=0) for model in here]
        assert [user async for user in client.users()] == list(recommender.users())
        of_known = [event async for event in client.events("known")]
        assert [replace(event, event_id="") for event in of_known] == [
            replace(event, event_id="") for event in recommender.events("known")
        ]
    local = recommender.recommend_batch(users, **options)
    assert anonymous(local) == anonymous(served)
    assert [type(row) for row in local.rows].count(answers.RowFailure) == 1


@pytest.mark.parametrize("method", sorted(set(calls.__all__) & set(vars(LocalRecommender))))
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
        ("recommend", {"history": "item-1"}, "history is 'item-1'; allowed: a History, or a list"),
        ("recommend", {"exclude": "item-1"}, "exclude is 'item-1'; allowed: a list"),
        ("rank", {"item_ids": "item-1"}, "item_ids is 'item-1'; allowed: a list"),
        ("recommend_batch", {"users": "user-1"}, "users is 'user-1'; allowed: a list"),
        ("recommend", {"k": 1 << 40}, "k is 1099511627776; allowed: a whole number that 32 bits hold"),
    ],
)
def test_what_no_message_can_hold_is_refused(
    recommender: LocalRecommender, method: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(HoneyguideError, match=says):
        getattr(recommender, method)(**options)


def test_what_a_client_refuses_by_its_field_is_refused_here(recommender: LocalRecommender) -> None:
    unlike = []
    for name, parameter, value in wrong_calls(LocalRecommender):
        given = arguments(name, parameter, value)
        given.pop("timeout", None)
        try:
            getattr(recommender, name)(**given)
            unlike.append((name, parameter, value, "taken"))
        except InvalidArgument as error:
            if at(error.field) != parameter:
                unlike.append((name, parameter, value, str(error)))
    assert unlike == []
    with pytest.raises(InvalidArgument, match=r"users\[1\].user_id is b'u'; allowed: an id.*; decode it first"):
        recommender.recommend_batch([7, answers.UserRow(b"u")])  # type: ignore[arg-type]  # what is tested


def test_one_event_is_recorded_listed_and_its_user_and_the_models_are(recommender: LocalRecommender) -> None:
    assert recommender.record_event(7, 8, time_ms=datetime(2020, 1, 1, tzinfo=UTC), value=2.0, event_id="once")
    assert recommender.record_event("7", "8", event_id="once") is False
    with pytest.raises(InvalidArgument, match=r"clicks is -1\.0"):
        recommender.record_event("7", "8", clicks=-1)
    (event,) = recommender.events(7)
    assert event == answers.Event("7", "8", time_ms=1_577_836_800_000, value=2.0, event_id="once")
    assert [event.item_id for event in recommender.events("known", page_size=2)] == ["item-3", "item-2", "item-1"]
    assert list(recommender.users(page_size=1)) == ["7", "known"]
    assert [(model.name, model.version, model.state) for model in recommender.models()] == [
        ("joint", 1, "SERVING"), ("tiny", 1, "SERVING"), ("tiny_ranker", 1, "SERVING"),
    ]  # fmt: skip
    with pytest.raises(InvalidArgument, match="page_size is -1"):
        recommender.events("known", page_size=-1)


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
