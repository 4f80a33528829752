import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.sources import Source


def write(folder: Path, files: dict[str, str | bytes | pl.DataFrame]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pl.DataFrame):
            content.write_parquet(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def rows(source: Source, *selection: str, **options: Any) -> list[tuple[Any, ...]]:
    return [row for _, frame in source.frames(selection, **options) for row in frame.rows()]


def test_several_files_are_one_table_by_the_names_of_the_columns(tmp_path: Path) -> None:
    write(tmp_path, {"b.csv": "user,item\nu,a\n", "a.csv": "item;user\nb;v\n", "c.csv": "user,item,more\nw,c,x\n"})
    source = Source([tmp_path / "b.csv", tmp_path / "a.csv", tmp_path / "c.csv"])
    assert source.columns == ["user", "item", "more"]
    assert rows(source, "user", "item") == [("u", "a"), ("v", "b"), ("w", "c")]
    with pytest.raises(DataError, match=r"b\.csv, column 'more': the file lacks this column, which c\.csv has"):
        rows(source, "more")


@pytest.mark.parametrize("place", ["", "*.csv", "**/*.csv", "?.csv"])
def test_a_folder_and_a_glob_are_read_in_the_order_of_their_names(tmp_path: Path, place: str) -> None:
    folder = write(tmp_path, {"b.csv": "user\n2\n", "a.csv": "user\n1\n", ".c.csv": "x\n", "_SUCCESS": b""})
    assert rows(Source([folder / place]), "user") == [("1",), ("2",)]


def test_places_say_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": 'user\n\n"1\n"\n2\n\n', "b.csv": "user\n", "c.csv": "user\n3\n4\n"})
    source = Source([tmp_path])
    places = [int(place) for block, _ in source.frames(["user"]) for place in block]
    assert len(set(places)) == 4
    assert [(path.name, line) for path, line in map(source.where, places)] == [
        ("a.csv", 3), ("a.csv", 5), ("c.csv", 2), ("c.csv", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
@pytest.mark.parametrize("place", ["log", "log/day=*", "log/*/*"])
def test_keys_of_hive_folders_are_columns(tmp_path: Path, kind: str, place: str) -> None:
    def table(user: str) -> str | pl.DataFrame:
        texts = {"csv": f"user\n{user}\n", "jsonl": json.dumps({"user": user})}
        return texts.get(kind) or pl.DataFrame({"user": [user]})

    folders = {"day=2020-01-02": "b", "day=a%20b": "a", "day=__HIVE_DEFAULT_PARTITION__": "c"}
    write(tmp_path, {f"log/{folder}/part-0.{kind}": table(user) for folder, user in folders.items()})
    if place.endswith("*") and not place.endswith("*/*"):
        place += "/*"
    source = Source([tmp_path / place])
    assert source.columns == ["user", "day"]
    assert set(rows(source, "day", "user")) == {("2020-01-02", "b"), ("a b", "a"), (None, "c")}


def test_mixed_kinds_empty_folders_and_what_is_not_there_are_named(tmp_path: Path) -> None:
    write(tmp_path, {"log/a.csv": "user\nu\n", "log/b.parquet": pl.DataFrame({"user": ["u"]}), "empty/_SUCCESS": b""})
    with pytest.raises(DataError, match=r"b\.parquet: this is parquet, and a\.csv is text"):
        Source([tmp_path / "log"])
    with pytest.raises(DataError, match=r"empty: the folder has no files to read"):
        Source([tmp_path / "empty"])
    with pytest.raises(DataError, match="there is no such file"):
        Source([tmp_path / "absent"])
    with pytest.raises(DataError, match="no file matches"):
        Source([tmp_path / "*.tsv"])


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    write(tmp_path, {"log[1].csv": "user\nu\n"})
    assert rows(Source([tmp_path / "log[1].csv"]), "user") == [("u",)]


def test_facts_say_what_was_found_out(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": gzip.compress(b"a;b;c\n1;2;3\n"), "b.jsonl": '{"a": 1}', "c": pl.DataFrame({"a": [1]})})
    text = {"kind": "text", "files": 1, "separator": ";", "separator_detected": True, "encoding": "utf-8", "gzip": True}
    assert Source([tmp_path / "a.csv"]).facts == text
    assert Source([tmp_path / "a.csv"], TextFormat(";")).facts == text | {"separator_detected": False}
    assert Source([tmp_path / "b.jsonl"]).facts == {"kind": "jsonl", "files": 1, "encoding": "utf-8"}
    assert Source([tmp_path / "c"]).facts == {"kind": "parquet", "files": 1}


def test_rows_left_out_name_their_file_where_there_are_several(tmp_path: Path) -> None:
    write(tmp_path, {"day=1/a.csv": "user\nu\n", "day=2/a.csv": "user\nv,x\nw\n"})
    told: list[tuple[str, int, str]] = []
    left = rows(Source([tmp_path]), "user", bad_rows=lambda *words: told.append(words))
    assert left == [("u",), ("w",)]
    assert told == [("more fields than the header has", 1, "day=2/a.csv row 2: v,x")]


def test_remedies_name_the_options_of_the_file(tmp_path: Path) -> None:
    write(tmp_path, {"items.csv": b"id,title\n1,caf\xe9\n"})
    source = Source([tmp_path / "items.csv"], TextFormat(encoding="latin-1"), flags="items-")
    assert rows(source, "title") == [("café",)]
    with pytest.raises(DataError, match="--items-encoding"):
        Source([tmp_path / "items.csv"], flags="items-")


def test_progress_goes_from_file_to_file_up_to_one(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": "user\nu\n", "b.csv": "user\nv\n"})
    told: list[float] = []
    rows(Source([tmp_path]), "user", progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_sequences_are_one_event_an_item(tmp_path: Path) -> None:
    write(tmp_path, {"s3rec.txt": "u1 i1 i2\nu2 i2\n"})
    source = Source([tmp_path / "s3rec.txt"], TextFormat(sequences=True))
    assert source.columns == ["user", "item"]
    assert rows(source, "item", "user") == [("i1", "u1"), ("i2", "u1"), ("i2", "u2")]
