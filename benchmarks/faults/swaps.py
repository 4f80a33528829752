"""Swaps versions under load: no call may fail, and every answer is one version's, whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import grpc

from faults.callers import Caller, calling, recommend_request
from faults.material import VERSIONS
from faults.registry import Bench, Outcome
from honeyguide.v1.model_service_pb2 import LoadModelRequest

__all__ = ["swaps_under_load"]

_HISTORY = ("item-3", "item-17", "item-58")
_ASKED = ("near", "both")
Answer = tuple[tuple[tuple[str, int], ...], tuple[str, ...]]


def swaps_under_load(bench: Bench) -> Outcome:
    """Loads version 1 and 2 in turn while four callers ask; an answer must be one that a version gives alone."""
    outcome = Outcome(figures={"swaps": 0, "calls": 0, "failed": 0, "mixed": 0})
    lock = threading.Lock()
    with bench.server() as server, Caller(server.address) as operator:

        def load(name: str, version: int) -> None:
            operator.models.LoadModel(LoadModelRequest(name=name, version=version), timeout=60)

        alone: dict[str, set[Answer]] = {name: set() for name in _ASKED}
        for version in VERSIONS:
            for name in _ASKED:
                load(name, version)
                alone[name].add(_ask(operator, name))
        outcome.expect(all(len(answers) == len(VERSIONS) for answers in alone.values()), "versions answer alike")
        took: list[float] = []

        def call(number: int, going: Callable[[], bool]) -> None:
            name = _ASKED[number % 2]
            with Caller(server.address) as caller:
                while going():
                    begun = time.monotonic()
                    try:
                        answer = _ask(caller, name)
                    except grpc.RpcError as error:
                        with lock:
                            outcome.add(calls=1, failed=1)
                            outcome.expect(False, f"{name}: {error.code().name} {error.details()}")
                        continue
                    with lock:
                        took.append(time.monotonic() - begun)
                        outcome.add(calls=1, mixed=answer not in alone[name])
                        outcome.expect(answer in alone[name], f"{name}: an answer of no one version: {answer[0]}")
                    time.sleep(0.002)

        operator.models.LoadModel(LoadModelRequest(name="near", version=1), timeout=60)
        before = server.memory()
        with calling(4, call):
            for swap in range(bench.amount(50, 10)):
                load(_ASKED[swap // 2 % 2], VERSIONS[swap % 2])
                outcome.add(swaps=1)
                if swap == 10:
                    before = server.memory()
        outcome.figures["memory_grown_mib"] = round(server.memory() - before, 1)
        outcome.expect(outcome.figures["memory_grown_mib"] < 64, "memory grows with swaps")
        outcome.figures["p99_ms"] = round(sorted(took)[len(took) * 99 // 100] * 1e3, 1)
    return outcome


def _ask(caller: Caller, name: str) -> Answer:
    answer = caller.recommender.Recommend(recommend_request(*_HISTORY, pipeline=name), timeout=10)
    return tuple((each.name, each.version) for each in answer.models), tuple(item.item_id for item in answer.items)
