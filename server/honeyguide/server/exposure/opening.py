"""Opens the log of what is shown, where the settings name one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.ops.pseudonyms import Pseudonyms
from honeyguide.server.settings import Settings

if TYPE_CHECKING:
    from honeyguide.server.exposure.log import ExposureLog

__all__ = ["open_exposures"]


def open_exposures(settings: Settings, metrics: Metrics) -> ExposureLog | None:
    """Returns the log, None where there is to be none; raises `ConfigError`."""
    if settings.exposures is None:
        return None
    if settings.exposures_key is None:
        raise ConfigError("exposures is set and exposures_key is not; make one with `openssl rand -hex 32`")
    from honeyguide.server.exposure.log import ExposureLog  # most servers have none

    return ExposureLog(
        settings.exposures,
        Pseudonyms.from_file("exposures_key", settings.exposures_key),
        file_seconds=settings.exposures_seconds,
        keep_days=settings.exposures_keep_days,
        observe=lambda outcome, rows: metrics.exposures.labels(outcome).inc(rows),
    )
