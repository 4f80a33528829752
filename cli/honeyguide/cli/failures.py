"""Says how a command ends: the exit codes, and every error in words for people and as JSON for programs."""

from __future__ import annotations

import errno
import os
import re
import shlex
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from enum import IntEnum
from importlib.metadata import EntryPoint
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from honeyguide.sdk.host import PluginInfo

__all__ = ["STANDARD_OUTPUT", "ExitCode", "describe_error", "error_code", "in_words", "write_traceback"]


STANDARD_OUTPUT = "standard output"
"""What stands for a file's name where the command's own output could not be written."""


class ExitCode(IntEnum):
    """What a command's exit code means."""

    def __new__(cls, number: int, meaning: str) -> ExitCode:
        """Makes a member that knows what it means."""
        member = int.__new__(cls, number)
        member._value_ = number
        member.meaning = meaning
        return member

    meaning: str

    DONE = 0, "done"
    FAILED = 1, "a failure of Honeyguide, of a plugin or of this machine, such as a full disk"
    USAGE = 2, "wrong usage: a flag, a setting, or a value that is out of its range"
    DATA = 3, "bad data: an input file, a data set, a run or a bundle that is missing or cannot be used"
    ROWS = 4, "done, but some rows failed"
    NOT_FOUND = 5, "no such model, pipeline, item or plugin"
    UNREACHABLE = 6, "no server there, or no answer in time"
    REFUSED = 7, "the server refuses: the caller may not, its state does not allow it, or it has too much to do"
    INTERRUPTED = 130, "stopped by Ctrl-C"
    CLOSED = 141, "whoever read the output went away, as `head` does"


_BY_CLASS = {
    # of the sdk
    "InvalidArgument": ExitCode.USAGE,
    "ConfigError": ExitCode.USAGE,
    "NotFound": ExitCode.NOT_FOUND,
    "PluginError": ExitCode.FAILED,
    "ExportError": ExitCode.FAILED,
    "Unauthenticated": ExitCode.REFUSED,
    "RoleRequired": ExitCode.REFUSED,
    "NotOffered": ExitCode.REFUSED,
    "OverCapacity": ExitCode.REFUSED,
    "DeadlinePassed": ExitCode.UNREACHABLE,
    "Unavailable": ExitCode.REFUSED,
    "HoneyguideError": ExitCode.DATA,
    # of the client
    "InputError": ExitCode.DATA,
    "InvalidArgumentError": ExitCode.USAGE,
    "NotFoundError": ExitCode.NOT_FOUND,
    "ResumeError": ExitCode.DATA,
    "UnavailableError": ExitCode.REFUSED,
    "DeadlineError": ExitCode.UNREACHABLE,
    "InternalError": ExitCode.FAILED,
    "HoneyguideClientError": ExitCode.REFUSED,
    # of the command line
    "UsageError": ExitCode.USAGE,
    "ClickException": ExitCode.FAILED,
}
"""By the name of the class or the nearest one above it; names, since a bare install has but the client's classes."""
_FACTS = ("field", "value", "allowed", "existing", "file", "row", "column", "remedy", "retry_after")
_OF_FLAGS = ("target", "tls", "token")
"""Fields of the client that are --server, --tls-ca and its like, and --token-file."""
_PIPES = (errno.EPIPE, errno.ESHUTDOWN)


def error_code(error: BaseException, arguments: Sequence[str] = ()) -> ExitCode:
    """Returns the exit code of an error; ``arguments`` are the command's, since a value that a flag gave is usage."""
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "Abort":  # typer's
        return ExitCode.INTERRUPTED
    if isinstance(error, OSError):
        return ExitCode.CLOSED if error.errno in _PIPES else ExitCode.FAILED
    if (getattr(error, "facts", None) or {}).get("cause") == "disk":
        return ExitCode.FAILED  # no fault of the data that were to be written
    if getattr(error, "reason", "") == "UNREACHABLE":
        return ExitCode.UNREACHABLE
    if "existing" in (getattr(error, "facts", None) or {}) and _found(error) is ExitCode.FAILED:
        return ExitCode.NOT_FOUND  # of the plugins
    code = _found(error) or ExitCode.FAILED
    if code is ExitCode.DATA and (field := getattr(error, "field", "")):
        flags = (f"--{field.replace('_', '-')}", f"-{field}")
        given = field in _OF_FLAGS or any(argument.partition("=")[0] in flags for argument in arguments)
        return ExitCode.USAGE if given else code
    return code


def _found(error: BaseException) -> ExitCode | None:
    return next((_BY_CLASS[c.__name__] for c in type(error).__mro__ if c.__name__ in _BY_CLASS), None)


def in_words(error: BaseException, arguments: Sequence[str]) -> str | None:
    """Returns what to tell people, one line and perhaps a remedy; None for a fault of ours, which has a traceback.

    Args:
        error: what ended the command.
        arguments: the command's, for a fault that names neither file nor value.
    """
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] != "honeyguide":
        if plugin := _plugin_at_fault(error):
            return _of_plugin(plugin, error)
        return f"this verb needs {error.name}: pip install 'honeyguide[all]'"
    if isinstance(error, OSError) and _found(error) is None:
        return _of_system(error, arguments)
    if _found(error) is not None:
        return _of_usage(error, arguments) if hasattr(error, "format_message") else str(error)
    if plugin := _plugin_at_fault(error):
        return _of_plugin(plugin, error)
    if isinstance(error, MemoryError):
        return f"not enough memory, while this was at work: {_command(arguments)}"
    return _of_packages(error)


def write_traceback(error: BaseException) -> str:
    """Writes where a plugin's own code failed, for its author; returns the new file, "" where nothing is to be told."""
    cause = error.__cause__
    told = type(error).__name__ == "PluginError" and cause is not None and _found(cause) is None
    unforeseen = _found(error) is None and not isinstance(error, OSError) and _plugin_at_fault(error)
    if not (told or unforeseen):
        return ""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", prefix="honeyguide-traceback-", suffix=".txt", delete=False
        ) as file:
            traceback.print_exception(error, file=file)
    except OSError:  # the message must do
        return ""
    return file.name


def describe_error(error: BaseException, text: str | None, code: ExitCode) -> dict[str, Any]:
    """Returns the error as the one JSON object that a command with ``--json`` prints."""
    facts: dict[str, Any] = {name: getattr(error, name, None) for name in _FACTS}
    facts |= getattr(error, "facts", None) or {}
    if isinstance(error, OSError):
        word = errno.errorcode.get(error.errno or 0, "OS_ERROR")
        facts["file"] = error.filename
    elif isinstance(error, ModuleNotFoundError):
        word = "MISSING_PACKAGE"
    elif _found(error) is None:
        word = "INTERNAL" if text is None else "PLUGIN_ERROR"
    else:
        word = getattr(error, "reason", "") or code.name
    parameter = getattr(error, "param", None)  # of a usage error
    facts["field"] = facts["field"] or getattr(parameter, "name", None) or getattr(error, "option_name", None)
    message = getattr(error, "problem", None) or getattr(error, "message", None)
    if not isinstance(message, str) or not message or parameter is not None:
        message = text or f"{type(error).__name__}: {error}"
    shown = {name: value for name, value in facts.items() if value not in (None, "")}
    if others := [other.facts for other in getattr(error, "others", ())]:
        shown["others"] = others
    return {"error": {"code": word, "message": message, "exit_code": int(code), **shown}}


def _command(arguments: Sequence[str]) -> str:
    return shlex.join(["honeyguide", *arguments])


def _of_usage(error: Any, arguments: Sequence[str]) -> str:
    """Words what typer refuses; of a number out of its range typer would not say which."""
    parameter: Any = getattr(error, "param", None)
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if least is not None and most is not None:
        for argument, following in pairwise([*arguments, ""]):
            flag, equals, value = argument.partition("=")
            if flag in parameter.opts:
                return (
                    f"{flag} is {(value if equals else following)!r}; allowed: whole numbers from {least:,} to {most:,}"
                )
    return str(error.format_message())


def _of_system(error: OSError, arguments: Sequence[str]) -> str:
    """Words an error of the operating system: where, and what was being done."""
    what = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return f"{what}, while this was at work: {_command(arguments)}"
    files = [
        os.fsdecode(f) if isinstance(f, bytes) else str(f) for f in (error.filename, error.filename2) if f is not None
    ]
    return f"{' → '.join(files)}: {what}"


def _plugin_at_fault(error: BaseException) -> tuple[str, str] | None:
    """Finds the plugin whose code an unexpected error came through: its description, and the place in its code."""
    owners: Mapping[str, str] = {
        re.split(r"[.:]", point.value)[0]: f"plugin {point.name!r}" + (f" of {point.dist.name}" if point.dist else "")
        for point in _installed()[0]
        if not point.value.startswith("honeyguide.")
    }
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if owner := owners.get(module.partition(".")[0]):
            found = owner, f"{module}, line {line}"
    return found


def _installed() -> tuple[list[EntryPoint], list[PluginInfo]]:
    try:
        from honeyguide.sdk.host import installed_plugins
    except ImportError:  # an install of the client and the command line alone has no plugins
        return [], []
    return installed_plugins()


def _of_plugin(plugin: tuple[str, str], error: BaseException) -> str:
    owner, place = plugin
    said = " ".join(str(error).split())
    return (
        f"{owner} failed ({place}): {type(error).__name__}{f': {said}' if said else ''}\n"
        "  remedy: tell its author, or try `honeyguide plugins check`"
    )


def _of_packages(error: BaseException) -> str | None:
    """Words the failure of any library that reads the metadata of all packages, where one package's is broken."""
    modules = {str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)}
    broken = _installed()[1]
    if broken and any(module.startswith("importlib.metadata") for module in modules):
        return "; ".join(info.error_message for info in broken)
    return None
