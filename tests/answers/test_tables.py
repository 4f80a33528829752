"""Answers as tables: columns, frames, and what a notebook shows."""

from __future__ import annotations

import pickle
import sys
from types import SimpleNamespace

import polars as pl
import pytest

from honeyguide.answers import (
    BatchAnswer,
    BecauseItem,
    Event,
    Item,
    ModelVersion,
    Ranked,
    Recommendations,
    Recorded,
    RejectedEvent,
    RowFailure,
    SimilarItems,
)
from honeyguide.answers.tables import Listing, Tabular

CF = ModelVersion("cf", 1)
ITEMS = (
    Item("a", 0.5, "RETRIEVED", "cf", "<b>Tea</b>", (BecauseItem("x", "X"),)),
    Item("b", 0.25, "POPULAR", "", "Cup"),
)
ANSWER = Recommendations(ITEMS, "r", 0, 0, (CF,), "STORED")
BATCH = BatchAnswer(
    0,
    (CF,),
    (
        Ranked(("a", "b"), (0.5, 0.25), ("RETRIEVED", "POPULAR"), "cf", "STORED", "anna", ("Tea", "Cup")),
        RowFailure(3, "INVALID_FIELD", "user_id", "'' is empty"),
        Ranked((), (), (), "cf", "STORED", "ben"),
    ),
)
REJECTED = Recorded(1, 0, (RejectedEvent(1, RowFailure(3, "INVALID_FIELD", "clicks", "clicks is -1")),))


def test_items_are_rows_best_first():
    assert ANSWER.to_rows()[0] == {
        "rank": 1, "item_id": "a", "title": "<b>Tea</b>", "score": 0.5, "source": "RETRIEVED", "source_model": "cf",
        "because_item_ids": ["x"],
    }  # fmt: skip
    assert "because_item_ids" not in SimilarItems(ITEMS[1:], "r", 0, CF).to_columns()


def test_a_batch_has_a_row_for_each_item_and_loses_nobody():
    rows = BATCH.to_rows()
    assert [(row["row"], row["user_id"], row["rank"], row["item_id"], row["error"]) for row in rows] == [
        (0, "anna", 1, "a", None),
        (0, "anna", 2, "b", None),
        (1, None, None, None, "'' is empty"),
        (2, "ben", None, None, None),
    ]
    assert [row["title"] for row in rows] == ["Tea", "Cup", None, None]


@pytest.mark.parametrize(
    "answer", [ANSWER, BATCH, REJECTED, Listing(Event, [Event("u", "i"), Event("u", "j", value=1.0)])]
)
def test_polars_takes_every_answer(answer):
    frame = answer.to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == list(answer.to_columns())
    assert frame.to_dicts() == answer.to_rows()


def test_an_answer_without_items_keeps_its_columns():
    empty = Recommendations((), "r", 10, 0, (CF,), "STORED")
    assert empty.to_rows() == []
    assert empty.to_polars().columns == ["rank", "item_id", "title", "score", "source", "source_model"]
    assert Listing(Event).to_polars().columns[:2] == ["user_id", "item_id"]


def test_pandas_is_given_the_columns(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda columns: ("frame", columns)))
    assert ANSWER.to_pandas() == ("frame", ANSWER.to_columns())


def test_a_library_that_is_missing_is_named(monkeypatch):
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=f"to_{name} needs {name}: pip install {name}"):
            getattr(ANSWER, f"to_{name}")()


def test_a_notebook_shows_a_table_with_everything_escaped():
    html = ANSWER._repr_html_()
    assert "<caption>2 items · cf 1 · STORED</caption>" in html
    assert "<th>item_id</th>" in html
    assert "<td>&lt;b&gt;Tea&lt;/b&gt;</td>" in html
    assert "<b>" not in html
    assert "<td>0.5000</td>" in html
    assert "3 users · cf 1" in BATCH._repr_html_()
    assert "1 accepted, 0 duplicates, 1 rejected" in REJECTED._repr_html_()


def test_a_long_table_is_cut_and_says_so():
    html = Listing(Event, [Event("u", str(n)) for n in range(2345)])._repr_html_()
    assert html.count("<tr>") == 101
    assert html.endswith("… 2,245 rows more")
    assert "2,345 × Event" in html


def test_a_listing_is_a_list_and_survives_pickling():
    listing = Listing(ModelVersion, [CF])
    assert listing == [CF]
    again = pickle.loads(pickle.dumps(listing))
    assert (again, again.to_rows()) == ([CF], [{"name": "cf", "version": 1}])


def test_a_table_says_its_columns_itself():
    with pytest.raises(NotImplementedError):
        Tabular().to_columns()
