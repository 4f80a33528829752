"""`store.py`: what was acknowledged is there after a restart, and a file of something else is left alone."""

import multiprocessing
import sqlite3
import stat

import pytest

from honeyguide.sdk.errors import Unavailable
from honeyguide.server.cold_items.item import ColdItem
from honeyguide.server.cold_items.store import ColdItemStore


def test_items_are_kept_replaced_and_taken_out(tmp_path):
    path = tmp_path / "items.db"
    store = ColdItemStore(path)
    assert (store.read(), store.delete(["a"]), path.exists()) == ([], ["a"], False)
    assert store.upsert([ColdItem("a", "one"), ColdItem("b")]) == 2
    assert store.upsert([ColdItem("a", "two"), ColdItem("c")]) == 1
    again = ColdItemStore(path)
    assert [(item.item_id, item.title) for item in again.read()] == [("a", "two"), ("b", ""), ("c", "")]
    assert again.delete(["b", "x"]) == ["x"]
    assert [item.item_id for item in store.read()] == ["a", "c"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_of_something_else_is_refused_and_unchanged(tmp_path):
    path = tmp_path / "items.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE things (name)")
    before = path.read_bytes()
    with pytest.raises(Unavailable, match="a file of something else"):
        ColdItemStore(path).upsert([ColdItem("a")])
    with pytest.raises(Unavailable, match="a file of something else"):
        ColdItemStore(path).read()
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, and longer than a header of one hundred bytes" * 3)
    with pytest.raises(Unavailable, match="cannot be read or written"):
        ColdItemStore(path).read()


def test_a_damaged_row_is_told(tmp_path):
    path = tmp_path / "items.db"
    store = ColdItemStore(path)
    store.upsert([ColdItem("a")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE items SET content = '[' || content")
    with pytest.raises(Unavailable, match="cannot be read or written"):
        store.read()


def add_one(path, number, begin, outcomes):
    begin.wait()
    try:
        ColdItemStore(path).upsert([ColdItem(f"n-{number}")])
        outcomes.put("")
    except Unavailable as error:
        outcomes.put(error.message)


def test_processes_may_make_the_file_at_once(tmp_path):
    forked = multiprocessing.get_context("fork")  # what they import would keep them apart
    for turn in range(8):
        path = tmp_path / f"{turn}.db"
        begin, outcomes = forked.Event(), forked.Queue()
        processes = [forked.Process(target=add_one, args=(path, number, begin, outcomes)) for number in range(4)]
        for process in processes:
            process.start()
        begin.set()
        assert [outcomes.get(timeout=30) for _ in processes] == [""] * 4
        for process in processes:
            process.join()
        assert len(ColdItemStore(path).read()) == 4


def test_a_file_whose_making_was_cut_off_is_made_whole(tmp_path):
    path = tmp_path / "items.db"
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA application_id = {0x48676369}")
    assert ColdItemStore(path).read() == []
    assert ColdItemStore(path).upsert([ColdItem("a")]) == 1


def test_what_is_unchanged_is_not_taken_apart_again(tmp_path):
    store, other = ColdItemStore(tmp_path / "items.db"), ColdItemStore(tmp_path / "items.db")
    store.upsert([ColdItem("a"), ColdItem("b")])
    a, b = store.read()
    other.upsert([ColdItem("a", "changed"), ColdItem("c")])
    changed, same, new = store.read()
    assert (changed.title, same is b, new.item_id) == ("changed", True, "c")
    assert changed != a
    assert changed.key == ColdItem("a", "changed").key
