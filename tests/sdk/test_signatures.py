"""Who signed a bundle is known by an Ed25519 key, and nothing else passes for it."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError, InvalidArgument, UntrustedBundle
from honeyguide.sdk.manifest import SIGNATURE
from honeyguide.sdk.signatures import SigningKey, TrustedKey, check_signature, new_key, read_trusted_keys

NOW = datetime(2026, 6, 1, tzinfo=UTC)
CONTENT = b'{"name": "cf"}'


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file of two trusted keys, "release" and, to the end of May, "old"; the private ones lie beside it."""
    entries = [
        new_key("release", tmp_path / "release.pem"),
        new_key("old", tmp_path / "old.pem", date(2026, 5, 31)),
    ]
    new_key("foreign", tmp_path / "foreign.pem")
    (tmp_path / "trusted.toml").write_text("\n".join(entries), "utf-8")
    return tmp_path / "trusted.toml"


def signed(keys: Path, name: str, content: bytes = CONTENT) -> Path:
    """Returns a folder with a signature by one of the keys."""
    folder = keys.parent / "cf" / "3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SIGNATURE).write_bytes(SigningKey.read(keys.parent / f"{name}.pem").sign(content))
    return folder


def test_trusted_signature_names_its_key(keys: Path) -> None:
    trusted = read_trusted_keys(keys)
    assert check_signature(signed(keys, "release"), CONTENT, trusted, NOW) == "release"
    last_day = datetime(2026, 5, 31, 23, 59, tzinfo=UTC)
    assert check_signature(signed(keys, "old"), CONTENT, trusted, last_day) == "old"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("old", "cf/3 is signed by 'old', which expired on 2026-05-31: export it with a newer key"),
        ("foreign", "which is not trusted; trusted are: release, old"),
        ("", "cf/3 is not signed: export it with --sign-key"),
    ],
)
def test_signature_that_is_missing_unknown_or_expired_is_refused_where_one_is_required(
    keys: Path, name: str, says: str
) -> None:
    folder = signed(keys, name or "release")
    if not name:
        (folder / SIGNATURE).unlink()
    trusted = read_trusted_keys(keys)
    with pytest.raises(UntrustedBundle, match=says):
        check_signature(folder, CONTENT, trusted, NOW)
    assert check_signature(folder, CONTENT, trusted, NOW, required=False) == ""


def without(field: str) -> Callable[[dict[str, str]], Any]:
    return lambda raw: {name: value for name, value in raw.items() if name != field}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw | {"signature": base64.b64encode(bytes(64)).decode()},
        lambda raw: raw | {"signature": base64.b64encode(bytes(3)).decode()},
        lambda raw: raw | {"signature": "!"},
        lambda raw: raw | {"algorithm": "none"},
        lambda raw: raw | {"public_key": 7},
        without("public_key"),
        without("signature"),
        list,
        lambda raw: raw | {"more": "x" * 5000},
    ],
)
@pytest.mark.parametrize("required", [True, False])
def test_wrong_signature_is_refused_required_or_not(keys: Path, spoil: Callable[[Any], Any], required: bool) -> None:
    folder = signed(keys, "release")
    raw = json.loads((folder / SIGNATURE).read_text("utf-8"))
    (folder / SIGNATURE).write_text(json.dumps(spoil(raw)), "utf-8")
    with pytest.raises(UntrustedBundle, match=r"^cf/3: (its signature is wrong|bundle\.sig is no signature)"):
        check_signature(folder, CONTENT, read_trusted_keys(keys), NOW, required=required)


def test_no_changed_bit_of_the_manifest_passes(keys: Path) -> None:
    folder, trusted = signed(keys, "release"), read_trusted_keys(keys)
    for place in range(len(CONTENT) * 8):
        changed = bytearray(CONTENT)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(UntrustedBundle, match="the manifest was changed after it was signed"):
            check_signature(folder, bytes(changed), trusted, NOW)


def test_openssl_makes_keys_that_sign(tmp_path: Path) -> None:
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", "key.pem"]
    if subprocess.run(command, cwd=tmp_path, check=False).returncode:
        pytest.skip("this openssl knows no Ed25519")
    key = SigningKey.read(tmp_path / "key.pem")
    (tmp_path / SIGNATURE).write_bytes(key.sign(CONTENT))
    trusted = {key.public_key: TrustedKey("ours", key.public_key, None)}
    assert check_signature(tmp_path, CONTENT, trusted, NOW) == "ours"


def test_private_key_is_its_owner_s_alone_and_never_overwritten(tmp_path: Path) -> None:
    entry = new_key("release", tmp_path / "key.pem", date(2027, 12, 31))
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600
    assert entry.startswith('[release]\npublic_key = "')
    assert entry.endswith('"\nexpires = 2027-12-31\n')
    before = (tmp_path / "key.pem").read_bytes()
    with pytest.raises(ConfigError, match="cannot be written: File exists"):
        new_key("release", tmp_path / "key.pem")
    assert (tmp_path / "key.pem").read_bytes() == before
    with pytest.raises(InvalidArgument, match="name is 'a b'"):
        new_key("a b", tmp_path / "other.pem")


def test_what_is_no_private_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello", "utf-8")
    with pytest.raises(ConfigError, match="is no private key in PEM"):
        SigningKey.read(tmp_path / "text")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        SigningKey.read(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "hold none"),
        ("[a", "are not TOML"),
        ("a = 1", "entry 'a' must hold public_key"),
        ('[a]\npublic_key = "AAAA"', "entry 'a' must hold public_key, base64 of 32 bytes"),
        ('[a]\npublic_key = "!"', "entry 'a'"),
        (f'[a]\npublic_key = "{"A" * 43}="\nexpires = "soon"', "entry 'a'"),
        (f'[a]\npublic_key = "{"A" * 43}="\nexpired = 2026-01-01', "entry 'a'"),
    ],
)
def test_wrong_file_of_trusted_keys_is_refused_by_its_entry(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "trusted.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=says):
        read_trusted_keys(tmp_path / "trusted.toml")


def test_a_key_may_expire_at_a_moment(tmp_path: Path) -> None:
    text = f'[a]\npublic_key = "{"A" * 43}="\nexpires = 2026-06-01T12:00:00+02:00\n'
    (tmp_path / "trusted.toml").write_text(text, "utf-8")
    (key,) = read_trusted_keys(tmp_path / "trusted.toml").values()
    assert key.expires == datetime(2026, 6, 1, 10, tzinfo=UTC)
