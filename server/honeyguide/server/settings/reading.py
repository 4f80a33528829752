"""Reads the server's settings: one TOML file, overridden by the environment, overridden by flags."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings.access import CallerSettings
from honeyguide.server.settings.declared import PREFIX, Settings
from honeyguide.server.settings.pipelines import PipelineSettings, RuleSettings

__all__ = ["SettingRow", "describe_settings", "load_settings", "make_settings"]

_CONFIG = "HONEYGUIDE_CONFIG"
_SECRET = ("sha256",)
"""Settings whose values are not shown: somebody may have written a token where its hash belongs."""
_CLIENTS = {"HONEYGUIDE_SERVER", "HONEYGUIDE_TOKEN"}
"""What clients and verbs read; it may lie in the same environment."""


class SettingRow(NamedTuple):
    """Description of one setting for people."""

    name: str
    variable: str
    """Its environment variable."""
    description: str
    """What it is, with unit and range."""
    default: str


def describe_settings() -> list[SettingRow]:
    """Lists every setting, nested ones as ``pipelines.<name>.<field>``."""
    return list(_describe(Settings, "", PREFIX))


def load_settings(config: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Reads the settings.

    Args:
        config: the TOML file; None: the one HONEYGUIDE_CONFIG names, or none at all.
        overrides: settings by name that stand above file and environment; None values are left out.

    Raises `ConfigError` naming the key, what was given, what is allowed, and where it was given.
    """
    file = config or (Path(named) if (named := os.environ.get(_CONFIG)) else None)
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    _refuse_misspelt_variables()
    table = {} if file is None else _read(file)

    class FromFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            # Of what was read once: a pipe, as `--config <(…)` is, has nothing more the second time.
            return init_settings, env_settings, InitSettingsSource(settings_cls, table)

    try:
        return FromFile(**given)
    except SettingsError as error:  # an environment variable that should be JSON and is not
        raise ConfigError(f"environment: {error}; lists and tables are written as JSON") from error
    except ValidationError as error:
        problems = [dict(e) for e in error.errors()]
        raise ConfigError("\n".join(_explain(p, _source(p, file, table, given)) for p in problems)) from error


def make_settings(**given: Any) -> Settings:
    """Makes settings of keywords alone, whatever file and environment say; raises as `load_settings` does."""

    class FromKeywords(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],  # noqa: ARG003  # the base's signature
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings,)

    try:
        return FromKeywords(**given)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(dict(e), f"keyword {e['loc'][0]}") for e in error.errors())) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"config file {file} cannot be read: {error.strerror}; name one that exists") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config file {file} is not TOML: {error}") from error


def _refuse_misspelt_variables() -> None:
    # Not every unknown HONEYGUIDE_ variable is a mistake: Kubernetes sets HONEYGUIDE_SERVICE_HOST and its like.
    known = {row.variable for row in describe_settings() if "<" not in row.variable} | {_CONFIG}
    for name in sorted(os.environ):
        unknown = name.startswith(PREFIX) and name not in known | _CLIENTS and "__" not in name
        if unknown and (near := difflib.get_close_matches(name, known, 1, 0.93)):
            raise ConfigError(f"environment variable {name} is no setting; did you mean {near[0]}?")


def _source(error: dict[str, Any], file: Path | None, table: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Says where a wrong setting was given: by a flag, in the file or in the environment."""
    path = _path(error["loc"])
    if error["type"] == "missing":
        return str(file or "environment")
    variable = PREFIX + "__".join(path).upper()
    if path[0] in given:
        return f"--{path[0].replace('_', '-')}"
    if _holds(table, error["loc"]) and variable not in map(str.upper, os.environ):
        return str(file)
    return f"environment variable {variable}"


def _path(location: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(str(part) for part in location if part != "[key]")


def _explain(error: dict[str, Any], source: str) -> str:
    """Says key, value, allowed and source of one validation error."""
    path = _path(error["loc"])
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = [row.name.rpartition(".")[2] for row in describe_settings() if _is_beside(row.name.split("."), path)]
        return f"{source}: unknown key {key!r}; there are: {', '.join(known)}"
    if error["type"] == "missing":
        return f"{source}: {key} is missing: {_allowed(path)}"
    given = "not what it may be" if path[-1] in _SECRET else repr(error["input"])
    text = f"{source}: {key} is {given}; {error['msg'][0].lower()}{error['msg'][1:]}. Allowed: {_allowed(path)}"
    if isinstance(error["input"], str) and error["input"].startswith("tcp://"):
        text += " Kubernetes sets this for a Service called honeyguide: set enableServiceLinks: false."
    return text


def _is_beside(names: list[str], path: tuple[str, ...]) -> bool:
    """Says whether a setting, whose name may stand for any, lies in the same table as a path."""
    same = (p.startswith("<") or p == q for p, q in zip(names[:-1], path[:-1], strict=False))
    return len(names) == len(path) and all(same)


def _holds(table: Any, path: tuple[int | str, ...]) -> bool:
    for part in path:
        try:
            table = table[part]
        except (KeyError, IndexError, TypeError):
            return part == "[key]"
    return True


def _allowed(path: tuple[str, ...]) -> str:
    for row in describe_settings():
        parts = row.name.split(".")
        if len(parts) <= len(path) and all(p.startswith("<") or p == q for p, q in zip(parts, path, strict=False)):
            description = row.description
            if len(parts) == len(path):
                break
    return description


def _describe(cls: type[BaseModel], prefix: str, variable: str) -> Iterator[SettingRow]:
    for name, field in cls.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "required" if field.is_required() else "unset" if default is None else str(default) or '""'
        shown = "none" if shown in ("{}", "()") else shown
        yield SettingRow(prefix + name, variable + name.upper(), field.description or "", shown)
        if name == "pipelines":
            yield from _describe(PipelineSettings, "pipelines.<name>.", variable + "PIPELINES__<NAME>__")
        elif name == "callers":
            yield from _describe(CallerSettings, "callers.<name>.", variable + "CALLERS__<NAME>__")
        elif name == "rules":
            yield from _describe(RuleSettings, prefix + "rules.<n>.", variable + "RULES__<N>__")
