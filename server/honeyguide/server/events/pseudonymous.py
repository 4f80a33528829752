"""Puts a keyed hash in the place of every user's id before a store sees it, under keys that can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.events.store import EventStore, Page, RecordCounts, StoredEvent, StoredHistory, UserPage
from honeyguide.server.ops.pseudonyms import Pseudonyms

__all__ = ["PseudonymousStore", "read_user_keys"]


def read_user_keys(path: Path) -> list[Pseudonyms]:
    """Reads a file of keys, one a line, the one that writes first; raises `ConfigError` naming what is wrong."""
    try:
        lines = path.read_bytes().split()
    except OSError as error:
        raise ConfigError(f"events_user_keys is {str(path)!r}, which cannot be read ({error.strerror})") from error
    if not lines or not all(16 <= len(line) <= 64 for line in lines) or len(set(lines)) < len(lines):
        raise ConfigError(
            f"events_user_keys is {str(path)!r}; allowed: one key a line, each once and of 16 to 64 bytes: "
            "make one with `openssl rand -hex 32`"
        )
    return [Pseudonyms(line) for line in lines]


class PseudonymousStore:
    """`EventStore` that hands on what it is asked, with pseudonyms for users; it lists pseudonyms, too.

    The first key writes. A user whom another key wrote is found, and is moved to the first with the next event.
    """

    def __init__(self, store: EventStore, keys: Sequence[Pseudonyms]) -> None:
        """Takes the store, which it closes, and the keys."""
        self._store, self._writing, self._former = store, keys[0], keys[1:]

    @property
    def problem(self) -> str:
        """What ails the store."""
        return self._store.problem

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def record(self, events: Sequence[StoredEvent]) -> Future[RecordCounts]:
        """Stores events of pseudonyms; see `EventStore.record`."""
        names = {user_id: self._writing.of(user_id) for user_id in {event.user_id for event in events}}
        if self._former:  # it is done before the events are written, as the store does everything in turn
            moves = [(key.of(user_id), name) for user_id, name in names.items() for key in self._former]
            self._store.move_users(moves)
        return self._store.record([event._replace(user_id=names[event.user_id]) for event in events])

    def move_users(self, moves: Sequence[tuple[str, str]]) -> Future[int]:
        """Gives events of one user to another; see `EventStore.move_users`."""
        return self._store.move_users([(self._writing.of(old), self._writing.of(new)) for old, new in moves])

    def delete_user(self, user_id: str) -> Future[int]:
        """Deletes a user, under whichever key; see `EventStore.delete_user`."""
        deletions = [self._store.delete_user(name) for name in self._names(user_id)]
        if len(deletions) == 1:
            return deletions[0]
        whole: Future[int] = Future()

        def note(_: Future[int]) -> None:
            if all(deletion.done() for deletion in deletions) and whole.set_running_or_notify_cancel():
                errors = [error for deletion in deletions if (error := deletion.exception()) is not None]
                if errors:
                    whole.set_exception(errors[0])
                else:
                    whole.set_result(sum(deletion.result() for deletion in deletions))

        for deletion in deletions:
            deletion.add_done_callback(note)
        return whole

    def histories(self, user_ids: Sequence[str]) -> list[StoredHistory]:
        """Returns the history of each user, in the given order; see `EventStore.histories`."""
        # What is moved meanwhile is found in the end: the first key is asked last.
        found: list[StoredHistory] = []
        for key in (*reversed(self._former), self._writing):
            histories = self._store.histories(list(map(key.of, user_ids)))
            found = [
                new if len(new) or new.unreadable or not len(old) else old
                for old, new in zip(found or histories, histories, strict=True)
            ]
        return found

    def item_ids(self, start: int = 0) -> list[str]:
        """Returns the item ids from store number ``start`` on."""
        return self._store.item_ids(start)

    def event_types(self, start: int = 0) -> list[str]:
        """Returns the event types from store number ``start`` on."""
        return self._store.event_types(start)

    def page(self, user_id: str, page_size: int, token: str = "") -> Page:
        """Returns a page of a user's events, newest first; see `EventStore.page`."""
        names = self._names(user_id)
        name = next((name for name in names if self._store.count(name)), names[0])
        page = self._store.page(name, page_size, token)
        return Page([event._replace(user_id=user_id) for event in page.events], page.next_token)

    def user_page(self, page_size: int, token: str = "") -> UserPage:
        """Returns a page of the pseudonyms of whom there are events; see `EventStore.user_page`."""
        return self._store.user_page(page_size, token)

    def count(self, user_id: str) -> int:
        """Returns how many events a user has."""
        return sum(map(self._store.count, self._names(user_id)))

    def _names(self, user_id: str) -> list[str]:
        """Returns a user's pseudonyms, the one that writes first."""
        return [self._writing.of(user_id), *(key.of(user_id) for key in self._former)]
