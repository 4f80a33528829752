"""All settings of the server in one class, put together from its subjects."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from honeyguide.server.settings.access import AccessSettings
from honeyguide.server.settings.cold_items import ColdItemSettings
from honeyguide.server.settings.events import EventSettings
from honeyguide.server.settings.exposures import ExposureSettings
from honeyguide.server.settings.load import LoadSettings
from honeyguide.server.settings.network import NetworkSettings
from honeyguide.server.settings.pipelines import PipelineName, PipelineSettings
from honeyguide.server.settings.records import RecordSettings
from honeyguide.server.settings.traffic import TrafficSettings
from honeyguide.server.settings.trust import TrustSettings
from honeyguide.server.settings.web import WebSettings

__all__ = ["PREFIX", "Settings"]

PREFIX = "HONEYGUIDE_"
"""What the name of every environment variable begins with."""


class Settings(
    BaseSettings,
    AccessSettings,
    RecordSettings,
    TrafficSettings,
    TrustSettings,
    ColdItemSettings,
    EventSettings,
    ExposureSettings,
    LoadSettings,
    WebSettings,
    NetworkSettings,
):
    """Settings of the server. Relative paths start at the working directory."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, env_ignore_empty=True
    )

    metrics_port: int = Field(
        default=9464,
        ge=-1,
        le=65_535,
        description="Port of the Prometheus metrics, -1–65,535. 0: any free one; -1: off.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", min_length=1, description="Address that the metrics listen on, without TLS or credentials."
    )
    repository: Path = Field(default=Path("models"), description="Folder of the bundles.")
    state_cache_users: int = Field(
        default=10_000,
        ge=0,
        le=10_000_000,
        description="Users whose vectors each model keeps in memory, so that only new events are computed, "
        "0–10,000,000; a user takes some kilobytes. 0: none.",
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
    pipelines: dict[PipelineName, PipelineSettings] = Field(
        default_factory=dict,
        description="Pipelines by name: lower-case letters, digits, _ and -. Empty: one for each model.",
    )
