import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading import decoding
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.json_lines import JsonLines


def write(folder: Path, *lines: str) -> Path:
    path = folder / "log.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return path


def read(
    path: Path, selection: list[str] | None = None, lists: tuple[str, ...] = (), told: list[Any] | None = None
) -> tuple[list[tuple[Any, ...]], list[int]]:
    file = JsonLines(path, FileKind.of(path), TextFormat(), "", [])
    rows, lines = [], []
    tell = None if told is None else (lambda *words: told.append(words))
    for numbers, frame in file.frames(selection or file.columns, tell, lambda _: None, lists):
        rows += frame.rows()
        lines += numbers.tolist()
    return rows, lines


@pytest.fixture(params=[9, 1 << 19], autouse=True)
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "BLOCK", request.param)


def test_values_come_as_text_and_absent_keys_empty(tmp_path: Path) -> None:
    path = write(
        tmp_path, '{"user":"u", "item": 12345678901234567890, "price": 1.50}', "", '{"item":"é","new":true}',
        '{"user":null,"item":"[x","price":1e3}',
    )  # fmt: skip
    rows, lines = read(path)
    assert JsonLines(path, FileKind("jsonl"), TextFormat(), "", []).columns == ["user", "item", "price", "new"]
    assert [row[:2] for row in rows] == [("u", "12345678901234567890"), (None, "é"), (None, "[x")]
    assert [None if row[2] is None else float(row[2]) for row in rows] == [1.5, None, 1000]
    assert [row[3] for row in rows] == [None, "true", None]
    assert lines == [1, 3, 4]


@pytest.mark.parametrize("broken", ['{"user": "u", "item"', '{"user": 1} {"user": 2}', "5", "[1]", "user,item"])
def test_a_broken_line_is_named_or_left_out(tmp_path: Path, broken: str) -> None:
    path = write(tmp_path, *['{"user": "u"}'] * 30, broken, '{"user": "v"}')
    with pytest.raises(DataError, match=r"log.jsonl, row 31: the line is no JSON object"):
        read(path)
    told: list[Any] = []
    rows, lines = read(path, told=told)
    assert (len(rows), lines[-1]) == (31, 32)
    assert told == [("no JSON object", 1, f"row 31: {broken}")]


def test_a_broken_first_line_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: the line is no JSON object.*user,item"):
        read(write(tmp_path, "user,item", "u,a"))
    path = write(tmp_path, "")
    with pytest.raises(DataError, match="no JSON objects"):
        JsonLines(path, FileKind("jsonl"), TextFormat(), "", [])


def test_nested_values_are_refused_only_where_they_are_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, '{"user": "u", "tags": ["a", 1], "more": {"x": 1}}', '{"user": "v", "tags": null}')
    assert read(path, ["user"])[0] == [("u",), ("v",)]
    with pytest.raises(DataError, match=r"row 1, column 'tags': its value is nested"):
        read(path, ["user", "tags"])
    with pytest.raises(DataError, match=r"row 1, column 'more': its value is nested"):
        read(path, ["more"], lists=("tags",))


def test_lists_are_read_where_they_may_be(tmp_path: Path) -> None:
    path = write(tmp_path, '{"id": "a", "tags": ["x", "y"]}', '{"id": "b"}', '{"id": "c", "tags": "z"}')
    rows, _ = read(path, ["id", "tags"], lists=("tags",))
    assert [(name, tags or []) for name, tags in rows] == [("a", ["x", "y"]), ("b", []), ("c", ["z"])]
    plain = write(tmp_path, '{"id": "a", "tags": "x|y"}')
    assert read(plain, ["id", "tags"], lists=("tags",))[0] == [("a", "x|y")]


def test_a_word_that_python_alone_reads_is_no_fault(tmp_path: Path) -> None:
    assert read(write(tmp_path, '{"user": "u", "price": NaN}'))[0] == [("u", "NaN")]


def test_half_a_character_is_no_text(tmp_path: Path) -> None:
    assert read(write(tmp_path, '{"user": "\\ud83d\\ude00"}'))[0] == [("😀",)]
    with pytest.raises(DataError, match=r"row 2: .*half of a surrogate pair"):
        read(write(tmp_path, '{"user": "u"}', '{"user": "\\ud83d"}'))


VALUE = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
                  st.integers(-(10**17), 10**17), st.booleans())  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.lists(st.fixed_dictionaries({"a": VALUE}, optional={"b": VALUE}), min_size=1, max_size=6), st.booleans())
def test_what_python_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[dict[str, Any]], ascii_alone: bool
) -> None:
    path = write(tmp_path_factory.mktemp("j"), *(json.dumps(row, ensure_ascii=ascii_alone) for row in table))
    rows, lines = read(path, ["a"])
    words = {"True": "true", "False": "false", "None": None}
    plain = [row["a"] if isinstance(row["a"], str) else words.get(str(row["a"]), str(row["a"])) for row in table]
    assert [row[0] for row in rows] == plain
    assert lines == list(range(1, len(table) + 1))
