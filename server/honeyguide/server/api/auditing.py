"""Says which calls are written down in the audit log, and as what: never with a user's id or an event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from structlog.contextvars import get_contextvars

from honeyguide.answers.plain_text import plain_json
from honeyguide.sdk.errors import HoneyguideError, RoleRequired, Unauthenticated
from honeyguide.server.ops.audit import AuditLog
from honeyguide.server.ops.pseudonyms import Pseudonyms

__all__ = ["AUDITED", "Auditor"]

AUDITED = frozenset(
    {
        "/honeyguide.v1.ModelService/LoadModel",
        "/honeyguide.v1.ModelService/UnloadModel",
        "/honeyguide.v1.ModelService/SetTraffic",
        "/honeyguide.v1.ModelService/UpsertItems",
        "/honeyguide.v1.ModelService/DeleteItems",
        "/honeyguide.v1.EventService/DeleteUser",
        "/inference.GRPCInferenceService/RepositoryModelLoad",
        "/inference.GRPCInferenceService/RepositoryModelUnload",
    }
)
"""Paths of the rpcs that change what is served, or erase."""
_MOST_LETTERS = 2000


class Auditor:
    """Witness of the calls that are `AUDITED`."""

    def __init__(self, log: AuditLog, pseudonyms: Pseudonyms) -> None:
        """Takes where lines go and how users are named in them."""
        self._log, self._pseudonyms = log, pseudonyms

    @contextmanager
    def witness(
        self, method: str, request_id: str, request: object, context: grpc.aio.ServicerContext[Any, Any]
    ) -> Iterator[None]:
        """Writes a line when the block has ended, however; raises `Unavailable` before it where none can be written."""
        entry = {
            "request_id": request_id,
            "method": method,
            "address": context.peer(),
            "caller": "",
            "what": self._what(request),
        }
        self._log.check()
        try:
            yield
        except BaseException as error:
            result = (
                error.reason if isinstance(error, HoneyguideError) else _RESULTS.get(type(error).__name__, "INTERNAL")
            )
            caller = error.caller if isinstance(error, RoleRequired) else _caller()
            entry |= {"caller": caller, "result": result}
            self._log.note(entry, stranger=isinstance(error, Unauthenticated))
            raise
        self._log.note(entry | {"caller": _caller(), "result": "OK"})

    def _what(self, request: object) -> Any:
        """Returns what was asked, a user by pseudonym; text where it is long."""
        if not isinstance(request, Message):
            return "a message that cannot be read"
        asked = MessageToDict(request, preserving_proto_field_name=True)
        if "user_id" in asked:
            asked["user"] = self._pseudonyms.of(asked.pop("user_id"))
        written = plain_json(asked)
        return asked if len(written) <= _MOST_LETTERS else written[:_MOST_LETTERS] + "…"


_RESULTS = {"CancelledError": "CANCELLED", "AbortError": "ABORTED_BY_SERVICER"}


def _caller() -> str:
    return str(get_contextvars().get("caller", ""))
