"""Calls every rpc without a credential, with a wrong one, an expired one, one of another role, and the right one."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
from google.rpc.error_details_pb2 import ErrorInfo  # type: ignore[import-untyped]  # Google ships no stubs
from grpc_status import rpc_status

from faults.callers import Caller
from faults.fuzz import methods
from faults.registry import Bench, Outcome

__all__ = ["NEEDED", "credentials"]

_READERS = ("recommend", "admin")
NEEDED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Recommend", "RecommendStream", "Rank", "SimilarItems"), ("recommend",)),
    **dict.fromkeys(("ListModels", "GetModel", "ListPipelines"), _READERS),
    "RecordEvents": ("record",),
    **dict.fromkeys(("ListEvents", "ListUsers", "DeleteUser"), ("history",)),
    **dict.fromkeys(("LoadModel", "UnloadModel", "SetTraffic", "ListPlugins"), ("admin",)),
    **dict.fromkeys(("UpsertItems", "DeleteItems", "ListItems"), ("admin",)),
    **dict.fromkeys(("ModelInfer", "ModelStreamInfer"), ("recommend",)),
    **dict.fromkeys(("ServerLive", "ServerReady", "ServerMetadata"), _READERS),
    **dict.fromkeys(("ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"), _READERS),
    **dict.fromkeys(("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload"), ("admin",)),
}
"""Roles that may, as docs/access.md has them; any one will do."""
_ROLES = ("recommend", "record", "history", "admin")
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED")


def credentials(bench: Bench) -> Outcome:
    """Calls each rpc of each service with each credential, on the very connection that the right one uses, too."""
    outcome = Outcome(figures={"rpcs": 0, "calls": 0, "let_in_wrongly": 0, "kept_out_wrongly": 0})
    tokens = {name: secrets.token_urlsafe(32) for name in (*_ROLES, "expired")}
    file = bench.folder / "tokens.toml"
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    lines = []
    for name, token in tokens.items():
        roles = list(_ROLES) if name == "expired" else [name]
        lines += [f"[callers.{name}]", f"roles = {json.dumps(roles)}"]
        lines += [f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"']
        lines += [f"expires = {past}"] if name == "expired" else []
    file.write_text("\n".join(lines) + "\n", "utf-8")
    file.chmod(0o600)
    wrong = {
        "none": None,
        "wrong": f"Bearer {secrets.token_urlsafe(32)}",
        "expired": f"Bearer {tokens['expired']}",
        "no bearer": tokens["admin"],
        "basic": f"Basic {tokens['admin']}",
        "empty": "Bearer ",
        "its hash": f"Bearer {hashlib.sha256(tokens['admin'].encode()).hexdigest()}",
    }
    with bench.server(tokens=str(file)) as server, Caller(server.address) as caller:
        for name, method in methods().items():
            service = name.partition("/")[0]
            if not service.startswith(("honeyguide.", "inference.")):
                continue  # health is open unless it is set otherwise, and gives nothing away
            outcome.add(rpcs=1)
            needed = NEEDED.get(method.name)
            if needed is None:
                outcome.expect(False, f"{name}: docs/access.md says no role")
                continue
            for kind, header in wrong.items():
                code, reason = _called(caller, name, method, header)
                right = (code, reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
                outcome.add(calls=1, let_in_wrongly=code not in _REFUSED)
                outcome.expect(right, f"{name} with {kind} credential: {code} {reason}")
            for role in _ROLES:
                code, reason = _called(caller, name, method, f"Bearer {tokens[role]}")
                may = role in needed
                outcome.add(calls=1, kept_out_wrongly=may and code in _REFUSED)
                outcome.add(let_in_wrongly=not may and code not in _REFUSED)
                if may:
                    outcome.expect(code not in _REFUSED, f"{name} as {role}: {code} {reason}")
                else:
                    right = (code, reason) == ("PERMISSION_DENIED", "ROLE_REQUIRED")
                    outcome.expect(right, f"{name} as {role}: {code} {reason}")
        said = server.said()
        outcome.expect(not any(token in said for token in tokens.values()), "a token is in the log")
        _reloaded(caller, file, tokens, outcome)
    return outcome


def _reloaded(caller: Caller, file: Any, tokens: dict[str, str], outcome: Outcome) -> None:
    """Takes a caller out of the file, and breaks the file: the first is out soon, the second changes nothing."""
    import time

    name = "honeyguide.v1.RecommenderService/Recommend"
    method = methods()[name]
    header = f"Bearer {tokens['recommend']}"
    whole = file.read_text("utf-8")
    file.write_text("[callers.recommend", "utf-8")
    time.sleep(2.5)
    outcome.expect(_called(caller, name, method, header)[0] == "OK", "a broken file of tokens keeps callers out")
    file.write_text(
        whole.replace("[callers.recommend]", "[callers.other]").replace(
            hashlib.sha256(tokens["recommend"].encode()).hexdigest(), "0" * 64
        ),
        "utf-8",
    )
    time.sleep(2.5)
    code = _called(caller, name, method, header)[0]
    outcome.expect(code == "UNAUTHENTICATED", f"a caller who was taken out of the file gets {code}")


def _called(caller: Caller, name: str, method: Any, header: str | None) -> tuple[str, str]:
    """Calls with an empty message; returns code and reason."""
    kinds = "_".join("stream" if each else "unary" for each in (method.client_streaming, method.server_streaming))
    call = getattr(caller.channel, kinds)(f"/{name}")
    metadata = [] if header is None else [("authorization", header)]
    try:
        if method.server_streaming:
            list(call(iter([b""]) if method.client_streaming else b"", timeout=10, metadata=metadata))
        else:
            call(b"", timeout=10, metadata=metadata)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        info = ErrorInfo()
        found = status is not None and any(detail.Unpack(info) for detail in status.details)
        return str(error.code().name), info.reason if found else ""
    return "OK", ""
