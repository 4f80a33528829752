"""Answers become rows of the exposure log as they were shown: `table.py`, `shown.py`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from honeyguide.server.exposure.shown import Shown
from honeyguide.server.exposure.table import SCHEMA, ExposureTable
from honeyguide.server.ops.pseudonyms import Pseudonyms
from honeyguide.server.serving.answers import Answers

Make = Callable[..., Answers]


@pytest.fixture
def table() -> ExposureTable:
    return ExposureTable(Pseudonyms(b"k" * 32))


def test_a_row_says_what_was_shown_to_whom_and_how(table: ExposureTable, answers: Make) -> None:
    made = table.make([Shown(1_700_000_000_123, "home", ["r1", "r2"], ["ann", ""], answers(), "b", 0.1)])
    assert made.schema == SCHEMA
    first, second = made.to_dicts()
    assert first["time"] == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)
    assert (first["request_id"], first["pipeline"], first["arm"]) == ("r1", "home", "b")
    assert first["propensity"] == pytest.approx(0.1)
    assert first["models"] == ["cf/3", "joint/1"]
    assert (first["item_ids"], first["scores"], first["sources"]) == (["c", "a"], [0.5, 0.25], ["RETRIEVED", "POPULAR"])
    assert (second["item_ids"], second["scores"]) == (["b"], [2.0]), "what stands behind the last item is not shown"
    assert (first["user"], second["user"]) == (Pseudonyms(b"k" * 32).of("ann"), None)
    assert "ann" not in str(first)


def test_batches_of_several_pipelines_and_widths_become_one_table(table: ExposureTable, answers: Make) -> None:
    no_rows, no_scores = np.empty((1, 0), np.int32), np.empty((1, 0), np.float32)
    nothing = answers(rows=no_rows, scores=no_scores, sources=no_rows, lengths=[0])
    made = table.make(
        [
            Shown(1, "p", ["1", "2"], ["u", "v"], answers(reasons=[("RANK_FAILED",), ()])),
            Shown(2, "q", ["3", "4"], ["u", "v"], answers()),
            Shown(3, "p", ["5", "6"], ["u", "v"], answers()),
            Shown(4, "p", ["7"], [""], nothing),
        ]
    ).sort("request_id")
    assert made["request_id"].to_list() == list("1234567")
    assert made["pipeline"].to_list() == list("ppqqppp")
    assert made["degraded_reasons"].to_list() == [["RANK_FAILED"], *[[]] * 6]
    assert made["item_ids"].list.len().to_list() == [2, 1, 2, 1, 2, 1, 0]
    assert made["arm"].null_count() == made["propensity"].null_count() == 7


def test_nothing_shown_is_an_empty_table(table: ExposureTable) -> None:
    assert table.make([]).equals(pl.DataFrame(schema=SCHEMA))
