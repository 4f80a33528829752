"""Prometheus' port answers one path, holds few connections, and lets nobody keep others out."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from honeyguide.server.ops import endpoint as module
from honeyguide.server.ops.endpoint import MetricsEndpoint
from honeyguide.server.ops.metrics import Metrics


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(module._Handler, "timeout", 0.3)
    endpoint = MetricsEndpoint(Metrics().registry, "127.0.0.1", 0)
    yield endpoint.port
    endpoint.stop()


def ask(port: int, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def test_one_path_is_answered_and_every_other_is_not_there(port: int) -> None:
    status, headers, body = ask(port, "GET", "/metrics?name[]=x")
    assert (status, int(headers["Content-Length"])) == (200, len(body))
    assert b"honeyguide_queue_rows 0.0" in body
    for path in ("/", "/metrics/", "/favicon.ico", "/../metrics"):
        assert ask(port, "GET", path)[0] == 404
    assert ask(port, "POST", "/metrics")[0] == 501


def test_head_has_the_head_of_get(port: int) -> None:
    status, headers, body = ask(port, "HEAD", "/metrics")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 0


def test_idle_connections_are_few_and_end_and_keep_nobody_out(port: int, capfd: Any) -> None:
    before = threading.active_count()
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
    assert ask(port, "GET", "/metrics")[0] == 200
    time.sleep(0.1)
    assert threading.active_count() - before <= module._MOST_OPEN
    time.sleep(0.6)
    assert threading.active_count() <= before
    for each in idle:
        each.close()
    hasty = socket.create_connection(("127.0.0.1", port))
    hasty.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
    hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    hasty.close()
    assert ask(port, "GET", "/metrics")[0] == 200
    assert capfd.readouterr().err == ""
