"""Origins of pages are given as a list or as words, and what is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings import load_settings

PAGE = "https://shop.example"


def test_origins_come_as_a_list_or_as_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HONEYGUIDE_WEB_ORIGINS", "https://a.example, http://localhost:8000")
    assert load_settings().web_origins == ("https://a.example", "http://localhost:8000")
    assert load_settings(overrides={"web_origins": PAGE}).web_origins == (PAGE,)
    monkeypatch.delenv("HONEYGUIDE_WEB_ORIGINS")
    file = tmp_path / "config.toml"
    file.write_text('web_origins = ["*"]')
    assert load_settings(file).web_origins == ("*",)
    for wrong in ("https://shop.example/", "shop.example", "https://Shop.example", "file://x"):
        with pytest.raises(ConfigError, match=r"web_origins.*Allowed: Origins of the pages"):
            load_settings(overrides={"web_origins": wrong})
