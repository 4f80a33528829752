"""Turns the options of models and rules from text or JSON into their frozen dataclasses, and back."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from typing import Any

from honeyguide.sdk.errors import ConfigError

__all__ = ["config_from", "config_to"]

_INT64 = range(-(1 << 63), 1 << 63)
_KINDS: Mapping[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def config_to(config: Any) -> dict[str, Any]:
    """Returns a config dataclass as a JSON-ready dict."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}


def config_from(cls: type[Any], options: Mapping[str, Any]) -> Any:
    """Builds a config of class ``cls`` from options; text is parsed by the field's type.

    A float is finite, a class's own default too: JSON has no other. An int fits into 64 bits.

    Raises `ConfigError` naming an unknown option, or one of the wrong type or out of these bounds.
    """
    types = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(options) - fields):
        raise ConfigError(
            f"unknown option {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(fields)) or 'none'}"
        )
    values = {name: _convert(name, value, types[name]) for name, value in options.items()}
    try:
        config = cls(**values)
    except (TypeError, ValueError) as error:  # boundary: a plugin's own __post_init__ check
        named = {name: value for name, value in values.items() if name in str(error)} or values
        given = ", ".join(f"{name}={_shown(value)}" for name, value in named.items())
        raise ConfigError(f"options are refused ({given or 'the defaults'}): {error}") from error
    for name in fields - set(values):
        _check_bounds(name, getattr(config, name))
    return config


def _convert(name: str, value: Any, kind: Any) -> Any:
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        if isinstance(value, str):
            value = [part for part in value.split(",") if part]
        if isinstance(value, list | tuple):
            return tuple(_convert(name, part, inner) for part in value)
    elif kind is bool and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    elif kind in (int, float) and isinstance(value, str):
        try:
            return _check_bounds(name, kind(value))
        except ValueError:
            pass
    elif kind is float and type(value) is int:
        return float(_check_bounds(name, value))
    elif kind in (str, int, float, bool) and type(value) is kind:
        return _check_bounds(name, value)
    raise ConfigError(f"option {name!r} is {_shown(value)}; it must be {_KINDS.get(kind, kind)}")


def _check_bounds(name: str, value: Any) -> Any:
    """Returns a value; raises `ConfigError` where it is a float that is not finite or an int beyond 64 bits."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"option {name!r} is {value}; it must be a finite number")
    if isinstance(value, int) and value not in _INT64:
        raise ConfigError(f"option {name!r} is {_shown(value)}; it must be from {_INT64[0]} to {_INT64[-1]}")
    return value


def _shown(value: Any) -> str:
    """Returns a value as a message has room for it."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python turns into text
        text = "a number of thousands of digits"
    return text if len(text) <= 200 else f"{text[:197]}..."
