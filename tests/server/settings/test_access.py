"""Callers are settings, too: in the file or the environment, checked by key, and never shown with what they hide."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings import load_settings
from honeyguide.server.settings.access import AccessSettings


def test_callers_come_from_the_environment_or_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(f'[callers.job]\nroles = ["record"]\nsha256 = "{"0" * 64}"\nstreams = 2\n', "utf-8")
    monkeypatch.setenv("HONEYGUIDE_CALLERS__SHOP__ROLES", '["recommend", "history"]')
    monkeypatch.setenv("HONEYGUIDE_CALLERS__SHOP__SHA256", "1" * 64)
    callers = load_settings(file).callers
    assert (callers["shop"].roles, callers["job"].streams) == (("recommend", "history"), 2)


def test_what_is_wrong_is_named_and_a_token_in_the_place_of_its_hash_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONEYGUIDE_CALLERS__SHOP__ROLES", '["recommend"]')
    monkeypatch.setenv("HONEYGUIDE_CALLERS__SHOP__SHA256", "hg_secret")
    with pytest.raises(ConfigError, match=r"callers\.shop\.sha256 is not what it may be") as caught:
        load_settings()
    assert "hg_secret" not in str(caught.value)
    file = tmp_path / "serve.toml"
    file.write_text('[callers.job]\nrole = ["record"]\n', "utf-8")
    monkeypatch.delenv("HONEYGUIDE_CALLERS__SHOP__SHA256")
    monkeypatch.delenv("HONEYGUIDE_CALLERS__SHOP__ROLES")
    with pytest.raises(ConfigError, match=r"unknown key 'callers\.job\.role'; there are: roles, sha256, subjects"):
        load_settings(file)


def test_nothing_is_open_or_closed_by_default_that_was_not_before() -> None:
    settings = AccessSettings()
    assert (settings.tokens, settings.callers, settings.admin_port, settings.insecure) == (None, {}, -1, False)
