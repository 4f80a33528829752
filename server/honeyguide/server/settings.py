"""Reads the server's settings: one TOML file, overridden by the environment, overridden by flags."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.names import NAME_PATTERN

__all__ = [
    "PipelineSettings",
    "RuleSettings",
    "SettingRow",
    "Settings",
    "describe_settings",
    "load_settings",
    "make_settings",
]

_PREFIX = "HONEYGUIDE_"
_CONFIG = "HONEYGUIDE_CONFIG"
_Name = Annotated[str, Field(min_length=1, max_length=64)]
# Lower case alone: an environment variable could not name anything else.
_PipelineName = Annotated[str, Field(pattern=rf"^{NAME_PATTERN.pattern}$")]


class RuleSettings(BaseModel):
    """Settings of one rule of a pipeline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Name = Field(description="The rule, as a plugin registers it.")
    options: dict[str, Any] = Field(default_factory=dict, description="The rule's own options, by name.")


class PipelineSettings(BaseModel):
    """Settings of one pipeline: what retrieves, whether it is ranked, which rules run after."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: _Name = Field(
        description="The model of the repository that retrieves, and ranks if it has a ranker; "
        "or a joint one, which ranks what the models it pins retrieve."
    )
    rank: bool | None = Field(
        default=None,
        description="Whether the model's ranker orders the candidates. Unset: if the bundle has one. "
        "Without it, a joint model answers what its first retriever does.",
    )
    candidates: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Candidates to rank, of each retriever, 0–10,000. 0: as many as the ranker was fitted on.",
    )
    drop_seen: bool | None = Field(
        default=None,
        description="Whether items of the history are dropped. Unset: as the data says (films are, purchases are not).",
    )
    rules: tuple[RuleSettings, ...] = Field(default=(), description="The rules that run after ranking, in order.")


class Settings(BaseSettings):
    """Settings of the server. Relative paths start at the working directory."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen on. 0.0.0.0: every interface; unix:PATH: a Unix socket.",
    )
    port: int = Field(default=50051, ge=0, le=65_535, description="gRPC port, 0–65,535. 0: any free one.")
    transport: Literal["auto", "native", "grpcio"] = Field(
        default="auto",
        description="What carries calls: native, the fastest, over a front in Rust that has neither TLS nor limits on "
        "messages; grpcio; or auto: native where it can be had and only this machine can connect.",
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file of the server's certificate chain. Unset: no TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file of the certificate's private key.")
    max_concurrent_streams: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="Calls that one connection may have open, 0–1,000,000; clients hold back what is more. 0: 100 on "
        "native; on grpcio 1,024, as there what comes before a client knows of the limit ends with UNAVAILABLE.",
    )
    max_connection_age_seconds: float = Field(
        default=0.0, ge=0, le=1e9, description="Seconds after which a connection is asked to end, 0–1e9. 0: never."
    )
    max_connection_idle_seconds: float = Field(
        default=0.0,
        ge=0,
        le=1e9,
        description="Seconds without a call after which a connection is closed, 0–1e9. 0: never.",
    )
    keepalive_seconds: float = Field(
        default=60.0,
        ge=0.1,
        le=2e6,
        description="Seconds without traffic after which a connection is asked whether it is still there, 0.1–2e6.",
    )
    keepalive_timeout_seconds: float = Field(
        default=20.0, ge=0.1, le=2e6, description="Seconds until one that does not answer is closed, 0.1–2e6."
    )
    min_ping_seconds: float = Field(
        default=0.0,
        ge=0,
        le=2e6,
        description="Seconds that a client must leave between two pings of its own, 0–2e6. 0: as gRPC has it.",
    )
    metrics_port: int = Field(
        default=9464,
        ge=-1,
        le=65_535,
        description="Port of the Prometheus metrics, -1–65,535. 0: any free one; -1: off.",
    )
    repository: Path = Field(default=Path("models"), description="Folder of the bundles.")
    events: Path = Field(default=Path("events.db"), description="SQLite file of the events; made when missing.")
    max_batch_rows: int = Field(default=64, ge=1, le=4096, description="Users computed in one batch at most, 1–4,096.")
    max_queue_rows: int = Field(
        default=2048, ge=1, le=1_000_000, description="Users waiting at most, 1–1,000,000; above it calls are refused."
    )
    max_queue_seconds: float = Field(
        default=0.2,
        gt=0,
        le=3600,
        description="Seconds that a call waits at most, above 0 to 3,600; what would wait longer is refused at once.",
    )
    max_write_seconds: float = Field(
        default=1.0,
        gt=0,
        le=3600,
        description="Seconds that events wait for the disk at most, above 0 to 3,600; as above. A disk that is busy, "
        "with an import or a long deletion, takes so long now and then.",
    )
    max_open_streams: int = Field(
        default=1024, ge=1, le=1_000_000, description="Streams open at the same time, 1–1,000,000; above it refused."
    )
    state_cache_users: int = Field(
        default=10_000,
        ge=0,
        le=10_000_000,
        description="Users whose vectors each model keeps in memory, so that only new events are computed, "
        "0–10,000,000; a user takes some kilobytes. 0: none.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=1024,
        description="Threads that compute, 0–1,024. 0: one for each core that affinity and cgroup quota allow.",
    )
    strict_plugins: bool = Field(default=False, description="Whether a plugin that does not load stops the start.")
    drain_seconds: float = Field(
        default=10.0, ge=0, le=3600, description="Seconds that calls under way get to finish at the stop, 0–3,600."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged: debug, info, warning or error."
    )
    log_format: Literal["console", "json"] = Field(
        default="console", description="Form of the log: console for people, json for programs."
    )
    default_pipeline: str = Field(
        default="", max_length=64, description="Pipeline of requests that name none. Empty: the only or first one."
    )
    pipelines: dict[_PipelineName, PipelineSettings] = Field(
        default_factory=dict,
        description="Pipelines by name: lower-case letters, digits, _ and -. Empty: one for each model.",
    )


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
    return list(_describe(Settings, "", _PREFIX))


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
        model_config = SettingsConfigDict(toml_file=file)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base's signature
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

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
        unknown = name.startswith(_PREFIX) and name not in known and "__" not in name
        if unknown and (near := difflib.get_close_matches(name, known, 1, 0.93)):
            raise ConfigError(f"environment variable {name} is no setting; did you mean {near[0]}?")


def _source(error: dict[str, Any], file: Path | None, table: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """Says where a wrong setting was given: by a flag, in the file or in the environment."""
    path = _path(error["loc"])
    if error["type"] == "missing":
        return str(file or "environment")
    variable = _PREFIX + "__".join(path).upper()
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
        known = [row.name.rpartition(".")[2] for row in describe_settings() if row.name.count(".") == len(path) - 1]
        return f"{source}: unknown key {key!r}; there are: {', '.join(known)}"
    if error["type"] == "missing":
        return f"{source}: {key} is missing: {_allowed(path)}"
    text = (
        f"{source}: {key} is {error['input']!r}; {error['msg'][0].lower()}{error['msg'][1:]}. Allowed: {_allowed(path)}"
    )
    if isinstance(error["input"], str) and error["input"].startswith("tcp://"):
        text += " Kubernetes sets this for a Service called honeyguide: set enableServiceLinks: false."
    return text


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
        elif name == "rules":
            yield from _describe(RuleSettings, prefix + "rules.<n>.", variable + "RULES__<N>__")
