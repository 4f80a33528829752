"""Mutual TLS: who has no certificate of ours does not connect, and renewed files are taken while the server runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from certificates import Authority

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.certificates import server_credentials
from honeyguide.server.access.files import WatchedFiles
from honeyguide.server.access.tokens import new_token
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.settings import make_settings
from honeyguide.v1.model_service_pb2 import ListModelsRequest, ListPluginsRequest
from honeyguide.v1.model_service_pb2_grpc import ModelServiceStub

CODE = grpc.StatusCode


async def told(
    port: int, authority: Authority, pair: tuple[Path, Path] | None = None, request: Any = None, token: str = ""
) -> grpc.StatusCode:
    """Returns the code of one call over a connection of its own."""
    certificate, key = (None, None) if pair is None else (pair[0].read_bytes(), pair[1].read_bytes())
    credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes(), key, certificate)
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
        stub: Any = ModelServiceStub(channel)
        metadata = [("authorization", f"Bearer {token}")] if token else []
        call = stub.ListPlugins if isinstance(request, ListPluginsRequest) else stub.ListModels
        try:
            await call(request or ListModelsRequest(), metadata=metadata, timeout=5)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return CODE.OK


async def test_names_of_certificates_have_roles_and_renewed_files_are_taken(start: Any, tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    certificate, key = ours.sign("server")
    shop, web, stranger = ours.sign("shop"), ours.sign("web", "web.shop"), ours.sign("stranger")
    forged = other.sign("shop.forged", "web.shop")
    token = new_token()
    callers = {
        "shop": {"roles": ["recommend"], "subjects": ["shop", "web.shop"]},
        "boss": {"roles": ["admin"], "sha256": token.sha256},
    }
    settings = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": ours.certificate, "callers": callers}
    async with start(**settings, admin_port=0) as running:
        port, admin = running.server.port, running.server.admin_port
        assert await told(port, ours, shop) == CODE.OK
        assert await told(port, ours, web) == CODE.OK
        assert await told(port, ours, stranger) == CODE.UNAUTHENTICATED
        assert await told(port, ours, stranger, token=token.token) == CODE.OK
        assert await told(port, ours) == CODE.UNAVAILABLE, "no certificate, no connection"
        assert await told(port, ours, forged) == CODE.UNAVAILABLE
        assert await told(port, ours, token=token.token) == CODE.UNAVAILABLE
        assert await told(admin, ours, shop, ListPluginsRequest()) == CODE.PERMISSION_DENIED
        assert await told(admin, ours, shop, ListPluginsRequest(), token.token) == CODE.OK
        failed, done = (running.server.metrics.reloads.labels("tls", word)._value for word in ("failed", "done"))
        good = key.read_bytes()
        key.write_bytes(forged[1].read_bytes())
        await asyncio.sleep(1.05)  # what the files are looked at again after
        assert await told(port, ours, shop) == CODE.OK, "a wrong pair changes nothing"
        assert (failed.get(), done.get()) == (1, 0)
        key.write_bytes(good)
        renewed = other.sign("renewed")
        for new, old in ((other.certificate, ours.certificate), (renewed[0], certificate), (renewed[1], key)):
            old.write_bytes(new.read_bytes())
        await asyncio.sleep(1.05)
        assert await told(port, other, forged) == CODE.OK
        assert await told(admin, other, forged) == CODE.OK, "each port takes them"
        assert await told(port, other, shop) == CODE.UNAVAILABLE
        assert done.get() == 2


def test_what_is_no_authority_is_named(tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path).sign("server")
    for file, message in (
        (tmp_path / "none.pem", r"tls_client_ca is .*none.pem', which cannot be read"),
        (key, r"tls_client_ca is .*server.key', which holds no certificate"),
    ):
        with pytest.raises(ConfigError, match=message):
            server_credentials(make_settings(tls_certificate=certificate, tls_key=key, tls_client_ca=file), Metrics())


def test_the_log_puts_renewed_files_down_to_nobody_s_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = Authority(tmp_path).sign("server")
    asked: list[Any] = []
    monkeypatch.setattr(grpc, "dynamic_ssl_server_credentials", lambda _, changed, **__: asked.append(changed))
    monkeypatch.setattr(WatchedFiles, "changed", lambda _: True)
    server_credentials(make_settings(tls_certificate=certificate, tls_key=key), Metrics())
    with (
        structlog.contextvars.bound_contextvars(caller="shop", request_id="r1"),
        structlog.testing.capture_logs([structlog.contextvars.merge_contextvars]) as logs,
    ):
        assert asked[0]() is not None
    assert logs == [{"event": "TLS files reloaded", "log_level": "info"}]
