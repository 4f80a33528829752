"""Addresses: what is refused with a remedy, what is of this machine, which proxy is named, what works."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from honeyguide.client import AsyncClient, Client, InputError, UnavailableError
from honeyguide.client.addresses import Proxy, check_address, is_local, proxy_of
from honeyguide.v1 import recommender_service_pb2_grpc


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("", "give host:port"),
        ("  ", "give host:port"),
        ("http://127.0.0.1:50051", "without http://: 127.0.0.1:50051"),
        ("https://shop.example/", "without http://: shop.example"),
        (" 127.0.0.1:50051", "leave the blanks out: 127.0.0.1:50051"),
        ("::1:50051", "in brackets: [::1]:50051"),
        ("localhost", "give the port, too: localhost:50051"),
        ("[::1]", "give the port, too: [::1]:50051"),
        (50051, ""),
        (None, ""),
        (b"127.0.0.1:50051", "value.decode()"),
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(target, remedy):
    for kind in (Client, AsyncClient):
        with pytest.raises(InputError, match=r"^target is ") as caught:
            kind(target)
        assert caught.value.field == "target"
        assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1:50051", "[::1]:50051", "localhost:1", "unix:/run/x.sock", "unix:///run/x.sock", "dns:name:1",
     "dns:///name:1", "dns://8.8.8.8/name:1", "ipv4:127.0.0.1:1", "ipv6:[::1]:1", "xds:///a", "0.0.0.0:1"],
)  # fmt: skip
def test_what_grpc_may_take_passes(target):
    assert check_address(target, secure=False) == ""
    assert check_address("shop.example", secure=True) == ""


def test_addresses_of_this_machine_are_known():
    own = [
        "127.0.0.1:1",
        "127.9.9.9:1",
        "localhost:1",
        "LOCALHOST:1",
        "a.localhost:1",
        "[::1]:1",
        "unix:/x",
        "0.0.0.0:1",
    ]
    own += [
        "[::]:1",
        "dns:localhost:1",
        "dns:///localhost:1",
        "dns://8.8.8.8/localhost:1",
        "ipv4:127.0.0.1:1",
        "ipv6:[::1]:1",
    ]
    assert [target for target in own if not is_local(target)] == []
    assert [
        target
        for target in ("shop.example:1", "192.0.2.1:1", "[2001:db8::1]:1", "dns:///shop.example:1")
        if is_local(target)
    ] == []


def test_the_proxy_is_found_by_the_rules_of_grpc(monkeypatch):
    for name in ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_of("shop.example:1") is None
    monkeypatch.setenv("http_proxy", "http://user:secret@proxy.example:3128/")
    assert proxy_of("shop.example:1") == Proxy("http_proxy", "proxy.example:3128")
    assert proxy_of("127.0.0.1:1") is None
    monkeypatch.setenv("grpc_proxy", "other:1")
    assert proxy_of("shop.example:1") == Proxy("grpc_proxy", "other:1")
    monkeypatch.setenv("no_proxy", "local.example, shop.example")
    assert proxy_of("shop.example:1") is None


def test_the_message_of_a_server_that_cannot_be_reached_names_the_proxy(monkeypatch, closed_port):
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{closed_port}")
    monkeypatch.delenv("no_proxy", raising=False)
    with Client("192.0.2.1:50051", timeout=3) as client, pytest.raises(UnavailableError) as caught:
        client.recommend("u")
    assert f"192.0.2.1:50051 through the proxy 127.0.0.1:{closed_port} of http_proxy (" in caught.value.message
    assert "name the server's host in no_proxy" in caught.value.remedy
    assert "secret" not in str(caught.value)


def test_an_address_of_this_machine_is_reached_whatever_the_proxy(fake, monkeypatch, closed_port):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port}")
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        with Client(f"{host}:{fake.port}") as client:
            assert client.recommend("u").item_ids == ("i-u",)

    async def ask() -> None:
        async with AsyncClient(fake.address) as client:
            assert (await client.recommend("u")).item_ids == ("i-u",)
            assert [answer.sequence async for answer in client.recommend_stream([["u"]])] == [0]

    asyncio.run(ask())


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_sockets_ipv6_and_names_work(fake, tmp_path):
    server = grpc.server(ThreadPoolExecutor(2))
    recommender_service_pb2_grpc.add_RecommenderServiceServicer_to_server(fake, server)
    server.add_insecure_port(f"unix:{tmp_path}/s")
    port = server.add_insecure_port("[::1]:0") if has_ipv6() else 0
    server.start()
    targets = [
        f"unix:{tmp_path}/s",
        f"unix://{tmp_path}/s",
        f"dns:localhost:{fake.port}",
        f"dns:///localhost:{fake.port}",
    ]
    for target in [*targets, f"ipv4:{fake.address}", *([f"[::1]:{port}"] if port else [])]:
        with Client(target) as client:
            assert client.recommend("u").item_ids == ("i-u",)
    server.stop(None).wait()
