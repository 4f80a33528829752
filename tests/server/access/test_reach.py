"""Nobody opens a server by mistake: other machines need TLS or the word insecure, and what is open is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.reach import check_reach, only_this_machine
from honeyguide.server.settings import make_settings

PAIR = {"tls_certificate": Path("c.pem"), "tls_key": Path("k.pem")}
SHOP = {"callers": {"shop": {"roles": ["admin"], "subjects": ["shop"]}}}


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *((host, True) for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost", "unix:/tmp/s")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "shop.example", "localhost.evil")),
    ],
)
def test_who_can_connect(host: str, alone: bool) -> None:
    assert only_this_machine(host) == alone


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"host": "0.0.0.0"}, "^host 0.0.0.0: open to other machines, and without TLS; .*--insecure"),
        ({"host": "::"} | SHOP, "^host ::: open"),
        ({"admin_host": "0.0.0.0", "admin_port": 0}, "^admin_host 0.0.0.0: open"),
        ({"tls_client_ca": Path("ca.pem")}, "^tls_client_ca is set, and tls_certificate is not"),
        ({"health": "admin"}, '^health is "admin", and admin_port is unset'),
        ({"reflection": "admin"}, '^reflection is "admin", and admin_port is unset'),
        ({"admin_port": 5, "port": 5}, "^admin_port is 5, which is port, too"),
        ({"admin_port": 0, "processes": 2}, "^admin_port is 0, and processes is above 1"),
    ],
)
def test_what_would_be_open_by_mistake_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_reach(make_settings(**given))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, []),
        ({"host": "unix:/tmp/s", "admin_port": 0}, []),
        ({"admin_host": "0.0.0.0"}, []),
        ({"host": "0.0.0.0", "insecure": True} | SHOP, ["insecure: host 0.0.0.0"]),
        ({"host": "0.0.0.0", "insecure": True}, ["insecure: host 0.0.0.0", "everybody may call: host 0.0.0.0"]),
        ({"host": "0.0.0.0"} | PAIR, ["everybody may call"]),
        ({"host": "0.0.0.0"} | PAIR | SHOP, []),
        ({"host": "0.0.0.0", "tls_client_ca": Path("ca.pem")} | PAIR, []),
    ],
)
def test_what_is_open_on_purpose_is_said_in_a_line(given: dict[str, Any], words: list[str]) -> None:
    lines = check_reach(make_settings(**given))
    assert len(lines) == len(words)
    assert all(line.startswith(start) for line, start in zip(lines, words, strict=True))
