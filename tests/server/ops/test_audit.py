"""Each line of the audit log is whole and comes once, through rotation, a full disk and a flood of strangers."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError, Unavailable
from honeyguide.server.ops.audit import AuditLog


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_are_json_for_the_owner_alone_and_forge_nothing(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.note({"method": "/x", "what": '\n{"forged": 1}\x1b\u202e'})
    log.close()
    assert path.stat().st_mode & 0o777 == 0o600
    (line,) = lines(path)
    assert (line["method"], line["what"]) == ("/x", '\n{"forged": 1}\x1b\u202e')
    assert "\x1b" not in path.read_text()
    assert line["time"].endswith("+00:00")


def test_a_file_that_was_renamed_or_deleted_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    log.note({"n": 1})
    path.rename(tmp_path / "audit.1")
    log.note({"n": 2})
    path.unlink()
    log.note({"n": 3})
    log.close()
    assert [line["n"] for line in lines(tmp_path / "audit.1")] == [1]
    assert [line["n"] for line in lines(path)] == [3]


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audit.jsonl"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()  # opening a pipe without a reader waits for one
    with pytest.raises(ConfigError, match="audit_log"):
        AuditLog(path)


def test_a_full_disk_refuses_what_comes_and_forgets_nothing_that_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    real = os.write

    def fill(file: int, data: bytes) -> int:
        if len(data) > 10:
            return real(file, data[:10])  # what is left of the disk
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill)
        log.note({"n": 1})
        with pytest.raises(Unavailable, match="audit log cannot be written"):
            log.check()
        log.note({"n": 2})  # of a call that was under way
    log.check()
    log.note({"n": 3})
    log.close()
    assert [line["n"] for line in lines(path)] == [1, 2, 3]


def test_strangers_get_a_line_a_second_that_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for _ in range(50):
        log.note({"result": "UNAUTHENTICATED"}, stranger=True)
    log._next_stranger = 0.0
    log.note({"result": "UNAUTHENTICATED"}, stranger=True)
    log.close()
    assert [line["count"] for line in lines(path)] == [1, 50]


def test_strangers_who_are_held_back_are_written_when_their_second_is_over_and_at_a_stop(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path)
    for caller in "abcde":
        log.note({"what": caller}, stranger=True)
    deadline = time.monotonic() + 10
    while len(lines(path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(line["what"], line["count"]) for line in lines(path)] == [("a", 1), ("e", 4)]
    log.note({"what": "f"}, stranger=True)
    log.note({"what": "g"}, stranger=True)
    log.close()
    assert sum(line["count"] for line in lines(path)) == 7


def test_a_place_that_cannot_be_written_and_a_link_stop_the_start(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "no" / "audit.jsonl", tmp_path, link):
        with pytest.raises(ConfigError, match="audit_log is"):
            AuditLog(path)
