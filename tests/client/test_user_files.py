"""Files of users: Parquet, CSV and JSON lines give the same users, and what is wrong is named by line or column."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honeyguide.answers import History, UserRow
from honeyguide.client import InputError
from honeyguide.client.user_files import UserFile

NAMES = [UserRow("007"), UserRow("17850"), UserRow(""), UserRow("a b")]
BOTH = [UserRow("7", History(["1", "b"], [1, 2])), UserRow("8", History([], [])), UserRow("9", History(["c"], []))]


def users(path: Path, start: int = 0) -> list[UserRow]:
    """The users as they are, with histories whose columns are lists."""
    return [
        UserRow(user.user_id, user.history and History(list(user.history.item_ids), list(user.history.times_ms)))
        for user in UserFile(path).users(start)
    ]


def text(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


def test_ids_are_the_same_whatever_the_file(tmp_path):
    csv = text(tmp_path / "u.csv", "other,user_id\nx,007\nx, 17850.0 \nx,nan\nx,a b\n")
    lines = text(
        tmp_path / "u.jsonl", '{"user_id": "007"}\n{"user_id": 17850.0}\n\n{"user_id": "NULL"}\n{"user_id": "a b"}\n'
    )
    pq.write_table(pa.table({"user_id": ["007", " 17850.0", r"\N", "a b"]}), tmp_path / "u.parquet")
    packed = tmp_path / "u.csv.gz"
    packed.write_bytes(gzip.compress(csv.read_bytes()))
    for path in (csv, lines, tmp_path / "u.parquet", packed):
        assert users(path) == NAMES
        assert users(path, 2) == NAMES[2:]
        assert (UserFile(path).rows, UserFile(path).has_ids) == (4, True)


@pytest.mark.parametrize(
    "ids", [pa.array([17850, 2, None]), pa.array([17850.0, 2.0, float("nan")]), pa.array([17850, 2, None], pa.uint64())]
)
def test_numbers_are_their_text(tmp_path, ids):
    pq.write_table(pa.table({"user_id": ids, "history": [[1], [2.0, 3.0], None]}), tmp_path / "u.parquet")
    assert users(tmp_path / "u.parquet") == [
        UserRow("17850", History(["1"], [])), UserRow("2", History(["2", "3"], [])), UserRow(""),
    ]  # fmt: skip


def test_histories_are_the_same_whatever_the_file(tmp_path):
    csv = text(tmp_path / "u.tsv", "user_id\thistory\thistory_time_ms\r\n7\t1 b\t1 2\r\n8\t\t\r\n9.0\tc\t\r\n")
    records = [
        {"user_id": 7, "history": [1, "b"], "history_time_ms": [1, 2]},
        {"user_id": "8", "history": [], "history_time_ms": []},
        {"user_id": 9.0, "history": ["c"]},
    ]
    lines = text(tmp_path / "u.ndjson", "\n".join(map(json.dumps, records)))
    table = {
        "user_id": ["7", "8", "9"],
        "history": [["1", "b"], [], ["c"]],
        "history_time_ms": pa.array([[1, 2], [], None], pa.list_(pa.int64())),
    }
    pq.write_table(pa.table(table), tmp_path / "u.parquet", row_group_size=2)
    for path in (csv, lines, tmp_path / "u.parquet"):
        assert users(path) == BOTH
        assert users(path, 1) == BOTH[1:]


def test_a_file_is_what_it_holds_whatever_its_name(tmp_path):
    assert users(text(tmp_path / "u.parquet", "user_id\na\n")) == [UserRow("a")]
    assert users(text(tmp_path / "u.csv", '{"user_id": "a"}\n')) == [UserRow("a")]
    assert users(text(tmp_path / "bom.csv", "\ufeffuser_id;x\na;1\n")) == [UserRow("a")]
    assert users(text(tmp_path / "cr.csv", "user_id|x\ra|1\r")) == [UserRow("a")]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("\n\n12352\n12353\n", "neither column 'user_id' nor 'history' is there; it has 12352"),
        ("user_id,x\na,1\nb\n", r"u\.csv, line 3: 1 fields; the first line names 2"),
        ('\nuser_id,x\n"a"b,1\n', r"u\.csv, line 3: this is no CSV"),
        ("history,history_time_ms\na b,1 x\n", r"u\.csv, line 2: history_time_ms\[1\] is 'x'; allowed: whole"),
        ('{"user_id": "a"}\n\n{"user_id": [1]}\n', r"u\.csv, line 3: user_id is \[1\]; allowed: an id"),
        ('{"history": ["a"]}\n{"history": "ab"}\n', r"u\.csv, line 2: history is 'ab'; allowed: a list"),
        ('{"history": ["a"]}\n{"history": [1.5]}\n', r"u\.csv, line 2: history\[0\] is 1\.5; allowed: an id"),
        ('{"user_id": "a"}\n{"user_id": \n', r"u\.csv, line 2: this is no JSON"),
        ('{"user_id": "a"}\n{"user_id": "a"}, 5\n', r"u\.csv, line 2: this is no JSON"),
        ('{"id": "a"}\n', "neither column 'user_id' nor 'history' is there; it has id"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(tmp_path, content, says):
    with pytest.raises(InputError, match=says):
        UserFile(text(tmp_path / "u.csv", content))


def test_other_encodings_and_torn_archives_are_named(tmp_path):
    with pytest.raises(InputError, match="this is not text in UTF-8"):
        UserFile(text(tmp_path / "u.csv", "user_id\nÄ\n", "latin-1"))
    with pytest.raises(InputError, match="this is not text in UTF-8"):
        UserFile(text(tmp_path / "u.csv", "user_id\nÄ\n", "utf-16"))
    (tmp_path / "u.csv.gz").write_bytes(gzip.compress(b"user_id\n" + b"a\n" * 10_000)[:-20])
    with pytest.raises(InputError, match="this cannot be read"):
        UserFile(tmp_path / "u.csv.gz")


def test_a_row_of_nothing_is_nobody_where_the_file_names_users(tmp_path):
    csv = text(tmp_path / "u.csv", "user_id,history\n,\n,a b\nu,\n")
    lines = text(tmp_path / "u.jsonl", '{"user_id": null, "history": []}\n{"user_id": "", "history": ["a", "b"]}\n')
    anonymous = UserRow(None, History(["a", "b"], []))
    assert users(csv) == [UserRow(""), anonymous, UserRow("u", History([], []))]
    assert users(lines) == [UserRow(""), anonymous]


def test_each_line_of_json_is_judged_by_its_own_keys(tmp_path):
    lines = text(tmp_path / "u.jsonl", '{"user_id": "u"}\n{"user_id": "v", "history": ["a"]}\n{"history": ["a"]}\n')
    assert users(lines) == [UserRow("u"), UserRow("v", History(["a"], [])), UserRow(None, History(["a"], []))]
    assert UserFile(lines).has_ids
    odd = text(tmp_path / "odd.jsonl", '{"user_id": "u"}\n{"user": "v"}\n')
    with pytest.raises(InputError, match="line 2: neither column"):
        UserFile(odd)
