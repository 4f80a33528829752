"""Every rpc needs a credential of the right role, on both transports and behind the native one; none can be forgotten.

Named here: `roles.py`, `gate.py`. Each rpc meets: no credential, a wrong one, a broken one, two, an expired one, one
without the role, and the right one.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import Default
from google.rpc import error_details_pb2 as details
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from honeyguide.oip.v2 import inference_pb2
from honeyguide.server.access.roles import OPENED, ROLES, ROLES_OF, is_carried, service_of
from honeyguide.server.access.tokens import new_token
from honeyguide.server.oip.wire import SERVICE
from honeyguide.server.settings import make_settings
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

both = pytest.mark.parametrize("transport", ["native", "grpcio"])
CODE = grpc.StatusCode
FILES = (
    recommender_service_pb2.DESCRIPTOR,
    event_service_pb2.DESCRIPTOR,
    model_service_pb2.DESCRIPTOR,
    health_pb2.DESCRIPTOR,
    reflection_pb2.DESCRIPTOR,
)
RPCS = {
    f"/{service.full_name}/{method.name}": method
    for file in FILES
    for service in file.services_by_name.values()
    for method in service.methods
}
RPCS |= {p.replace("v1alpha", "v1"): method for p, method in RPCS.items() if "v1alpha" in p}
RPCS |= {f"/{SERVICE}/{m.name}": m for m in inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}


def callers() -> tuple[dict[str, Any], dict[str, str]]:
    """Settings of a caller for each role, and of one that is expired; their tokens."""
    tokens = {name: new_token() for name in (*ROLES, "expired")}
    given: dict[str, Any] = {
        name: {"roles": ROLES if name == "expired" else [name], "sha256": token.sha256}
        for name, token in tokens.items()
    }
    given["expired"]["expires"] = datetime.now(UTC) - timedelta(seconds=1)
    return given, {name: token.token for name, token in tokens.items()}


def bearing(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


async def outcome(channel: grpc.aio.Channel, path: str, *metadata: tuple[str, str]) -> tuple[grpc.StatusCode, Any, str]:
    """Calls with an empty message; returns code, ErrorInfo and message, OK where the first answer came."""
    method = RPCS[path]
    kind = "_".join("stream" if s else "unary" for s in (method.client_streaming, method.server_streaming))
    call = getattr(channel, kind)(path)
    request: Any = iter([b""]) if method.client_streaming else b""
    try:
        calling = call(request, metadata=list(metadata), timeout=20)
        if method.server_streaming:
            await calling.read()
            calling.cancel()
        else:
            await calling
    except grpc.aio.AioRpcError as error:
        trailing = dict(error.trailing_metadata() or ())
        info = details.ErrorInfo()
        for part in Status.FromString(trailing.get("grpc-status-details-bin", b"")).details:
            part.Unpack(info)
        return error.code(), info, error.details() or ""
    return CODE.OK, details.ErrorInfo(), ""


def test_every_rpc_of_every_service_is_in_the_table_and_nothing_else() -> None:
    assert set(RPCS) == set(ROLES_OF) | set(OPENED)
    assert {role for roles in ROLES_OF.values() for role in roles} == set(ROLES)


@both
async def test_every_rpc_refuses_who_does_not_belong(start: Any, transport: str) -> None:
    given, tokens = callers()
    async with start(transport=transport, callers=given, health="callers") as running:
        channel = running.channel
        stub = ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [a async for a in stub.ServerReflectionInfo(iter([ask]), metadata=[bearing(tokens["recommend"])])]
        served = {service.name for service in answers[0].list_services_response.service}
        assert served == {path[1:].partition("/")[0] for path in RPCS}, "a service that this test does not know"

        async def check(path: str) -> None:
            strangers = (
                (),
                (bearing(tokens["recommend"][:-1]),),
                (bearing(new_token().token),),
                (bearing(""),),
                (("authorization", "Basic " + tokens["admin"]),),
                (("authorization", tokens["admin"]),),
                (bearing(tokens["admin"]), bearing(tokens["recommend"])),
                (bearing(tokens["expired"]),),
                (bearing(given["admin"]["sha256"]),),
            )
            told = [await outcome(channel, path, *metadata) for metadata in strangers]
            assert {(code, info.reason) for code, info, _ in told} == {(CODE.UNAUTHENTICATED, "UNAUTHENTICATED")}, path
            assert len({message for *_, message in told}) == 1, "which part was wrong is not told"
            assert all(len(info.metadata["request_id"]) == 32 for _, info, _ in told)
            needed = ROLES_OF.get(path, ROLES)
            for role in ROLES:
                code, info, message = await outcome(channel, path, bearing(tokens[role]))
                if role in needed:
                    assert code not in (CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED, CODE.UNIMPLEMENTED), (path, role)
                else:
                    words = " or ".join(needed)
                    assert (code, info.reason) == (CODE.PERMISSION_DENIED, "ROLE_REQUIRED"), (path, role)
                    assert info.metadata["role"] == words
                    assert message.startswith(f"{RPCS[path].name} needs the role {words}, which {role} does not have")

        await asyncio.gather(*map(check, RPCS))
        counted = running.server.metrics.errors.labels("/honeyguide.v1.EventService/DeleteUser", "ROLE_REQUIRED")
        assert counted._value.get() == 3


@both
async def test_without_callers_every_call_is_let_in(start: Any, transport: str) -> None:
    async with start(transport=transport) as running:
        for path in RPCS:
            code, info, _ = await outcome(running.channel, path, bearing("whatever"))
            assert code not in (CODE.UNAUTHENTICATED, CODE.PERMISSION_DENIED), (path, info)


@pytest.mark.parametrize("word", ["open", "callers", "admin", "off"])
def test_health_and_reflection_are_where_they_are_set(word: str) -> None:
    settings = make_settings(health=word, reflection=word, admin_port=0)
    for path in RPCS:
        if service_of(path):
            assert is_carried(path, settings, by_admin_port=True) == (word != "off")
            assert is_carried(path, settings, by_admin_port=False) == (word in ("open", "callers"))
    assert Default().FindServiceByName("grpc.health.v1.Health") is not None


async def test_the_admin_port_has_what_needs_admin_and_the_other_has_not(start: Any) -> None:
    given, tokens = callers()
    async with start(callers=given, admin_port=0, health="admin", reflection="off") as running:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.server.admin_port}") as admin:
            ours = {path: await outcome(running.channel, path, bearing(tokens["admin"])) for path in RPCS}
            theirs = {path: await outcome(admin, path, bearing(tokens["admin"])) for path in RPCS}
            assert (await outcome(admin, "/honeyguide.v1.ModelService/ListModels"))[0] == CODE.UNAUTHENTICATED
            assert (await outcome(admin, "/grpc.health.v1.Health/Check"))[0] == CODE.OK, "open to who reaches it"
        missing = {path for path, (code, *_) in ours.items() if code == CODE.UNIMPLEMENTED}
        assert missing == {p for p in RPCS if ROLES_OF.get(p) == ("admin",) or service_of(p)}
        there = {path for path, (code, *_) in theirs.items() if code != CODE.UNIMPLEMENTED}
        shown = {p for p in RPCS if "ModelService" in p or service_of(p) == "health"}
        assert there == shown | {p for p in RPCS if ROLES_OF.get(p) == ("admin",)}
        assert f"admin on 127.0.0.1:{running.server.admin_port}" in running.server.summary()[-1]
