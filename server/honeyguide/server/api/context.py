"""Gives each call its context: made once by the interceptor, read by the servicer, handed down from there."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any
from uuid import uuid4

import grpc

from honeyguide.server.serving.context import RequestContext

__all__ = ["begin_context", "current_context"]

_CURRENT: ContextVar[RequestContext] = ContextVar("honeyguide_request")


def begin_context(call: grpc.aio.ServicerContext[Any, Any]) -> RequestContext:
    """Makes the context of a call that arrives; its id has 32 hexadecimal digits."""
    left = call.time_remaining()
    deadline = float("inf") if left is None else asyncio.get_running_loop().time() + left
    context = RequestContext(uuid4().hex, deadline, call.peer() or "")
    _CURRENT.set(context)
    return context


def current_context() -> RequestContext:
    """Returns the context of the call under way; for servicers alone, which hand it down."""
    return _CURRENT.get()
