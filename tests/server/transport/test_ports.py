"""An address that is taken is named with the remedy before anything slow is done."""

from __future__ import annotations

import socket

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.transport.ports import address_of, check_free


def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"cannot listen on 127.0.0.1, port {port}: stop .* --port"):
            check_free("127.0.0.1", port)


def test_any_free_port_is_free_an_ipv6_host_gets_brackets_and_a_socket_has_no_port() -> None:
    check_free("127.0.0.1", 0)
    check_free("unix:/nowhere/h.sock", 1)
    assert address_of("::1", 50051) == "[::1]:50051"
    assert address_of("localhost", 50051) == "localhost:50051"
    assert address_of("unix:/run/h.sock", 50051) == "unix:/run/h.sock"
