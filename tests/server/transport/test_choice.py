"""The transport is chosen by what is asked for, what is installed and who can connect, and the choice says why."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings import make_settings
from honeyguide.server.transport.choice import Choice, choose_transport


@pytest.mark.parametrize(
    ("settings", "native", "why"),
    [
        ({}, True, "only this machine"),
        ({"host": "::1"}, True, "only this machine"),
        ({"host": "localhost"}, True, "only this machine"),
        ({"host": "unix:/run/h.sock"}, True, "only this machine"),
        ({"host": "0.0.0.0"}, False, "0.0.0.0 is open to other machines"),
        ({"host": "server.example"}, False, "open to other machines"),
        ({"host": "0.0.0.0", "transport": "native"}, True, "as set"),
        ({"transport": "grpcio"}, False, "as set"),
        ({"tls_certificate": Path("c.pem"), "tls_key": Path("k.pem")}, False, "tls_certificate is set"),
        ({"max_connection_age_seconds": 60}, False, "max_connection_age_seconds is set"),
        ({"max_connection_idle_seconds": 60}, False, "max_connection_idle_seconds is set"),
        ({"min_ping_seconds": 60}, False, "min_ping_seconds is set"),
    ],
)
def test_the_choice_and_its_reason(settings: dict[str, Any], native: bool, why: str) -> None:
    choice = choose_transport(make_settings(**settings))
    assert choice.native is native
    assert why in choice.why


def test_what_the_front_cannot_do_is_not_dropped_in_silence() -> None:
    with pytest.raises(ConfigError, match='transport is "native", and max_connection_age_seconds is set'):
        choose_transport(make_settings(transport="native", max_connection_age_seconds=1))


def test_without_its_package_grpcio_carries_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honeyguide.server.transport.choice.find_spec", lambda _name: None)
    choice = choose_transport(make_settings())
    assert choice == Choice(False, "pygrpc-native is not installed (it has wheels for Linux and macOS)")
    with pytest.raises(ConfigError, match="pygrpc-native is not installed"):
        choose_transport(make_settings(transport="native"))
    assert importlib.util.find_spec("grpc") is not None
