"""Turns the options of models and rules from text or JSON into their frozen dataclasses, and back."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from honeyguide.sdk.errors import ConfigError

__all__ = ["config_from", "config_to"]


def config_to(config: Any) -> dict[str, Any]:
    """Returns a config dataclass as a JSON-ready dict."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(config).items()}


def config_from(cls: type[Any], options: Mapping[str, Any]) -> Any:
    """Builds a config of class ``cls`` from options; text is parsed by the field's type.

    Raises `ConfigError` naming an unknown option, or one of the wrong type.
    """
    types = typing.get_type_hints(cls)
    fields = {f.name for f in dataclasses.fields(cls)}
    if unknown := sorted(set(options) - fields):
        raise ConfigError(
            f"unknown option {', '.join(map(repr, unknown))}; there are: {', '.join(sorted(fields)) or 'none'}"
        )
    values = {name: _convert(name, value, types[name]) for name, value in options.items()}
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:  # boundary: a plugin's own __post_init__ check
        raise ConfigError(f"options {values!r} are refused: {error}") from error


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
            return kind(value)
        except ValueError:
            pass
    elif kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif kind in (str, int, float, bool) and type(value) is kind:
        return value
    raise ConfigError(f"option {name!r} is {value!r}; it must be {getattr(kind, '__name__', kind)}")
