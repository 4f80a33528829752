"""A user's pseudonym is always the same under one key, and another under another."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.ops.pseudonyms import Pseudonyms


def test_the_key_decides_and_nothing_else() -> None:
    one, same, other = Pseudonyms(b"a" * 32), Pseudonyms(b"a" * 32), Pseudonyms.until_restart()
    assert one.of("ann") == same.of("ann") == one.of("ann")
    assert len({one.of("ann"), one.of("anna"), other.of("ann"), Pseudonyms.until_restart().of("ann")}) == 4


@pytest.mark.parametrize(("key", "says"), [(b"short", "holds 5 bytes"), (b"x" * 65, "holds 65 bytes")])
def test_a_file_without_a_key_is_refused_with_the_remedy(tmp_path: Path, key: bytes, says: str) -> None:
    (tmp_path / "key").write_bytes(key)
    with pytest.raises(ConfigError, match=f"log_key is .*{says}.*openssl rand"):
        Pseudonyms.from_file("log_key", tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot be read"):
        Pseudonyms.from_file("log_key", tmp_path / "none")


def test_a_line_s_end_is_no_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef\n")
    assert Pseudonyms.from_file("log_key", tmp_path / "key").of("u") == Pseudonyms(b"0123456789abcdef").of("u")
