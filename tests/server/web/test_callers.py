"""Who may call over the web, and from whose pages: roles, rates, certificates, CORS; the audit log says who did."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.tokens import new_token

RECOMMEND = "/honeyguide.v1.RecommenderService/Recommend"
DELETE = "/honeyguide.v1.EventService/DeleteUser"
PLUGINS = "/honeyguide.v1.ModelService/ListPlugins"
PAGE = "https://shop.example"


async def test_roles_and_rates_are_those_of_the_grpc_port(start: Any, web: Any, tmp_path: Path) -> None:
    shop, slow, boss = new_token(), new_token(), new_token()
    callers = {
        "shop": {"roles": ["recommend"], "sha256": shop.sha256},
        "slow": {"roles": ["recommend"], "sha256": slow.sha256, "requests_per_second": 0.01, "burst": 2},
        "boss": {"roles": ["admin", "history"], "sha256": boss.sha256},
    }

    def bearer(token: Any) -> str:
        return f"Bearer {token.token}"

    async with start(web_port=0, callers=callers, audit_log=tmp_path / "audit.log") as running:
        port = running.server.web_port
        for authorization, body in (("", {}), ("Bearer no", {}), (bearer(shop)[:-1], {"no": 1}), ("Basic x", {})):
            answer = await web.post(port, RECOMMEND, body, authorization=authorization)
            assert (answer.status, answer.reason) == (401, "UNAUTHENTICATED"), "also before what is sent is read"
        twice = await web.post(port, RECOMMEND, {}, authorization=f"{bearer(shop)}\r\nauthorization: {bearer(boss)}")
        assert twice.status == 401
        assert (await web.post(port, RECOMMEND, {}, authorization=bearer(shop))).status == 200
        refused = await web.post(port, PLUGINS, {}, authorization=bearer(shop))
        assert (refused.status, refused.reason) == (403, "ROLE_REQUIRED")
        assert (await web.post(port, PLUGINS, {}, authorization=bearer(boss))).status == 200
        for body, status in (({}, 200), ({"no": 1}, 400), ({}, 429), ({"no": 1}, 429)):
            answer = await web.post(port, RECOMMEND, body, authorization=bearer(slow))
            assert answer.status == status, "what cannot be read counts, too"
        assert (answer.reason, int(answer.headers["retry-after"]) > 10) == ("RATE_EXCEEDED", True)
        for token, status in ((shop, 403), (boss, 200)):
            answer = await web.post(port, DELETE, {"userId": "ada"}, authorization=bearer(token))
            assert answer.status == status
        lines = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
        assert [(line["caller"], line["result"]) for line in lines] == [("shop", "ROLE_REQUIRED"), ("boss", "OK")]
        assert lines[0]["address"].startswith("ipv4:127.0.0.1:")
    async with start(web_port=0, admin_port=0) as running:
        assert (await web.post(running.server.web_port, PLUGINS, {})).status == 404, "it is on the admin port alone"
        assert (await web.post(running.server.web_port, "/honeyguide.v1.ModelService/ListModels", {})).status == 200


async def test_only_listed_pages_may_call(start: Any, web: Any) -> None:
    ask = {"access_control_request_method": "POST", "access_control_request_headers": "authorization,content-type"}
    async with start(web_port=0, web_origins=[PAGE]) as running:
        port = running.server.web_port
        preflight = await web.post(port, RECOMMEND, b"", "OPTIONS", origin=PAGE, **ask)
        assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (200, PAGE)
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        foreign = await web.post(port, RECOMMEND, b"", "OPTIONS", origin="https://evil.example", **ask)
        assert foreign.status == 400
        assert "access-control-allow-origin" not in foreign.headers
        answer = await web.post(port, RECOMMEND, {}, origin=PAGE, x_request_id="mine")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, PAGE)
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        wrong = await web.post(port, RECOMMEND, {"k": 0}, origin=PAGE)
        assert (wrong.status, wrong.headers["access-control-allow-origin"]) == (400, PAGE), "a page can read errors"
        for origin in ("https://evil.example", "https://shop.example.evil", "http://shop.example", "null", ""):
            answer = await web.post(port, DELETE, {"userId": "ada"}, origin=origin)
            assert (answer.status, answer.json["code"]) == (403, "permission_denied"), origin
            assert "access-control-allow-origin" not in answer.headers
    async with start(web_port=0) as running:
        assert (await web.post(running.server.web_port, RECOMMEND, {}, origin=PAGE)).status == 403
    async with start(web_port=0, web_origins=["*"]) as running:
        answer = await web.post(running.server.web_port, RECOMMEND, {}, origin="https://any.example")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")


async def test_certificates_are_asked_for_and_renewed_as_on_the_grpc_port(start: Any, web: Any, tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    certificate, key = ours.sign("server")
    shop, stranger, forged = ours.sign("shop"), ours.sign("stranger"), other.sign("shop.forged", "shop")

    async def status(port: int, authority: Authority, pair: tuple[Path, Path] | None) -> int:
        """Of one call; 0: no connection."""
        context = ssl.create_default_context(cafile=str(authority.certificate))
        if pair is not None:
            context.load_cert_chain(*pair)
        try:
            return int((await web.post(port, RECOMMEND, {}, tls=context)).status)
        except (OSError, ValueError, IndexError):  # the last two: nothing came
            return 0

    callers = {"shop": {"roles": ["recommend"], "subjects": ["shop"]}}
    settings = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": ours.certificate, "callers": callers}
    async with start(web_port=0, **settings) as running:
        port = running.server.web_port
        assert f"web on https://127.0.0.1:{port}" in running.server.summary()[-1]
        assert await status(port, ours, shop) == 200
        assert await status(port, ours, stranger) == 401
        assert await status(port, ours, None) == 0
        assert await status(port, ours, forged) == 0
        with pytest.raises((OSError, ValueError, IndexError)):
            await web.post(port, RECOMMEND, {})
        good = key.read_bytes()
        key.write_bytes(forged[1].read_bytes())
        await asyncio.sleep(1.05)  # what the files are looked at again after
        assert await status(port, ours, shop) == 200, "a wrong pair changes nothing"
        key.write_bytes(good)
        renewed = other.sign("renewed")
        for new, old in ((other.certificate, ours.certificate), (renewed[0], certificate), (renewed[1], key)):
            old.write_bytes(new.read_bytes())
        await asyncio.sleep(1.05)
        assert await status(port, other, forged) == 200
        assert await status(port, other, shop) == 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"web_host": "0.0.0.0"}, "web_host 0.0.0.0: open to other machines, and without TLS"),
        ({"web_host": "unix:/tmp/x"}, "web_port needs an address that browsers can reach"),
        ({"web_host": "192.0.2.1", "insecure": True}, "cannot listen on 192.0.2.1, port 0: .* --web-port"),
    ],
)
async def test_an_address_that_cannot_be_is_told(start: Any, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        async with start(web_port=0, **settings):
            pass


async def test_a_port_that_is_taken_or_cannot_be_shared_is_told(start: Any) -> None:
    async with start(web_port=0) as running:
        taken = running.server.web_port
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {taken}: .* --web-port"):
            async with start(web_port=taken):
                pass
    for given, says in (
        ({"web_port": 7000, "port": 7000}, "web_port is 7000, which is port, too"),
        ({"web_port": 7000, "admin_port": 7000}, "web_port is 7000, which is admin_port, too"),
        ({"web_port": 0, "processes": 2, "port": 7000}, "web_port is 0, and processes is above 1"),
    ):
        with pytest.raises(ConfigError, match=says):
            async with start(**given):
                pass


async def test_without_its_packages_the_port_says_what_to_install(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "honeyguide.server.web.door", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"uvicorn is missing: pip install 'honeyguide\[web\]'"):
        async with start(web_port=0):
            pass
