"""The verb `items`: a file of new items goes to the server whole, or nothing of it does."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import items
from honeyguide.sdk.errors import DataError


@pytest.fixture
def honeyguide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    items.add_to(app)
    return lambda *words: CliRunner().invoke(app, ["items", *words], catch_exceptions=False)


def test_a_file_is_sent_in_parts_with_columns_by_their_kind(fake, honeyguide, tmp_path):
    lines = [{"item_id": 7, "title": None, "price": 2, "blurb": "a", "image": [1, 0.5], "gone": None}]
    lines += [{"item_id": f"n-{number}", "categories": ["odd"]} for number in range(600)]
    file = tmp_path / "new.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    done = honeyguide("add", str(file), "--server", fake.address, "--json")
    assert json.loads(done.stdout)["added"] == 601
    sent = [request for name, request, *_ in fake.requests if name == "UpsertItems"]
    assert [len(request.items) for request in sent] == [500, 101]
    first = sent[0].items[0]
    assert (first.item_id, first.title, dict(first.texts), dict(first.numbers)) == (
        "7",
        "",
        {"blurb": "a"},
        {"price": 2},
    )
    assert list(first.vectors["image"].values) == [1, 0.5]


def test_added_items_are_listed_and_taken_out(fake, honeyguide):
    assert "price" in honeyguide("list", "--server", fake.address).stdout
    done = honeyguide("delete", "n", "m", "--server", fake.address, "--json")
    assert json.loads(done.stdout) == {"deleted": 1, "missing_item_ids": ["m"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no items"),
        ("[1]", "line 1: an item is an object"),
        ('{"item_id": "a"}\n{"item_id": "a"}', "line 2: item 'a' is in line 1 already"),
        ('{"item_id": "a", "flag": true}', "'flag' must be text, a number"),
        ('{"item_id": "a", "categories": "odd"}', "a list of texts"),
        ('{"item_id": "a"', "line 1: "),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_sent(fake, honeyguide, tmp_path, text, words):
    file = tmp_path / "new.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        honeyguide("add", str(file), "--server", fake.address)
    assert not fake.requests
