"""Every rpc that changes what is served, or erases, leaves one line: who, what, when, with what result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from honeyguide.oip.v2 import inference_pb2
from honeyguide.server.access.tokens import new_token
from honeyguide.server.api.auditing import AUDITED
from honeyguide.server.oip.wire import SERVICE
from honeyguide.server.ops.pseudonyms import Pseudonyms
from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

pytestmark = pytest.mark.slow(6)

READING = ("List", "Get", "Recommend", "Rank", "Similar", "RecordEvents")
READING += ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig")
READING += ("ModelStatistics", "ModelInfer", "ModelStreamInfer", "RepositoryIndex")
METHODS = {
    f"/{service.full_name}/{method.name}": method
    for file in (recommender_service_pb2, event_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
METHODS |= {
    f"/{SERVICE}/{m.name}": m for m in inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
}
TOKEN, OTHER = new_token(), new_token()


def test_every_rpc_is_audited_unless_it_reads_or_records() -> None:
    assert {path for path, method in METHODS.items() if not method.name.startswith(READING)} == AUDITED


@pytest.mark.parametrize("transport", ["native", "grpcio"])
async def test_one_line_says_who_did_what_with_what_result(start: Any, tmp_path: Path, transport: str) -> None:
    log, key = tmp_path / "audit.jsonl", tmp_path / "key"
    key.write_text("0123456789abcdef")
    callers = {
        "boss": {"roles": ["admin", "history"], "sha256": TOKEN.sha256},
        "shop": {"roles": ["recommend"], "sha256": OTHER.sha256},
    }
    asked = [
        ("LoadModel", {"name": "tiny"}, TOKEN.token, "boss", "OK"),
        ("LoadModel", {"name": "no\nsuch"}, TOKEN.token, "boss", "MODEL_NOT_FOUND"),
        ("UnloadModel", {"name": "tiny"}, OTHER.token, "shop", "ROLE_REQUIRED"),
        ("DeleteUser", {"user_id": "ann"}, TOKEN.token, "boss", "OK"),
        ("SetTraffic", {"pipeline": "x" * 5000}, "wrong", "", "UNAUTHENTICATED"),
    ]
    async with start(transport=transport, audit_log=log, log_key=key, callers=callers) as running:
        for name, fields, token, _, _ in asked:
            await call(running, name, fields, token)
        await call(running, "ListModels", {}, TOKEN.token)
    written = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(w["method"].rpartition("/")[2], w["caller"], w["result"]) for w in written] == [
        (name, caller, result) for name, _, _, caller, result in asked
    ]
    assert written[0]["what"] == {"name": "tiny"}
    assert written[3]["what"] == {"user": Pseudonyms(b"0123456789abcdef").of("ann")}
    assert len(written[4]["what"]) < 2100
    assert "ann" not in log.read_text()
    assert len({w["request_id"] for w in written}) == len(asked)


async def test_nothing_is_changed_while_no_line_can_be_written(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "audit.jsonl"
    async with start(audit_log=log) as running:
        log.unlink()
        log.mkdir()
        assert await call(running, "UnloadModel", {"name": "tiny"}) is grpc.StatusCode.UNAVAILABLE
        assert ("tiny", 1) in [bundle.key for bundle in running.server.repository.serving.values()]
        log.rmdir()
        assert await call(running, "UnloadModel", {"name": "tiny"}) is grpc.StatusCode.OK
        assert log.stat().st_size > 0


async def call(running: Any, name: str, fields: dict[str, Any], token: str = "") -> grpc.StatusCode:
    (path,) = (path for path in METHODS if path.endswith(f"/{name}"))
    kind, answer = (GetMessageClass(side) for side in (METHODS[path].input_type, METHODS[path].output_type))
    rpc = running.channel.unary_unary(path, kind.SerializeToString, answer.FromString)
    try:
        await rpc(kind(**fields), timeout=10, metadata=[("authorization", f"Bearer {token}")] if token else [])
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
