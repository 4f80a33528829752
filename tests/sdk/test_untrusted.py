"""What anybody may have put there is opened only where it is a regular file, and read no further than expected."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from honeyguide.sdk.untrusted import open_regular, parse_json, read_bounded


def test_regular_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="is larger than 4 bytes"):
        read_bounded(tmp_path / "file", 4)


def test_gigabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(1 << 40)  # a hole: more than any memory
    with pytest.raises(OSError, match="is larger than 1,000 bytes"):
        read_bounded(tmp_path / "file", 1000)


def test_anything_else_is_refused_by_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    os.mkfifo("pipe")
    Path("folder").mkdir()
    Path("file").touch()
    Path("link").symlink_to("file")
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        kinds = {"pipe": "pipe", "folder": "folder", "link": "link", "loop": "link", "socket": "socket"}
        for name, kind in {**kinds, "/dev/zero": "device"}.items():
            with pytest.raises(OSError, match=f"is a {kind}, not a file"):
                open_regular(Path(name))
    with pytest.raises(FileNotFoundError):
        open_regular(Path("nothing"))


def test_file_replaced_by_a_pipe_at_the_last_moment_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    before = os.lstat(tmp_path / "file")
    monkeypatch.setattr(os, "lstat", lambda path: before)
    with pytest.raises(OSError, match="is a pipe, not a file"):
        open_regular(tmp_path / "pipe")


@pytest.mark.parametrize("levels", [33, 200_000])
@pytest.mark.parametrize("bracket", ["[", '{"a":'])
def test_json_is_no_deeper_than_a_person_would_write_it(levels: int, bracket: str) -> None:
    whole = bracket * levels + "1" + {"[": "]"}.get(bracket, "}") * levels
    for text in (whole, bracket * 200_000):
        with pytest.raises(ValueError, match=r"nested deeper than 32 levels|Expecting value"):
            parse_json(text.encode())
    assert parse_json(b"[" * 31 + b"1" + b"]" * 31) == json.loads("[" * 31 + "1" + "]" * 31)


@pytest.mark.parametrize("content", [b'"\\ud800"', b'{"\\udfff": 1}', b"\xff", b"", b"{} {}", b"1" * 5000])
def test_text_that_nothing_can_carry_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(content)
