"""Runs the stages of a pipeline that answers can do without: each within its time, and none that keeps failing."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TypeVar

import structlog

from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.run_limit import RunLimit
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.circuit import Circuit, CircuitOptions
from honeyguide.server.serving.encoding import EncodedUsers

__all__ = ["Stages"]

_T = TypeVar("_T")
_Key = tuple[str, tuple[str, int]]
_NONE = -5000
"""Stands for no time left: less than any exponent of a time."""
_SHARE = 0.8
"""Of the time that is left to a call, what a stage may take: the answer has to be filled up and written as well."""


class Stages:
    """Stages of one pipeline, "RETRIEVE" and "RANK", and what became of them lately; thread-safe.

    Of a stage that did not come to an end its caller gets None, and the reason among the answer's: ``…_FAILED``,
    ``…_LATE``, or ``…_SKIPPED`` where its circuit is open.
    """

    def __init__(self, pipeline: str, budgets: Mapping[str, float], circuit: CircuitOptions, metrics: Metrics) -> None:
        """Takes what holds for every batch.

        Args:
            pipeline: its name.
            budgets: seconds that a stage may take, by its name; a stage that is not in it may take any time.
            circuit: when a stage is left out.
            metrics: where it is seen which are left out.
        """
        self.budgets = budgets
        self._pipeline, self._circuit, self._metrics = pipeline, circuit, metrics
        self._circuits: dict[_Key, Circuit] = {}  # of stages that failed lately; of none, nearly always
        self._lock = threading.Lock()
        self._log = structlog.get_logger("honeyguide.pipeline").bind(pipeline=pipeline)

    def run(
        self,
        stage: str,
        bundle: LoadedBundle,
        users: EncodedUsers,
        reasons: list[str],
        work: Callable[[], _T],
        deadline: float = math.inf,
    ) -> _T | None:
        """Runs one stage for a batch; returns what it comes to, or None.

        Args:
            stage: "RETRIEVE" or "RANK".
            bundle: whose stage it is.
            users: of the batch; the graphs that are run for them end where the time is over.
            reasons: gets the reason where the result is None.
            work: does it.
            deadline: of the batch, on the clock `monotonic`; looked at where the stage has a budget.
        """
        circuit = self._circuits.get((stage, bundle.key)) if self._circuits else None
        if circuit is not None and not circuit.allows():
            reasons.append(f"{stage}_SKIPPED")
            return None
        try:
            if stage in self.budgets:
                result, in_time = self._within(self.budgets[stage], users, work, deadline)
                if not in_time:
                    self._failed(stage, bundle)  # it is late, not lost: the batch gets it all the same
                    return result
            else:
                result = work()
        except _OutOfTimeError as late:
            reasons.append(f"{stage}_LATE")
            if late.own:
                self._failed(stage, bundle)
            return None
        except Exception:  # boundary: a plugin's graph; without it the answer is only less good
            name, version = bundle.key
            self._log.exception(f"{stage.lower()} failed", model=name, version=version)
            reasons.append(f"{stage}_FAILED")
            self._failed(stage, bundle)
            return None
        if circuit is not None and circuit.succeeded():
            self._note(stage, bundle, opened=False)
        return result

    def urgent(self, deadlines: Sequence[float]) -> dict[int, list[int]]:
        """Returns the places of calls with less time left than the stages may take, those of like times together.

        They are answered apart: a mate that has the time need not go without a stage for them.
        """
        now, needed = monotonic(), sum(self.budgets.values()) / _SHARE
        groups: dict[int, list[int]] = {}
        for place, deadline in enumerate(deadlines):
            if deadline - now < needed:
                groups.setdefault(math.frexp(deadline - now)[1] if deadline > now else _NONE, []).append(place)
        return groups

    def _within(self, budget: float, users: EncodedUsers, work: Callable[[], _T], deadline: float) -> tuple[_T, bool]:
        """Returns the result, and whether it came within the budget."""
        start = monotonic()
        left = (deadline - start) * _SHARE
        if left <= 0:
            raise _OutOfTimeError(own=False)
        with RunLimit(min(budget, left)) as limit:
            users.limit = limit
            try:
                result = work()
            except Exception as error:  # boundary: as in `run`; whether for want of time is seen here
                if limit.passed:
                    raise _OutOfTimeError(own=budget <= left) from error
                raise
            finally:
                users.limit = None
        return result, monotonic() - start <= budget

    def _failed(self, stage: str, bundle: LoadedBundle) -> None:
        key = stage, bundle.key
        with self._lock:
            if key not in self._circuits:
                name = bundle.key[0]  # the circuits of its other versions go, so that there are never many
                kept = {own: each for own, each in self._circuits.items() if own[1][0] != name or own[1] == bundle.key}
                self._circuits = {**kept, key: Circuit(self._circuit)}
            circuit = self._circuits[key]
        if circuit.failed():
            self._note(stage, bundle, opened=True)

    def _note(self, stage: str, bundle: LoadedBundle, *, opened: bool) -> None:
        name, version = bundle.key
        self._metrics.circuit_open.labels(self._pipeline, stage.lower()).set(opened)
        if opened:
            self._metrics.circuit_opened.labels(self._pipeline, stage.lower()).inc()
            self._log.warning("circuit opened", stage=stage.lower(), model=name, version=version)
        else:
            self._log.warning("circuit closed", stage=stage.lower(), model=name, version=version)


class _OutOfTimeError(Exception):
    """A stage was not done when its time was over."""

    def __init__(self, *, own: bool) -> None:
        """Takes whether that was the stage's own time, and not the call's."""
        self.own = own
