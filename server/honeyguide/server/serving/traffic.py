"""Keeps the traffic of the pipelines: what the settings say, what was set since, and what it was before that."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import structlog

from honeyguide.sdk.errors import ConfigError, FailedPrecondition, InvalidArgument, PipelineNotFound
from honeyguide.server.serving.arms import Arms, Shares

__all__ = ["PipelineTraffic"]

_FORMAT = 1


class PipelineTraffic:
    """Shares of each pipeline's traffic. What is set while the server runs is written to a file, and survives it."""

    def __init__(self, names: Collection[str], configured: Mapping[str, Shares], file: Path | None) -> None:
        """Reads the file, where there is one.

        Args:
            names: the pipelines that are configured.
            configured: shares by pipeline, as the settings say.
            file: where changes are written; None: nowhere.

        Raises `ConfigError` where the settings name what is no pipeline, or the file cannot be read.
        """
        self._names, self._configured, self._file = names, configured, file
        self._lock = threading.Lock()
        self._set: dict[str, tuple[Shares, Shares]] = {}  # by pipeline: now, and before
        self.arms: Mapping[str, Arms] = {}
        """By pipeline, what splits or shadows its traffic; those with neither are not in it. It is never changed."""
        for name, shares in configured.items():
            try:
                self._check(name, shares)
            except (InvalidArgument, PipelineNotFound) as error:
                raise ConfigError(f"pipelines.{name}: {error.message}") from error
        state = None
        if file is not None and file.exists():
            try:
                state = file.read_text("utf-8")
                _parse(state)
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"the traffic file {file} cannot be read ({type(error).__name__}); put it right, or remove it to "
                    "serve what the settings say"
                ) from error
        self.apply(state or _text({}))

    def shares(self, pipeline: str) -> Shares:
        """Returns what holds now."""
        if pipeline in self._set:
            return self._set[pipeline][0]
        return self._configured.get(pipeline, Shares())

    def change(self, pipeline: str, shares: Shares) -> Shares:
        """Sets the shares of a pipeline, on the disk first; returns those that held before. Blocks.

        Raises `PipelineNotFound`, `InvalidArgument`, or `FailedPrecondition` where the file cannot be written: then
        nothing has changed.
        """
        self._check(pipeline, shares)
        with self._lock:
            before = self.shares(pipeline)
            self._put({**self._set, pipeline: (shares, before)})
        return before

    def roll_back(self, pipeline: str) -> Shares:
        """Sets what held before the last change; returns what held until now. Twice is as it was.

        Raises as `change`, and `FailedPrecondition` where nothing was changed so far.
        """
        self._check(pipeline, Shares())
        with self._lock:
            if pipeline not in self._set:
                raise FailedPrecondition(f"the traffic of {pipeline!r} was never set: there is nothing to go back to")
            now, before = self._set[pipeline]
            self._check(pipeline, before)
            self._put({**self._set, pipeline: (before, now)})
        return now

    @property
    def state(self) -> str:
        """Everything that was set, as the text of the file."""
        return _text(self._set)

    def apply(self, state: str) -> None:
        """Takes over what another process of the same server has set, its `state`, without writing anything.

        What concerns pipelines that this server lacks is left out, with a line in the log.
        """
        held: dict[str, tuple[Shares, Shares]] = {}
        for pipeline, (now, before) in _parse(state).items():
            try:
                self._check(pipeline, now)
            except (InvalidArgument, PipelineNotFound) as error:
                log = structlog.get_logger("honeyguide.traffic")
                log.warning("traffic left out", pipeline=pipeline, problem=error.message, holds="what the settings say")
            else:
                held[pipeline] = now, before
        self._hold(held)

    def _put(self, changed: dict[str, tuple[Shares, Shares]]) -> None:
        if self._file is not None:
            draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with draft.open("w", encoding="utf-8") as written:
                    written.write(_text(changed))
                    written.flush()
                    os.fsync(written.fileno())
                draft.replace(self._file)
            except OSError as error:
                draft.unlink(missing_ok=True)
                raise FailedPrecondition(
                    f"the traffic file cannot be written ({error.strerror}), so nothing was changed"
                ) from error
        self._hold(changed)

    def _hold(self, held: dict[str, tuple[Shares, Shares]]) -> None:
        self._set = held
        every = {name: Arms(name, self.shares(name)) for name in self._names}
        self.arms = {name: arms for name, arms in every.items() if arms.splits or arms.shadows}

    def _check(self, pipeline: str, shares: Shares) -> None:
        if pipeline not in self._names:
            raise PipelineNotFound(_lacks(pipeline, self._names), "pipeline", pipeline, sorted(self._names))
        for name in (*shares.arms, *shares.shadows):
            if name not in self._names:
                raise PipelineNotFound(_lacks(name, self._names), "traffic", name, sorted(self._names))
            if name == pipeline:
                raise InvalidArgument("traffic", name, "other pipelines: this one answers whoever is left")
        if not all(0 < percent <= 100 for percent in shares.arms.values()) or sum(shares.arms.values()) > 100:
            given = ", ".join(f"{name} {percent:g}" for name, percent in shares.arms.items())
            raise InvalidArgument("traffic.arms.percent", given, "above 0, together at most 100")
        if len(set(shares.shadows)) < len(shares.shadows):
            raise InvalidArgument("traffic.shadows", ", ".join(shares.shadows), "each once")


def _lacks(name: str, names: Collection[str]) -> str:
    return f"no pipeline {name!r} in the settings; there are: {', '.join(sorted(names)) or 'none'}"


def _text(held: Mapping[str, tuple[Shares, Shares]]) -> str:
    def plain(shares: Shares) -> dict[str, Any]:
        return {"arms": dict(shares.arms), "shadows": list(shares.shadows)}

    pipelines = {name: {"now": plain(now), "before": plain(before)} for name, (now, before) in held.items()}
    return json.dumps({"format": _FORMAT, "pipelines": pipelines}, indent=2) + "\n"


def _parse(text: str) -> dict[str, tuple[Shares, Shares]]:
    """Reads what `_text` wrote; raises `ValueError` for anything else."""

    def shares(raw: Any) -> Shares:
        arms = {str(name): float(percent) for name, percent in raw["arms"].items()}
        return Shares(arms, tuple(map(str, raw["shadows"])))

    try:
        raw = json.loads(text)
        if raw["format"] != _FORMAT:
            raise ValueError(f"format {raw['format']!r}")
        return {name: (shares(own["now"]), shares(own["before"])) for name, own in raw["pipelines"].items()}
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__} in it") from error
