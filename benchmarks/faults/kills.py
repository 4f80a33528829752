"""Kills servers under load: no acknowledged event may be lost, and none may be there twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from faults.callers import Caller, calling, code_of, event, every_event, recommend_request
from faults.registry import Bench, Outcome
from serving.processes import children

__all__ = ["kill_one_process", "kills_under_events"]

_WRITERS = 4
_TOGETHER = 5
"""Events of one call."""


class _Writers:
    """Threads that record events with ids of their own, and what was acknowledged to them."""

    def __init__(self, address: str, run: str) -> None:
        self._address, self._run = address, run
        self.acknowledged: list[list[str]] = [[] for _ in range(_WRITERS)]
        self.unsure: list[list[str]] = [[] for _ in range(_WRITERS)]

    def write(self, number: int, going: Callable[[], bool]) -> None:
        """Records until it may not go on; what failed is written down as unsure, and sent again at the end."""
        place = 0
        with Caller(self._address) as caller:
            while going():
                names = [f"{self._run}-{number}-{place + n}" for n in range(_TOGETHER)]
                place += _TOGETHER
                events = [event(f"writer-{number}", f"item-{place % 100}", name) for name in names]
                if caller.record(*events, timeout=2.0) == "OK":
                    self.acknowledged[number] += names
                else:
                    self.unsure[number] += names
                    time.sleep(0.02)


def kills_under_events(bench: Bench) -> Outcome:
    """Kills the server again and again while four callers record, then reads everything back."""
    outcome = Outcome()
    server = bench.server()
    chance = bench.random
    acknowledged: list[set[str]] = [set() for _ in range(_WRITERS)]
    unsure: list[set[str]] = [set() for _ in range(_WRITERS)]
    starts = []
    for kill in range(bench.amount(25, 3)):
        begun = time.monotonic()
        server.start()
        starts.append(time.monotonic() - begun)
        writers = _Writers(server.address, f"{bench.transport}-{kill}")
        with calling(_WRITERS, writers.write):
            time.sleep(chance.uniform(0.05, 0.9))
            server.kill()
        for number in range(_WRITERS):
            acknowledged[number] |= set(writers.acknowledged[number])
            unsure[number] |= set(writers.unsure[number])
        outcome.add(kills=1)
    with server, Caller(server.address) as caller:
        for number in range(_WRITERS):
            again = sorted(unsure[number])  # whoever got no answer sends the same again
            for start in range(0, len(again), 500):
                events = [event(f"writer-{number}", "item-1", name) for name in again[start : start + 500]]
                outcome.expect(caller.record(*events) == "OK", "an unsure event could not be sent again")
            stored = Counter(each.event_id for each in every_event(caller, f"writer-{number}"))
            lost = (acknowledged[number] | unsure[number]) - stored.keys()
            twice = [name for name, count in stored.items() if count > 1]
            outcome.add(acknowledged=len(acknowledged[number]), unsure=len(again), lost=len(lost), twice=len(twice))
            outcome.expect(not lost, f"lost: {sorted(lost)[:3]} of writer-{number}")
            outcome.expect(not twice, f"stored twice: {twice[:3]} of writer-{number}")
    outcome.add(longest_start_s=max(starts))
    return outcome


def kill_one_process(bench: Bench) -> Outcome:
    """Kills one of two processes under load: the other answers, and another takes its place."""
    outcome = Outcome(figures={"kills": 0, "calls": 0, "failed": 0, "acknowledged": 0, "lost": 0})
    lock = threading.Lock()
    acknowledged: set[str] = set()
    with bench.server(processes=2) as server:

        def call(number: int, going: Callable[[], bool]) -> None:
            place = 0
            while going():
                with Caller(server.address) as caller:  # the kernel chooses a process for each connection
                    for _ in range(20):
                        name = f"{number}-{place}"
                        place += 1
                        written = caller.record(event(f"user-{number}", "item-1", name), timeout=3.0)
                        asked = code_of(lambda: caller.recommender.Recommend(recommend_request("item-2"), timeout=3.0))
                        with lock:
                            outcome.add(calls=2, failed=(written != "OK") + (asked != "OK"))
                            if written == "OK":
                                acknowledged.add(name)
                            for code in {written, asked} - {"OK", "UNAVAILABLE"}:
                                outcome.expect(False, f"a call of a killed process ended with {code}")

        for kill in range(bench.amount(10, 2)):
            with calling(4, call):
                time.sleep(0.5)
                members = _members(server.pid)
                outcome.expect(len(members) == 2, f"{len(members)} processes before kill {kill}")
                os.kill(members[kill % len(members)], signal.SIGKILL)
                outcome.add(kills=1)
                time.sleep(1.0)
            begun = time.monotonic()
            while len(_members(server.pid)) < 2 or not _both_answer(server.metrics()):
                if time.monotonic() - begun > 30:
                    outcome.expect(False, f"no process took the place of number {kill}")
                    break
                time.sleep(0.1)
            place = time.monotonic() - begun
            outcome.figures["replaced_in_s"] = max(outcome.figures.get("replaced_in_s", 0.0), place)
        with Caller(server.address) as caller:
            stored = {each.event_id for number in range(4) for each in every_event(caller, f"user-{number}")}
        outcome.add(acknowledged=len(acknowledged), lost=len(acknowledged - stored))
        outcome.expect(acknowledged <= stored, f"lost: {sorted(acknowledged - stored)[:3]}")
        failed = outcome.figures["failed"] / max(1, outcome.figures["calls"])
        outcome.expect(failed < 0.1, f"{failed:.0%} of the calls failed although another process was there")
    return outcome


def _members(pid: int) -> list[int]:
    return [child for child in children(pid) if child != pid]


def _both_answer(metrics: dict[str, float]) -> bool:
    return metrics.get("honeyguide_event_store_up", 0.0) == 2.0
