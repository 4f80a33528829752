"""Lists every fault that is tried, in the order of the table."""

from __future__ import annotations

from faults import fuzz, kills, swaps
from faults.registry import Fault

__all__ = ["FAULTS"]

FAULTS: tuple[Fault, ...] = (
    Fault(
        "kills under events",
        "SIGKILL of the server while four callers record, 25 times on each transport",
        "no acknowledged event lost, none twice",
        kills.kills_under_events,
        briefly=("native", "grpcio"),
    ),
    Fault(
        "kill of one process",
        "`processes = 2`: one of them killed under load, 10 times",
        "calls of the killed process alone fail, with UNAVAILABLE; another takes its place; no acknowledged event lost",
        kills.kill_one_process,
        transports=("native",),
    ),
    Fault(
        "swaps under load",
        "versions 1 and 2 of a model and of a joint one loaded in turn while four callers ask, 50 times on each transport",
        "no failed call; every answer is one version's, whole; memory flat",
        swaps.swaps_under_load,
    ),
    Fault(
        "fuzz",
        "100,000 messages to every rpc, the same on both transports: a third valid, a third of any fields, a third bytes",
        "each ends with the code that the protos promise, on both transports alike; none with INTERNAL or UNKNOWN",
        fuzz.fuzz,
        transports=("both",),
        briefly=("both",),
    ),
)
