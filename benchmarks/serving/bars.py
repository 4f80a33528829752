"""Holds each bar of the serving results: a ratio of two figures of one run, and where it has to lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from serving.environments import OLD_COMMIT

__all__ = ["BARS", "Bar", "Medians", "Verdict", "verdicts"]

Medians = Mapping[tuple[str, str], Mapping[str, float]]
"""Medians over the rounds, by subject and measure."""
_RATE, _P50, _CPU = "requests_per_s", "p50_ms", "cpu_ms"
_NATIVE, _GRPCIO, _OLD = "Honeyguide, native", "Honeyguide, grpcio", f"commit {OLD_COMMIT}"
_TRITONS = ("Triton, 2 instances", "Triton, 1 instance")
_TWO = ", 2 processes"


@dataclass(frozen=True)
class Bar:
    """A ratio and its bound."""

    what: str
    value: Callable[[Medians], float]
    """Raises `KeyError` where something was not measured."""
    bound: float
    least: bool = True
    """Whether the bound is the least that is allowed, or else the most."""


@dataclass(frozen=True)
class Verdict:
    """What came of a bar."""

    what: str
    value: float | None
    """None: not measured."""
    bound: float
    least: bool
    met: bool


def verdicts(medians: Medians) -> list[Verdict]:
    """Returns every bar with its value; one that was not measured is not met."""
    return [_judge(bar, medians) for bar in BARS]


def _judge(bar: Bar, medians: Medians) -> Verdict:
    try:
        value = bar.value(medians)
    except KeyError:
        return Verdict(bar.what, None, bar.bound, bar.least, met=False)
    met = value >= bar.bound if bar.least else value <= bar.bound
    return Verdict(bar.what, round(value, 3), bar.bound, bar.least, met)


def _ratio(above: tuple[str, str], below: tuple[str, str], figure: str = _RATE) -> Callable[[Medians], float]:
    return lambda medians: medians[above][figure] / medians[below][figure]


def _over_triton(job: str, callers: str, figure: str, ours: str = "", theirs: str = "") -> Callable[[Medians], float]:
    """Compares our best setting with Triton's best; ``ours`` and ``theirs`` end the subjects' names."""
    measure = f"{job}, inline, {callers}"

    def value(medians: Medians) -> float:
        own = (f"{_NATIVE}{ours}",) if ours else (_NATIVE, _NATIVE + _TWO)
        peers = [f"{name}{theirs}" for name in _TRITONS]
        return _best(medians, own, measure, figure) / _best(medians, peers, measure, figure)

    return value


def _best(medians: Medians, subjects: Sequence[str], measure: str, figure: str) -> float:
    """Returns the best figure of a server's settings: one or two processes, one or two instances."""
    best = max if figure == _RATE else min
    return best(medians[subject, measure][figure] for subject in subjects)


def _over_ceiling(
    measure: str, job: str, figure: str = _RATE, subjects: Sequence[str] = (_NATIVE,)
) -> Callable[[Medians], float]:
    ceiling = "in process", f"{job}, 2 threads, batches of 32"
    return lambda medians: max(medians[name, measure][figure] for name in subjects) / medians[ceiling][_RATE]


def _calls_over_ceiling(job: str) -> Callable[[Medians], float]:
    return _over_ceiling(f"{job}, inline, 64 callers", job, subjects=(_NATIVE, _NATIVE + _TWO))


def _over_old(job: str) -> Callable[[Medians], float]:
    """Compares our best setting of grpcio with the old commit, which had one."""
    measure = f"{job}, inline, 64 callers"

    def value(medians: Medians) -> float:
        return _best(medians, (_GRPCIO, _GRPCIO + _TWO), measure, _RATE) / medians[_OLD, measure][_RATE]

    return value


def _cpu_over_triton(job: str) -> Callable[[Medians], float]:
    """Compares settings that use both cores: two processes, two instances."""
    measure = f"{job}, inline, 64 callers"
    return _ratio((_NATIVE + _TWO, measure), (_TRITONS[0], measure), _CPU)


def _one_caller(job: str) -> Callable[[Medians], float]:
    """Compares with the job and an empty call, one after the other."""

    def value(medians: Medians) -> float:
        work = medians["in process", f"{job}, 1 thread, batches of 1"][_P50]
        call = medians["empty handler, native", "nothing, 1 caller"][_P50]
        return medians[_NATIVE, f"{job}, inline, 1 caller"][_P50] / (work + call)

    return value


BARS: Sequence[Bar] = (
    Bar("R, 64 callers, over Triton's best", _over_triton("R", "64 callers", _RATE), 1.7),
    Bar("K, 64 callers, over Triton's best", _over_triton("K", "64 callers", _RATE), 1.3),
    Bar(
        "K, 64 callers, both on the old graphs, over Triton's best",
        _over_triton("K", "64 callers", _RATE, ", old graphs", ", old graphs"),
        1.3,
    ),
    Bar(
        "K, 64 callers, over Triton's best on the old graphs",
        _over_triton("K", "64 callers", _RATE, "", ", old graphs"),
        2.2,
    ),
    Bar("R, one caller, p50 over Triton's best", _over_triton("R", "1 caller", _P50), 0.65, least=False),
    Bar("K, one caller, p50 over Triton's best", _over_triton("K", "1 caller", _P50), 0.75, least=False),
    Bar("K, 64 callers, over the ceiling in process", _calls_over_ceiling("K"), 0.85),
    Bar("R, 64 callers, over the ceiling in process", _calls_over_ceiling("R"), 0.55),
    Bar("R, one caller, p50 over job and empty call", _one_caller("R"), 1.3, least=False),
    Bar("K, one caller, p50 over job and empty call", _one_caller("K"), 1.3, least=False),
    Bar(
        "R, 64 callers, stored users over inline",
        _ratio((_NATIVE, "R, stored, 64 callers"), (_NATIVE, "R, inline, 64 callers")),
        1.3,
    ),
    Bar("stream, K, over the ceiling in process", _over_ceiling("stream, K", "K", "users_per_s"), 0.8),
    Bar("stream, R, over the ceiling in process", _over_ceiling("stream, R", "R", "users_per_s"), 0.6),
    Bar("honeyguide score, K, over the ceiling", _over_ceiling("honeyguide score, K", "K", "users_per_s"), 0.7),
    *(Bar(f"grpcio, {job}, 64 callers, over commit {OLD_COMMIT}", _over_old(job), 1.6) for job in "RK"),
    *(
        Bar(
            f"{job}, 64 callers, CPU of a request over Triton's, 2 processes and 2 instances",
            _cpu_over_triton(job),
            0.8,
            least=False,
        )
        for job in "RK"
    ),
    Bar(
        f"RecordEvents, 64 callers, over commit {OLD_COMMIT}",
        _ratio((_NATIVE, "RecordEvents, 64 callers"), (_OLD, "RecordEvents, 64 callers")),
        2.5,
    ),
)
