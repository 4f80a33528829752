"""`honeyguide keys new` writes a private key and prints what servers need of it."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import keys
from honeyguide.sdk.signatures import SigningKey, read_trusted_keys


def test_new_key_signs_and_its_entry_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    keys.add_to(app)
    done = CliRunner().invoke(app, ["keys", "new", "release", "--expires", "2027-12-31"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "release.pem" in done.stderr
    assert tomllib.loads(done.stdout)["release"]["expires"] == date(2027, 12, 31)
    Path("trusted.toml").write_text(done.stdout, "utf-8")
    (trusted,) = read_trusted_keys(Path("trusted.toml"))
    assert trusted == SigningKey.read(Path("release.pem")).public_key
