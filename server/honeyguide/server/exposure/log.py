"""Writes exposures to Parquet files on a thread of its own, so that no answer waits for it."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from time import monotonic

import polars as pl
import structlog

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.server.exposure.erasure import Erasures
from honeyguide.server.exposure.files import delete_older, write_file
from honeyguide.server.exposure.shown import Shown
from honeyguide.server.exposure.table import ExposureTable
from honeyguide.server.ops.pseudonyms import Pseudonyms

__all__ = ["ExposureLog"]

_TICK_SECONDS = 0.5
"""How often what was shown becomes rows: often, so that it is never much at once."""
_FILE_ROWS = 100_000
_QUEUE_ROWS = 50_000
"""Answers that may wait to become rows; what is more is lost, and counted."""
_CHORE_SECONDS = 3600.0
"""How often users are erased and old files deleted."""


class ExposureLog:
    """Log of what was shown, in a folder."""

    def __init__(
        self,
        folder: Path,
        pseudonyms: Pseudonyms,
        *,
        file_seconds: float = 60.0,
        keep_days: float = 0.0,
        observe: Callable[[str, int], None] = lambda _outcome, _rows: None,
    ) -> None:
        """Opens the folder, and starts to write.

        Args:
            folder: made when missing, for this user alone.
            pseudonyms: of the users.
            file_seconds: after which a file is closed.
            keep_days: after which a file is deleted; 0: never.
            observe: told how many answers were "written" or "lost".

        Raises `ConfigError` where the folder cannot be written to.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._erasures = Erasures(folder, pseudonyms, settle_seconds=2 * file_seconds)
        except OSError as error:
            raise ConfigError(f"exposures is {str(folder)!r}, which cannot be written to ({error.strerror})") from error
        self._folder, self._file_seconds, self._keep_days, self._observe = folder, file_seconds, keep_days, observe
        self._table = ExposureTable(pseudonyms)
        self._shown: deque[Shown] = deque()
        self._waiting = 0
        self._lock = threading.Lock()
        self._tables: list[pl.DataFrame] = []
        self._numbers = count()
        self._log = structlog.get_logger("honeyguide.exposures")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="honeyguide-exposures", daemon=True)
        self._thread.start()

    def add(self, shown: Shown) -> None:
        """Takes what was shown; never waits, raises nothing."""
        rows = len(shown.request_ids)
        with self._lock:
            if self._waiting + rows <= _QUEUE_ROWS:
                self._waiting += rows
                self._shown.append(shown)
                return
        self._observe("lost", rows)

    def erase(self, user_id: str) -> None:
        """Notes on disk that a user's rows up to now have to go: from every file, within two hours.

        Raises `Unavailable` where that cannot be noted.
        """
        try:
            self._erasures.note(user_id)
        except OSError as error:
            raise Unavailable(
                f"the user's events are deleted, but not what was shown ({error.strerror}); try again"
            ) from error

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        since, chores_due = monotonic(), monotonic()
        stopping = False
        while not stopping:
            stopping = self._stopping.wait(_TICK_SECONDS)
            self._make_rows()
            rows = sum(map(len, self._tables))
            if rows and (stopping or rows >= _FILE_ROWS or monotonic() - since >= self._file_seconds):
                self._write(rows)
            if not self._tables:
                since = monotonic()
            if monotonic() >= chores_due:
                chores_due = monotonic() + _CHORE_SECONDS
                self._do_chores()

    def _make_rows(self) -> None:
        with self._lock:
            shown, self._shown = list(self._shown), deque()
            self._waiting = 0
        if shown:
            try:
                self._tables.append(self._table.make(shown))
            except Exception:  # boundary: the log must not end for one odd answer
                self._log.exception("exposures could not be made rows")
                self._observe("lost", sum(len(batch.request_ids) for batch in shown))

    def _write(self, rows: int) -> None:
        tables, self._tables = self._tables, []
        name = f"exposures-{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{next(self._numbers)}"
        try:
            write_file(self._folder / f"{name}.parquet", pl.concat(tables))
        except (OSError, pl.exceptions.PolarsError) as error:  # Polars wraps some of the disk's errors
            self._log.error("exposures not written", file=name, error=str(error), lost=rows)
            self._observe("lost", rows)
        else:
            self._observe("written", rows)

    def _do_chores(self) -> None:
        try:
            if self._keep_days:
                delete_older(self._folder, self._keep_days)
            self._erasures.carry_out()
        except Exception as error:  # boundary: the log must not end for a file that somebody else left
            self._log.exception("exposures not erased", error=str(error))
