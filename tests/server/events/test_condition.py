"""One damaged page is the matter of those whose events it held, and of nobody else (`condition.py`)."""

from pathlib import Path

import numpy as np
import pytest

from honeyguide.sdk import DataSpec
from honeyguide.sdk.errors import Unavailable
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.store_numbers import StoreNumbers
from honeyguide.server.events.condition import StoreCondition
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import RecordCounts, StoredEvent
from honeyguide.server.serving.event_columns import InlineHistory
from honeyguide.server.serving.histories import UserInput, UserState, build_histories

USERS = [f"user-{i:04}" for i in range(400)]
REQUEST = b"x" * 32
PAGE = 4096
LEAF = 0x0A  # what such a page of the table of events begins with


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "events.db"
    with SqliteEventStore(path) as store:
        for user in USERS:
            store.record(
                [StoredEvent(user, "book", i, value=1.5, request_id=REQUEST.decode()) for i in range(20)]
            ).result()
    return path


def zero_pages(path: Path, count: int = 20) -> None:
    """Overwrites pages that hold events in place."""
    with path.open("r+b") as file:
        pages = []
        for number in range(path.stat().st_size // PAGE):
            page = file.read(PAGE)
            if page[0] == LEAF and REQUEST in page:  # one above the leaves would take many users with it
                pages.append(number)
        for page in pages[len(pages) // 2 :][:count]:
            file.seek(page * PAGE)
            file.write(bytes(PAGE))


def test_users_whose_pages_are_sound_are_read_beside_those_whose_are_not(path: Path) -> None:
    with SqliteEventStore(path) as store:
        zero_pages(path)
        histories = store.histories([*USERS, "stranger"])
        broken = [h.unreadable for h in histories]
        assert 10 < sum(broken) < 100
        assert not broken[-1]
        assert all(len(h) == 20 for h in histories[:-1] if not h.unreadable)
        assert "malformed" in store.problem
        sound = USERS[broken.index(False)]
        assert store.record([StoredEvent(sound, "pen", 99)]).result() == RecordCounts(1, 0)
        assert "malformed" in store.problem  # one sound page says nothing of another


def test_a_write_to_a_damaged_page_fails_alone(path: Path) -> None:
    with SqliteEventStore(path) as store:
        store._writer._tables._db.execute("PRAGMA shrink_memory")  # what it read when it opened the file
        zero_pages(path)
        calls = [store.record([StoredEvent(user, "pen", 99)]) for user in USERS]
        errors = [call.exception() for call in calls]
        assert {type(error) for error in errors} == {type(None), Unavailable}
        assert sum(error is None for error in errors) > 300
        stored = [user for user, error in zip(USERS, errors, strict=True) if error is None]
        assert all(h.unreadable or len(h) == 21 for h in store.histories(stored))


def test_a_user_whose_history_cannot_be_read_is_known_by_what_the_request_says(path: Path) -> None:
    catalogue = Catalogue(["book", "pen"], [""] * 2, np.array([1, 2]), {})
    with SqliteEventStore(path) as store:
        zero_pages(path)
        broken = next(user for user in USERS if store.history(user).unreadable)
        sound = next(user for user in USERS if not store.history(user).unreadable)
        users = [UserInput(broken), UserInput(sound), UserInput(broken, InlineHistory(["pen"])), UserInput("stranger")]
        found = build_histories(users, store, StoreNumbers(catalogue, ()), catalogue, DataSpec(items=2, repeats=False))
    assert found.batch.lengths.tolist() == [0, 20, 1, 0]
    assert found.states == [UserState.ANONYMOUS, UserState.STORED, UserState.INLINE, UserState.ANONYMOUS]
    assert list(found.unreadable) == [0, 2]


def test_names_that_cannot_be_read_are_the_matter_of_those_who_have_events(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogue = Catalogue(["book", "pen"], [""] * 2, np.array([1, 2]), {})

    def broken(_start: int = 0) -> list[str]:
        raise Unavailable("the events could not be read")

    with SqliteEventStore(path) as store:
        monkeypatch.setattr(store, "item_ids", broken)
        users = [UserInput("stranger"), UserInput(USERS[0]), UserInput(None, InlineHistory(["pen"]))]
        found = build_histories(users, store, StoreNumbers(catalogue, ()), catalogue, DataSpec(items=2, repeats=False))
    assert found.batch.lengths.tolist() == [0, 0, 1]
    assert list(found.unreadable) == [1]


def test_a_file_of_which_nothing_can_be_read_fails_no_batch(path: Path) -> None:
    with SqliteEventStore(path) as store:
        path.write_bytes(bytes(path.stat().st_size))
        assert all(history.unreadable for history in store.histories(USERS[:3]))
        assert store.problem


def test_each_change_is_said_once_and_ends_when_it_works_again() -> None:
    condition = StoreCondition()
    condition.write_failed("full")
    condition.write_failed("full")
    condition.read_failed("locked")
    assert (condition.problem, condition.cannot_write) == ("full; locked", True)
    condition.write_well()
    condition.read_well()
    assert (condition.problem, condition.cannot_write) == ("", False)
