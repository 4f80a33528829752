"""Sets up structured logs; every line of a request carries its id."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from io import StringIO
from typing import Any, TextIO, cast

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer, JSONRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from honeyguide.answers.plain_text import plain_json, plain_line, plain_text
from honeyguide.sdk.host import PluginHost

__all__ = ["bind_caller", "bind_request", "configure_logs", "log_plugins"]


def configure_logs(level: str = "info", form: str = "console", process: int | None = None) -> None:
    """Configures structlog for this process; called once, by the program, never by a library.

    Args:
        level: least level that is logged: debug, info, warning or error.
        form: "console" for people, "json" for programs, one object a line; both go to standard error.
        process: number of this process among those of a server, for each line; None: it is alone.
    """

    def number(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        return line if process is None else {"process": process, **line}

    # Neither form shows the local variables of a traceback: they hold what users did.
    last: list[Processor] = (
        [ExceptionRenderer(ExceptionDictTransformer(show_locals=False)), JSONRenderer(serializer=_to_json)]
        if form == "json"
        else [_escape, ConsoleRenderer(colors=_coloured(), exception_formatter=_write_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            number,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", _StandardError())),
        cache_logger_on_first_use=False,  # so that a second call, in a test, counts
    )
    warnings.showwarning = _log_warning
    logging.basicConfig(handlers=[_FromLibraries()], level=logging.WARNING, force=True)


def _coloured() -> bool:
    """Whether standard error shows colours: a terminal, unless NO_COLOR (https://no-color.org) says otherwise."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def _log_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    structlog.get_logger("honeyguide.warnings").warning(str(message))


class _FromLibraries(logging.Handler):
    """Brings what libraries say, gRPC and asyncio above all, in the same form to the same place."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger("honeyguide.libraries")
        log.log(record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info)


def _to_json(line: Mapping[str, Any], **_: Any) -> str:
    return plain_json(line)


def _escape(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    """Lets nothing that was logged act on the terminal, or pass for a line of its own."""
    return {plain_line(name): plain_line(value) if isinstance(value, str) else value for name, value in line.items()}


def _write_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    """Writes a traceback, indented: what starts a line is never a message of somebody else's."""
    written = StringIO()
    plain_traceback(written, exc_info)
    out.write("\n".join(f"  {line}" for line in plain_text(written.getvalue()).split("\n")))


class _StandardError:
    """Standard error as it is at the time of each line; what it cannot take is lost, never the work it tells of."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # ValueError: closed
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def bind_request(request_id: str, method: str) -> None:
    """Makes every further line of this task carry a request's id and its rpc."""
    clear_contextvars()
    bind_contextvars(request_id=request_id, method=method)


def bind_caller(name: str) -> None:
    """Makes every further line of this task carry who calls."""
    bind_contextvars(caller=name)


def log_plugins(host: PluginHost) -> None:
    """Logs each plugin that did not load, with its traceback."""
    log = structlog.get_logger("honeyguide.plugins")
    for info in host.plugins:
        if info.error is not None:
            log.error("plugin did not load", plugin=info.name, distribution=info.distribution, exc_info=info.error)
