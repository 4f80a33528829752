"""A client says who it is by token or certificate, on every call, to whom it may, and shows its secrets nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from certificates import Authority

from honeyguide.client import (
    AsyncClient,
    Client,
    InputError,
    RoleRequiredError,
    Tls,
    UnauthenticatedError,
    UnavailableError,
)
from honeyguide.client.channel import check_client
from honeyguide.sdk.host import PluginHost
from honeyguide.server.access.tokens import new_token
from honeyguide.server.app import Server
from honeyguide.server.settings import make_settings

pytestmark = pytest.mark.slow(6)

TOKEN = new_token()


@pytest.fixture
async def closed(shared_repository: Path, tmp_path: Path, host: PluginHost) -> AsyncIterator[tuple[str, Tls]]:
    """A server with TLS that knows one caller by token, another by certificate; its address, and the latter's files."""
    ours = Authority(tmp_path)
    certificate, key = ours.sign("server")
    shop, shop_key = ours.sign("shop")
    callers = {
        "web": {"roles": ["recommend"], "sha256": TOKEN.sha256},
        "shop": {"roles": ["record"], "subjects": ["shop"]},
    }
    settings = make_settings(
        repository=shared_repository,
        port=0,
        metrics_port=-1,
        events=tmp_path / "events.db",
        tls_certificate=certificate,
        tls_key=key,
        tls_client_ca=ours.certificate,
        callers=callers,
    )
    async with Server(settings, host) as server:
        yield f"localhost:{server.port}", Tls(ours.certificate, shop, shop_key)


async def test_tokens_and_certificates_go_with_every_call_and_stream(closed: tuple[str, Tls]) -> None:
    address, tls = closed

    def ask() -> None:
        with Client(address, token=TOKEN.token, tls=tls) as web:
            assert web.recommend(history=["item-1"], k=3).items
            assert [len(answer.rows) for answer in web.recommend_stream([["u"]], k=3)] == [1]
            with pytest.raises(RoleRequiredError, match=r"needs the role record.*\n  remedy: ask who runs") as caught:
                web.record_event("u", "item-1")
            assert caught.value.facts["role"] == "record"
        with Client(address, tls=tls) as shop:
            assert shop.record_event("u", "item-1")
        with (
            Client(address, token="wrong", tls=tls) as stranger,  # of nobody
            pytest.raises(UnauthenticatedError, match="remedy: give a token that is known there") as refused,
        ):
            stranger.recommend("u")
        assert "wrong" not in str(refused.value)
        only = address.replace("localhost", "127.0.0.1")  # of two addresses gRPC tells the fault of the last
        with Client(only, tls=Tls()) as distrustful, pytest.raises(UnavailableError, match="speaks TLS"):
            distrustful.recommend("u", timeout=2)

    await asyncio.to_thread(ask)
    async with AsyncClient(address, token=TOKEN.token, tls=tls) as web:
        assert (await web.recommend(history=["item-1"], k=3)).items
        assert [len(answer.rows) async for answer in web.recommend_stream([["u"]], k=3)] == [1]


def test_the_environment_gives_the_token_that_no_argument_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_TOKEN", " of-the-environment\n")
    bearer = (("authorization", "Bearer of-the-environment"),)
    assert check_client("127.0.0.1:1", None, None).metadata == bearer
    assert check_client("127.0.0.1:1", None, None, token="").metadata is None
    assert check_client("127.0.0.1:1", None, None, token="own").metadata == (("authorization", "Bearer own"),)
    monkeypatch.setenv("HONEYGUIDE_TOKEN", "two words")
    with pytest.raises(InputError, match="the variable HONEYGUIDE_TOKEN holds no token") as caught:
        Client()
    assert "two words" not in str(caught.value)


def test_a_token_goes_to_another_machine_over_tls_alone() -> None:
    with pytest.raises(InputError, match=r"would go to shop\.example:1 in plain text") as caught:
        Client("shop.example:1", token="secret-word")
    assert (caught.value.field, "secret-word" in str(caught.value)) == ("tls", False)
    Client("shop.example:1", token="secret-word", insecure=True).close()
    Client("shop.example:1", token="secret-word", tls=Tls()).close()
    Client("shop.example:1", token="secret-word", credentials=grpc.ssl_channel_credentials()).close()
    assert "secret-word" not in repr(vars(Client(token="secret-word")))


def test_files_of_tls_that_are_none_are_named(tmp_path: Path) -> None:
    ours = Authority(tmp_path)
    certificate, _ = ours.sign("a")
    _, key = ours.sign("b")
    for wrong, says in (
        (Tls(tmp_path / "absent.pem"), "absent.pem.*No such file"),
        (Tls(key), "TLS cannot use ca"),
        (Tls(certificate=certificate), "one of certificate and key"),
        (Tls(certificate=certificate, key=key), "(?i)mismatch"),
        ("x", "tls is 'x'"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            Client("localhost:1", tls=wrong)  # type: ignore[arg-type]  # the last is wrong
        assert caught.value.field == "tls"
    with pytest.raises(InputError, match="both given"):
        Client("localhost:1", tls=Tls(), credentials=grpc.ssl_channel_credentials())
