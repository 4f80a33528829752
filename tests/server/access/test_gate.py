"""Who calls is found out in one place, by token or certificate; the file of tokens is read again when it changes."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from honeyguide.sdk.errors import ConfigError, RoleRequired, Unauthenticated
from honeyguide.server.access.callers import Callers, read_callers
from honeyguide.server.access.gate import Credentials, Gate, credentials_of
from honeyguide.server.access.tokens import new_token
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.settings import CallerSettings, make_settings
from honeyguide.v1.recommender_service_pb2 import RecommendRequest

RECOMMEND, LOAD = "/honeyguide.v1.RecommenderService/Recommend", "/honeyguide.v1.ModelService/LoadModel"
HEALTH = "/grpc.health.v1.Health/Check"


def bearing(token: str) -> Credentials:
    return credentials_of([("any", "thing"), ("authorization", f"Bearer {token}")])


def gate(metrics: Metrics | None = None, **settings: Any) -> Gate:
    made = Gate(make_settings(**settings), metrics or Metrics())
    if made._files is not None:
        made._files._seconds = made._files._next = 0.0
    return made


def test_the_scheme_is_read_as_http_does_and_everything_else_is_nobody() -> None:
    token = new_token()
    door = gate(callers={"shop": {"roles": ["recommend"], "sha256": token.sha256}})
    for header in (f"Bearer {token.token}", f"bearer  {token.token} ", f"BEARER {token.token}"):
        caller = door.admit(RECOMMEND, Credentials((header,)))
        assert caller is not None
        assert caller.name == "shop"
    for wrong in (f"Bearer {token.token}x", "Bearer", "", token.token, "Bearer \udcff", b"Bearer x", "Bearer \0é"):
        with pytest.raises(Unauthenticated):
            door.admit(RECOMMEND, Credentials((wrong,)))


def test_a_certificate_is_known_by_its_common_name_or_another_name_and_a_wrong_token_is_not_made_good_by_it() -> None:
    door = gate(callers={"shop": {"roles": ["recommend"], "subjects": ["shop", "spiffe://shop/web"]}})
    for names in ({"x509_common_name": [b"shop"]}, {"x509_subject_alternative_name": [b"other", b"spiffe://shop/web"]}):
        found = door.admit(RECOMMEND, credentials_of((), names))
        assert found is not None
        assert found.name == "shop"
    with pytest.raises(RoleRequired, match=r"^LoadModel needs the role admin, which shop does not have"):
        door.admit(LOAD, credentials_of((), {"x509_common_name": [b"shop"]}))
    for metadata, names in (
        ((), {"x509_common_name": [b"shop.evil"]}),
        ((), {"x509_pem_cert": [b"shop"]}),
        ([("authorization", "Bearer x")], {"x509_common_name": [b"shop"]}),
    ):
        with pytest.raises(Unauthenticated):
            door.admit(RECOMMEND, credentials_of(metadata, names))


def test_an_unknown_rpc_needs_admin_and_health_is_open_as_set() -> None:
    token, boss = new_token(), new_token()
    callers = {
        "shop": {"roles": ["recommend", "record", "history"], "sha256": token.sha256},
        "boss": {"roles": ["admin"], "sha256": boss.sha256},
    }
    door = gate(callers=callers)
    with pytest.raises(RoleRequired):
        door.admit("/honeyguide.v1.New/Rpc", bearing(token.token))
    assert door.admit("/honeyguide.v1.New/Rpc", bearing(boss.token)) is not None
    assert door.admit(HEALTH, Credentials()) is None
    closed = gate(callers=callers, health="callers")
    with pytest.raises(Unauthenticated):
        closed.admit(HEALTH, Credentials())
    assert closed.admit(HEALTH, bearing(token.token)) is not None


def test_no_settings_make_no_gate_and_an_empty_file_makes_one_that_is_shut(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.touch()
    assert Gate.of(make_settings(), Metrics()) is None
    door = Gate.of(make_settings(tokens=file), Metrics())
    assert door is not None
    with pytest.raises(Unauthenticated):
        door.admit(RECOMMEND, bearing(""))


def test_the_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path: Path) -> None:
    file, old, new, metrics = tmp_path / "tokens.toml", new_token(), new_token(), Metrics()
    limited = old.to_toml("shop", ["recommend"]) + "requests_per_second = 0.001\nburst = 2\n"
    file.write_text(limited, "utf-8")
    door = gate(metrics, tokens=file)
    assert door.admit(RECOMMEND, bearing(old.token)) is not None
    file.write_text("[callers.shop", "utf-8")
    with structlog.testing.capture_logs() as logs:
        caller = door.check(RECOMMEND, bearing(old.token))
    assert [(line["log_level"], line["event"]) for line in logs] == [
        ("error", "tokens not reloaded; those of before go on")
    ]
    assert metrics.reloads.labels("tokens", "failed")._value.get() == 1
    file.unlink()
    assert door.check(RECOMMEND, bearing(old.token)) is caller
    file.write_text(limited + new.to_toml("job", ["record"]), "utf-8")
    assert door.check(RECOMMEND, bearing(old.token)).limits is caller.limits, "what is used up stays so"
    assert (metrics.callers._value.get(), metrics.reloads.labels("tokens", "done")._value.get()) == (2, 1)
    file.write_text(new.to_toml("shop", ["recommend"], datetime.now(UTC) + timedelta(days=1)), "utf-8")
    assert door.admit(RECOMMEND, bearing(new.token)) is not None
    with pytest.raises(Unauthenticated):
        door.admit(RECOMMEND, bearing(old.token))


def test_the_log_puts_a_reload_down_to_nobody_s_request(tmp_path: Path) -> None:
    file, token = tmp_path / "tokens.toml", new_token()
    file.write_text(token.to_toml("shop", ["recommend"]), "utf-8")
    door = gate(tokens=file)
    merge = [structlog.contextvars.merge_contextvars]
    with structlog.contextvars.bound_contextvars(caller="shop", request_id="r1"):
        for text in (token.to_toml("shop", ["recommend", "record"]), "[callers.shop"):
            file.write_text(text, "utf-8")
            with structlog.testing.capture_logs(merge) as logs:
                door.check(RECOMMEND, bearing(token.token))
            (line,) = logs
            assert not {"caller", "request_id"} & line.keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [", "which is not TOML"),
        ("[callers.shop]\nroles = ['recommend']", "callers.shop: Value error, neither sha256 nor subjects is given"),
        ("[callers.shop]\nroles = []\nsubjects = ['a']", "callers.shop.roles: "),
        ("[callers.shop]\nroles = ['root']\nsubjects = ['a']", "callers.shop.roles.0: "),
        ("[callers.Shop]\nroles = ['admin']\nsubjects = ['a']", "callers.Shop.*: "),
        ("[callers.shop]\nroles = ['admin']\nsha256 = 'hg_secret'", "callers.shop.sha256: "),
        (
            "[callers.shop]\nroles = ['admin']\nsubjects = ['a']\nexpires = 2027-01-01T00:00:00",
            "callers.shop.expires: ",
        ),
        ("[calers.shop]\nroles = ['admin']\nsubjects = ['a']", "calers: Extra inputs"),
        ("[" * 100_000, "which is not TOML"),
        ("a = " + "9" * 5000, "which is not TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_key_and_shows_no_secret(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        read_callers(file)
    assert "hg_secret" not in str(caught.value)


def test_a_misspelt_role_is_one_problem(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.write_text("[callers.shop]\nroles = ['buy']\nsubjects = ['a']", "utf-8")
    with pytest.raises(ConfigError, match=r"callers\.shop\.roles\.0: Input should be 'recommend'") as caught:
        read_callers(file)
    assert "; " not in caught.value.message
    assert "at least" not in caught.value.message


def test_a_file_that_anybody_may_change_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "tokens.toml"
    file.touch()
    file.chmod(0o666)
    if os.name == "posix":
        with pytest.raises(ConfigError, match="which every user of this machine may change: chmod o-w it"):
            read_callers(file)
    with pytest.raises(ConfigError, match=r"none\.toml', which cannot be read"):
        read_callers(tmp_path / "none.toml")


def test_no_two_callers_share_a_credential(tmp_path: Path) -> None:
    one, two = (CallerSettings(roles=("admin",), sha256="0" * 64, subjects=(name,)) for name in "ab")
    with pytest.raises(ConfigError, match=r"callers.b.sha256 is another caller's too"):
        Callers({"a": one, "b": two})
    with pytest.raises(ConfigError, match=r"callers.b.subjects names 'a', which is another caller's too"):
        Callers({"a": one, "b": CallerSettings(roles=("admin",), subjects=("a",))})
    file = tmp_path / "tokens.toml"
    file.write_text(new_token().to_toml("a", ["admin"]), "utf-8")
    with pytest.raises(ConfigError, match=r"callers.a is in the settings and in the file"):
        gate(tokens=file, callers={"a": one.model_dump()})


@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_a_caller_that_is_taken_out_of_the_file_is_out_a_second_later(
    start: Any, transport: str, tmp_path: Path
) -> None:
    file, token = tmp_path / "tokens.toml", new_token()
    file.write_text(token.to_toml("shop", ["recommend"]), "utf-8")
    metadata = [("authorization", f"Bearer {token.token}")]
    async with start(transport=transport, tokens=file) as running:
        running.server._services.gate._files._seconds = 0.0
        await running.recommender.Recommend(RecommendRequest(), metadata=metadata)
        running.server._services.gate._files._next = 0.0
        file.write_text("", "utf-8")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.recommender.Recommend(RecommendRequest(), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
