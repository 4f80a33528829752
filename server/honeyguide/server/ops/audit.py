"""Writes down who changed what is served or erased a user, in JSON lines that survive rotation and a full disk."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from honeyguide.answers.plain_text import plain_json
from honeyguide.sdk.errors import ConfigError, Unavailable

__all__ = ["AuditLog"]

_MODE = 0o600
_MOST_WAITING = 1000
"""Lines that are kept while the file cannot be written: of calls that were under way; later ones are refused."""
_STRANGER_SECONDS = 1.0
"""Between two lines about callers whom nobody knows, so that none of them fills the disk."""


class AuditLog:
    """File of what was done; thread-safe, and shared by processes: each line is one write at the file's end."""

    def __init__(self, path: Path) -> None:
        """Opens the file, which its owner alone may read; raises `ConfigError`."""
        self._path, self._lock = path, threading.Lock()
        self._waiting: deque[bytes] = deque(maxlen=_MOST_WAITING)
        self._strangers, self._next_stranger = 0, 0.0
        self._stranger: dict[str, Any] = {}
        self._timer: threading.Timer | None = None
        self._file, self._problem = -1, ""
        self._log = structlog.get_logger("honeyguide.audit")
        try:
            self._open()
        except OSError as error:
            raise ConfigError(f"audit_log is {str(path)!r}, which cannot be written ({error.strerror})") from error

    def check(self) -> None:
        """Raises `Unavailable` where what is done now could not be written down."""
        with self._lock:
            self._write()
            problem = self._problem
        if problem:
            raise Unavailable("the audit log cannot be written, so that nothing is changed; tell the operator")

    def note(self, entry: Mapping[str, Any], *, stranger: bool = False) -> None:
        """Writes a line; of calls by ``strangers`` at most one a second, of the last, which says how many there were.

        One that cannot be written is kept, and written before the next call that it would hold back.
        """
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry}
        with self._lock:
            if stranger:
                self._strangers, self._stranger = self._strangers + 1, line
                if (left := self._next_stranger - monotonic()) > 0:
                    self._write_later(left)
                    return
                self._count_strangers()
            else:
                self._add(line)
            self._write()

    def close(self) -> None:
        """Writes what is held back, and closes the file."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._count_strangers()
            self._write()
            os.close(self._file)
            self._file = -1

    def _add(self, line: Mapping[str, Any]) -> None:
        self._waiting.append(f"{plain_json(line)}\n".encode())

    def _count_strangers(self) -> None:
        """Adds the line of the strangers since the last one, if there were any."""
        if self._strangers:
            self._add({**self._stranger, "count": self._strangers})
            self._strangers, self._next_stranger = 0, monotonic() + _STRANGER_SECONDS

    def _write_later(self, seconds: float) -> None:
        """Sees to it that strangers who are held back are written when their second is over, whoever comes."""
        if self._timer is None:
            self._timer = threading.Timer(seconds, self._write_held)
            self._timer.daemon = True
            self._timer.start()

    def _write_held(self) -> None:
        with self._lock:
            self._timer = None
            if self._strangers:  # none: the log was closed meanwhile
                self._count_strangers()
                self._write()

    def _write(self) -> None:
        """Writes what waits; where that fails the log says so, once."""
        problem = self._try()
        if problem != self._problem:
            self._problem = problem
            if problem:
                self._log.error("audit log not written; what it would hold is refused", problem=problem)
            else:
                self._log.info("audit log written again")

    def _try(self) -> str:
        """Writes what waits; returns what is wrong, "": nothing."""
        try:
            if not self._is_current():
                self._open()
            while self._waiting:
                line = self._waiting[0]
                done = os.write(self._file, line)
                if done < len(line):  # the disk is full: the rest may follow, so that the line is whole
                    self._waiting[0] = line[done:]
                    continue
                self._waiting.popleft()
        except OSError as error:
            return error.strerror or str(error)
        return ""

    def _is_current(self) -> bool:
        """Whether the path still leads to the open file: rotation renames it."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        return self._file >= 0 and os.path.samestat(found, os.fstat(self._file))

    def _open(self) -> None:
        # A pipe without a reader would be waited for, for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self._path, flags, _MODE)
        if not stat.S_ISREG(os.fstat(file).st_mode):
            os.close(file)
            raise OSError(errno.EINVAL, "it is no regular file")
        if self._file >= 0:
            os.close(self._file)
        self._file = file
