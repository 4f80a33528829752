"""A server writes down what it shows, and forgets whom it is told to forget; a full queue costs no answer.

`opening.py` says whether there is a log at all.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.exposure import log as log_module
from honeyguide.server.exposure.erasure import Erasures
from honeyguide.server.exposure.log import ExposureLog
from honeyguide.server.exposure.shown import Shown
from honeyguide.server.ops.pseudonyms import Pseudonyms
from honeyguide.server.serving.answers import Answers
from honeyguide.v1.event_service_pb2 import DeleteUserRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RankRequest, RecommendRequest


def read(folder: Path) -> pl.DataFrame:
    return pl.concat([pl.read_parquet(path) for path in folder.glob("*.parquet")])


async def test_every_answer_is_a_row_that_joins_by_its_request_id(start: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef")
    log = {"exposures": tmp_path / "log", "exposures_key": tmp_path / "key", "exposures_seconds": 1}
    async with start(**log) as running:
        history = History(item_ids=["item-1"])
        ask = RecommendRequest(user_id="ann", history=history, k=3)
        shown = await asyncio.gather(*(running.recommender.Recommend(ask) for _ in range(5)))
        anonymous = await running.recommender.Recommend(RecommendRequest(k=2))
        ranked = await running.recommender.Rank(RankRequest(history=history, item_ids=["item-4", "item-5"]))
        await running.events.DeleteUser(DeleteUserRequest(user_id="ann"))
    rows = {row["request_id"]: row for row in read(tmp_path / "log").to_dicts()}
    assert len(rows) == 7
    for answer in (*shown, anonymous, ranked):
        row = rows[answer.request_id]
        assert row["item_ids"] == [item.item_id for item in answer.items]
        assert row["scores"] == pytest.approx([item.score for item in answer.items])
        assert row["models"] == [f"{model.name}/{model.version}" for model in answer.models]
    assert rows[anonymous.request_id]["user"] is None
    pseudonyms = Pseudonyms(b"0123456789abcdef")
    assert {rows[answer.request_id]["user"] for answer in shown} == {pseudonyms.of("ann")}
    assert Erasures(tmp_path / "log", pseudonyms, settle_seconds=0).carry_out() == 5, "DeleteUser noted it"
    assert set(read(tmp_path / "log")["request_id"]) == {anonymous.request_id, ranked.request_id}


async def test_rows_of_a_pipeline_with_arms_say_which_was_drawn_and_how_probable_that_was(
    start: Any, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("0123456789abcdef")
    log = {"exposures": tmp_path / "log", "exposures_key": tmp_path / "key", "exposures_seconds": 1}
    pipelines = {"home": {"model": "tiny", "arms": {"next": 25}}, "next": {"model": "tiny_ranker"}}
    async with start(pipelines=pipelines, **log) as running:
        asked = [RecommendRequest(user_id=f"u{n}", pipeline="home", k=2) for n in range(40)]
        shown = await asyncio.gather(*map(running.recommender.Recommend, asked))
        apart = await running.recommender.Recommend(RecommendRequest(pipeline="next", k=2))
    rows = {row["request_id"]: row for row in read(tmp_path / "log").to_dicts()}
    assert {answer.arm for answer in shown} == {"home", "next"}
    for answer in shown:
        row = rows[answer.request_id]
        probable = 0.25 if answer.arm == "next" else 0.75
        assert (row["pipeline"], row["arm"], row["propensity"]) == ("home", answer.arm, probable)
    row = rows[apart.request_id]
    assert (row["pipeline"], row["arm"], row["propensity"]) == ("next", None, None)


async def test_without_a_key_it_does_not_start(start: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exposures_key is not; make one"):
        async with start(exposures=tmp_path / "log"):
            pass
    (tmp_path / "log").write_text("a file")
    (tmp_path / "key").write_text("0123456789abcdef")
    with pytest.raises(ConfigError, match=r"exposures is .*, which cannot be written to"):
        async with start(exposures=tmp_path / "log", exposures_key=tmp_path / "key"):
            pass


@pytest.mark.parametrize(
    "problem",
    [
        OSError(28, "No space left on device"),
        pl.exceptions.ComputeError("parquet: underlying IO error: No space left on device (os error 28)"),
    ],
    ids=["of-python", "of-polars"],
)
def test_what_does_not_fit_or_cannot_be_written_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: Callable[..., Answers], problem: Exception
) -> None:
    monkeypatch.setattr(log_module, "_QUEUE_ROWS", 4)
    counted: Counter[str] = Counter()

    def observe(outcome: str, rows: int) -> None:
        counted[outcome] += rows

    log = ExposureLog(tmp_path, Pseudonyms(b"k" * 32), observe=observe)
    for number in range(3):
        log.add(Shown(1, "p", [f"{number}a", f"{number}b"], ["", ""], answers()))
    log.close()
    assert counted == {"written": 4, "lost": 2}

    def full(*_: object) -> None:
        raise problem

    monkeypatch.setattr(log_module, "write_file", full)
    log = ExposureLog(tmp_path, Pseudonyms(b"k" * 32), observe=observe)
    log.add(Shown(1, "p", ["c", "d"], ["", ""], answers()))
    log.close()
    assert counted == {"written": 4, "lost": 4}
