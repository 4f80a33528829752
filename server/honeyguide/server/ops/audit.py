"""Writes down who changed what is served or erased a user, in JSON lines that survive rotation and a full disk."""

from __future__ import annotations

import os
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
        """Writes a line; of calls by ``strangers`` at most one a second, which says how many there were.

        One that cannot be written is kept, and written before the next call that it would hold back.
        """
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **entry}
        with self._lock:
            if stranger:
                self._strangers += 1
                if (now := monotonic()) < self._next_stranger:
                    return
                line["count"], self._strangers = self._strangers, 0
                self._next_stranger = now + _STRANGER_SECONDS
            self._waiting.append(f"{plain_json(line)}\n".encode())
            self._write()

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            os.close(self._file)
            self._file = -1

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
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        if self._file >= 0:
            os.close(self._file)
        self._file = file
