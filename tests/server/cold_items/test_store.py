"""`store.py`: what was acknowledged is there after a restart, and a file of something else is left alone."""

import errno
import multiprocessing
import os
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
    with pytest.raises(Unavailable, match=r"\(cold_items\) cannot be read: file is not a database\. What is served"):
        ColdItemStore(path).read()


def ids(store):
    return [item.item_id for item in store.read()]


def test_a_damaged_row_is_told_and_nothing_is_written_beside_it(tmp_path):
    path = tmp_path / "items.db"
    store = ColdItemStore(path)
    store.upsert([ColdItem("a"), ColdItem("b")])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE items SET content = '[' || content WHERE item_id = 'a'")
    with pytest.raises(Unavailable, match="cannot be read"):
        store.read()
    with pytest.raises(Unavailable, match="cannot be written"):
        store.upsert([ColdItem("c")])
    with sqlite3.connect(path) as connection:
        assert [item_id for (item_id,) in connection.execute("SELECT item_id FROM items")] == ["a", "b"]
    assert [item.item_id for item in store.items] == ["a", "b"]
    assert store.delete(["a"]) == []
    assert (store.upsert([ColdItem("c")]), ids(store)) == (1, ["b", "c"])


def remove(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("lose", [remove, empty])
def test_a_file_that_was_taken_away_is_made_again_with_all_that_is_known(tmp_path, lose, capsys):
    path = tmp_path / "items.db"
    store = ColdItemStore(path)
    store.upsert([ColdItem("a"), ColdItem("b")])
    lose(path)
    assert ids(store) == ["a", "b"]
    assert (store.upsert([ColdItem("c")]), ids(ColdItemStore(path))) == (1, ["a", "b", "c"])
    lose(path)
    assert (store.delete(["a", "x"]), ids(ColdItemStore(path))) == (["x"], ["b", "c"])
    assert capsys.readouterr().out.count("was gone, and is made again") == 2
    store.delete(["b", "c"])
    lose(path)
    assert (ids(store), store.delete(["b"]), path.exists()) == ([], ["b"], lose is empty)


def test_a_file_put_in_its_place_is_taken_as_it_is(tmp_path):
    path, other = tmp_path / "items.db", tmp_path / "other.db"
    store = ColdItemStore(path)
    store.upsert([ColdItem("a")])
    ColdItemStore(other).upsert([ColdItem("b")])
    other.replace(path)
    assert (store.upsert([ColdItem("c")]), ids(store)) == (1, ["b", "c"])


def test_a_file_that_only_can_be_read_is_read(tmp_path, monkeypatch):
    path = tmp_path / "items.db"
    ColdItemStore(path).upsert([ColdItem("a")])
    store = ColdItemStore(path)

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    with monkeypatch.context() as patched:  # a superuser may write anyhow
        patched.setattr(os, "open", refuse)
        assert ids(store) == ["a"]
        for change in (lambda: store.upsert([ColdItem("b")]), lambda: store.delete(["a"])):
            with pytest.raises(Unavailable, match=r"\(cold_items\) cannot be written: Permission denied\."):
                change()
    assert (store.upsert([ColdItem("b")]), ids(store)) == (1, ["a", "b"])


def test_a_damaged_file_is_told_and_moved_away_it_is_made_again(tmp_path, capsys):
    path = tmp_path / "items.db"
    store = ColdItemStore(path)
    store.upsert([ColdItem(f"n-{number}", "x" * 300) for number in range(100)])
    damaged = path.read_bytes()[:4096] + b"\xff" * (path.stat().st_size - 4096)
    path.write_bytes(damaged)
    for call in (store.read, lambda: store.upsert([ColdItem("a")]), lambda: store.delete(["n-1"])):
        with pytest.raises(Unavailable, match="malformed"):
            call()
    assert (len(store.items), path.read_bytes() == damaged) == (100, True)
    assert str(path) in capsys.readouterr().out
    path.rename(tmp_path / "damaged.db")
    path.mkdir()
    with pytest.raises(Unavailable, match="Is a directory"):
        store.upsert([ColdItem("a")])
    path.rmdir()
    assert (store.upsert([ColdItem("a")]), len(ids(ColdItemStore(path)))) == (1, 101)


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
