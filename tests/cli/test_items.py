"""The verb `items`: a file of new items goes to the server whole, or nothing of it does."""

from __future__ import annotations

import json

import grpc
import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import items
from honeyguide.cli.failures import ExitCode
from honeyguide.client import FailedPreconditionError, InputError
from honeyguide.sdk.errors import DataError
from honeyguide.v1.history_pb2 import ModelVersion


@pytest.fixture
def honeyguide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    app = typer.Typer()
    items.add_to(app)

    def invoke(*words, catch_exceptions=False):
        return CliRunner().invoke(app, ["items", *words], catch_exceptions=catch_exceptions)

    return invoke


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


def test_what_nothing_reads_and_who_does_not_place_is_said(fake, honeyguide, tmp_path):
    file = tmp_path / "new.jsonl"
    file.write_text('{"item_id": "n", "price": 2, "prize": 3}')
    done = honeyguide("add", str(file), "--server", fake.address)
    assert "no model reads column: prize" in done.stderr
    assert "not placed by odd 2: no encoder" in done.stderr
    said = json.loads(honeyguide("add", str(file), "--server", fake.address, "--json").stdout)
    assert said["unknown_columns"] == ["prize"]
    assert said["failures"] == [{"name": "odd", "version": 2, "problem": "no encoder"}]


def test_which_pipelines_recommend_them_is_said(fake, honeyguide, tmp_path):
    file = tmp_path / "new.jsonl"
    file.write_text('{"item_id": "n", "title": "New"}')
    assert "shop, plain" in honeyguide("add", str(file), "--server", fake.address).stdout
    fake.placing = [ModelVersion(name="other", version=1)]
    done = honeyguide("add", str(file), "--server", fake.address)
    assert "no pipeline retrieves with a model that places them" in done.stderr
    assert json.loads(honeyguide("add", str(file), "--server", fake.address, "--json").stdout)["pipelines"] == []


def test_nothing_is_added_where_the_pipelines_cannot_be_told(fake, honeyguide, tmp_path):
    file = tmp_path / "new.jsonl"
    file.write_text('{"item_id": "n", "title": "New"}')
    fake.fail("ListPipelines", grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION", "not now")
    refused = honeyguide("add", str(file), "--server", fake.address, catch_exceptions=True)
    assert isinstance(refused.exception, FailedPreconditionError)
    assert "UpsertItems" not in [name for name, *_ in fake.requests]


def test_added_items_are_listed_and_taken_out(fake, honeyguide):
    assert "price" in honeyguide("list", "--server", fake.address).stdout
    done = honeyguide("delete", "n", "m", "--server", fake.address, "--json")
    assert json.loads(done.stdout) == {"deleted": 1, "missing_item_ids": ["m"]}


def test_an_item_that_is_not_there_has_an_exit_code_of_its_own(fake, honeyguide):
    assert honeyguide("delete", "n", "--server", fake.address).exit_code == ExitCode.DONE
    done = honeyguide("delete", "n", "m", "--server", fake.address)
    assert done.exit_code == ExitCode.NOT_FOUND
    assert "m" in done.stderr


def test_many_ids_are_taken_out_in_parts(fake, honeyguide):
    ids = [f"n-{number}" for number in range(1_001)]
    done = honeyguide("delete", *ids, "--server", fake.address, "--json")
    assert json.loads(done.stdout)["deleted"] == 3
    assert [len(request.item_ids) for name, request, *_ in fake.requests if name == "DeleteItems"] == [500, 500, 1]


def test_any_text_with_a_mark_before_it_and_any_ends_of_lines_is_read(fake, honeyguide, tmp_path):
    file = tmp_path / "new.jsonl"
    titles = ["a\u2028b", "a\u0085b", "“a” b"]
    lines = [f'{{"item_id": {number}, "title": "{title}"}}' for number, title in enumerate(titles)]
    file.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    assert honeyguide("add", str(file), "--server", fake.address).exit_code == ExitCode.DONE
    (request,) = (request for name, request, *_ in fake.requests if name == "UpsertItems")
    assert [item.title for item in request.items] == titles


def test_where_it_stops_is_said_by_line(fake, honeyguide, tmp_path):
    file = tmp_path / "new.jsonl"
    lines = [f'{{"item_id": "n-{number}", "price": 1}}' for number in range(1_200)]
    file.write_text("\n\n".join(lines))
    fake.fail("UpsertItems", grpc.StatusCode.FAILED_PRECONDITION, "FAILED_PRECONDITION", "too many")
    stopped = honeyguide("add", str(file), "--server", fake.address, catch_exceptions=True)
    assert isinstance(stopped.exception, FailedPreconditionError)
    assert stopped.stderr == "", "of the first part there is no more to say"
    lines[700] = '{"item_id": "n-700", "title": "\\ud800"}'
    file.write_text("\n\n".join(lines))
    stopped = honeyguide("add", str(file), "--server", fake.address, catch_exceptions=True)
    assert isinstance(stopped.exception, InputError)
    assert (
        f"stopped at: {file}, lines 1,001 to 1,999, items[200] in line 1,401; "
        "of the lines before them 500 items are added or replaced"
    ) in stopped.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no items"),
        ("[1]", "line 1: an item is an object"),
        ('{"item_id": "a", "title": "A"}\n{"item_id": "a", "title": "A"}', "line 2: item 'a' is in line 1 already"),
        ('{"item_id": "a", "flag": true}', "'flag' must be text, a number"),
        ('{"item_id": "a", "categories": "odd"}', "\"categories\" must be a list of texts, not 'odd'"),
        ('{"item_id": "a", "categories": ""}', "\"categories\" must be a list of texts, not ''"),
        ('{"item_id": "a", "title": 7}', '"title" must be text, not 7'),
        ('{"item_id": "a", "title": 0}', '"title" must be text, not 0'),
        ('{"item_id": true}', '"item_id", text or a whole number'),
        ('{"item_id": "a", "price": 1%s}' % ("0" * 400), "line 1: 'price' must be finite, not inf"),
        ('{"item_id": "a", "image": [1, -1e999]}', "line 1: 'image' must be finite, not -inf"),
        ('{"item_id": "a", "image": [1, NaN]}', "line 1: 'image' must be finite, not nan"),
        ('{"item_id": "a", "title": " ", "price": null}', "line 1: nothing is said of item 'a' that could place it"),
        ('{"item_id": "a", "title": "A"}\nlamp', "line 2, character 1: no JSON: Expecting value$"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_sent(fake, honeyguide, tmp_path, text, words):
    file = tmp_path / "new.jsonl"
    file.write_text(text)
    with pytest.raises(DataError, match=words):
        honeyguide("add", str(file), "--server", fake.address)
    assert not fake.requests
