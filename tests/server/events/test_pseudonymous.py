"""The store never learns who its users are, and finds and erases them under every key (`pseudonymous.py`)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError, InvalidArgument
from honeyguide.server.events.opening import open_store
from honeyguide.server.events.pseudonymous import PseudonymousStore, read_user_keys
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.settings import make_settings

OLD, NEW = "o" * 32, "n" * 32


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store" / "events.db"


@pytest.fixture
def inner(path: Path) -> Iterator[SqliteEventStore]:
    with SqliteEventStore(path) as opened:
        yield opened


def under(inner: SqliteEventStore, tmp_path: Path, *keys: str) -> PseudonymousStore:
    (tmp_path / "keys").write_text("\n".join(keys) + "\n")
    return PseudonymousStore(inner, read_user_keys(tmp_path / "keys"))


def items_of(store: PseudonymousStore, user: str) -> list[str]:
    names = store.item_ids()
    return [names[number] for number in store.histories([user])[0].items]


def test_no_file_names_a_user_and_everything_else_is_as_ever(
    inner: SqliteEventStore, path: Path, tmp_path: Path
) -> None:
    store = under(inner, tmp_path, NEW)
    events = [StoredEvent("anna-secret", f"item-{i}", i, "view", event_id=f"{i}") for i in range(5)]
    assert store.record([*events, StoredEvent("ben-secret", "pen", 1)]).result() == RecordCounts(6, 0)
    assert store.record(events).result() == RecordCounts(0, 5)
    assert not any(b"secret" in file.read_bytes() for file in path.parent.iterdir())
    assert items_of(store, "anna-secret") == [f"item-{i}" for i in range(5)]
    assert [len(h) for h in store.histories(["nobody", "ben-secret"])] == [0, 1]
    assert store.page("anna-secret", 10).events == events[::-1]
    first = store.page("anna-secret", 2)
    assert store.page("anna-secret", 9, first.next_token).events == events[2::-1]
    with pytest.raises(InvalidArgument, match="page_token"):
        store.page("ben-secret", 9, first.next_token)
    assert (store.count("anna-secret"), store.event_types()) == (5, ["", "view"])
    assert all(len(user) == 32 for user in store.user_page(9).user_ids)
    assert store.delete_user("anna-secret").result() == 5
    assert store.count("anna-secret") == 0
    assert store.problem == ""


def test_a_user_of_a_former_key_is_found_and_moves_with_the_next_event(inner: SqliteEventStore, tmp_path: Path) -> None:
    under(inner, tmp_path, OLD).record([StoredEvent("anna", "book", 1, event_id="x")]).result()
    store = under(inner, tmp_path, NEW, OLD)
    assert items_of(store, "anna") == ["book"]
    assert [event.item_id for event in store.page("anna", 9).events] == ["book"]
    again = [StoredEvent("anna", "book", 1, event_id="x"), StoredEvent("anna", "pen", 2)]
    assert store.record(again).result() == RecordCounts(1, 1)
    assert items_of(store, "anna") == ["book", "pen"]
    alone = under(inner, tmp_path, NEW)  # the former key is not needed for this user any more
    assert items_of(alone, "anna") == ["book", "pen"]
    assert len(inner.user_page(9).user_ids) == 1


def test_servers_with_the_keys_in_either_order_agree_at_every_moment(inner: SqliteEventStore, tmp_path: Path) -> None:
    stores = under(inner, tmp_path, NEW, OLD), under(inner, tmp_path, OLD, NEW)
    for i in range(20):
        stores[i % 3 == 0].record([StoredEvent("anna", f"item-{i}", i)]).result()
        assert all(items_of(store, "anna") == [f"item-{n}" for n in range(i + 1)] for store in stores)


def test_events_under_both_keys_become_one_history(inner: SqliteEventStore, tmp_path: Path) -> None:
    for key, time in ((OLD, 1), (NEW, 2)):
        events = [StoredEvent("anna", "both", time, event_id="x"), StoredEvent("anna", key[0], time)]
        under(inner, tmp_path, key).record(events).result()
    store = under(inner, tmp_path, NEW, OLD)
    store.record([StoredEvent("anna", "last", 3)]).result()
    assert items_of(store, "anna") == ["o", "both", "n", "last"]


def test_a_user_is_erased_under_every_key(inner: SqliteEventStore, path: Path, tmp_path: Path) -> None:
    for key in (OLD, NEW):
        under(inner, tmp_path, key).record([StoredEvent("anna", f"only-{key}", 1)]).result()
    store = under(inner, tmp_path, NEW, OLD)
    assert store.delete_user("anna").result() == 2
    assert store.user_page(9).user_ids == []
    assert not any(b"only-" in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("text", ["", "short", OLD + "\n" + OLD, "x" * 65])
def test_a_file_of_keys_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match=r"events_user_keys is .*keys.*openssl rand"):
        open_store(make_settings(events=tmp_path / "events.db", events_user_keys=tmp_path / "keys"))
    with pytest.raises(ConfigError, match="cannot be read"):
        read_user_keys(tmp_path / "none")


def test_the_setting_opens_the_store_so(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(NEW)
    store = open_store(make_settings(events=tmp_path / "events.db", events_user_keys=tmp_path / "keys"))
    try:
        store.record([StoredEvent("anna-secret", "book", 1)]).result()
    finally:
        store.close()
    assert b"secret" not in (tmp_path / "events.db").read_bytes()
