"""Gives up on calls at every point, and kills callers: nobody else may notice, and nothing may be left over."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc

from faults.callers import Caller, calling, code_of, event, recommend_request
from faults.registry import Bench, Outcome
from faults.server import FaultServer
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest, StreamOptions, UserBatch, UserRow
from serving.processes import clean_environment

__all__ = ["deadlines_and_cancellations", "killed_callers"]

_GAUGE = "honeyguide_queue_rows"


def deadlines_and_cancellations(bench: Bench) -> Outcome:
    """Lets calls of every kind run out of time or be cancelled from at once to 30 ms, beside callers who wait."""
    outcome = Outcome(figures={"given_up": 0, "waited": 0, "waited_failed": 0})
    ends: Counter[str] = Counter()
    with bench.server() as server, Caller(server.address) as caller:
        alone = _items(caller)

        def wait(_: int, going: Callable[[], bool]) -> None:
            with Caller(server.address) as own:
                while going():
                    code, items = "OK", alone
                    try:
                        items = _items(own)
                    except grpc.RpcError as error:
                        code = error.code().name
                    outcome.add(waited=1, waited_failed=code != "OK")
                    outcome.expect(code == "OK" and items == alone, f"one who waited got {code}, or another answer")
                    time.sleep(0.005)

        with calling(1, wait):
            for number in range(bench.amount(1_500, 300)):
                seconds = (number * 7919 % 300) / 10_000  # 0 to 30 ms, in no order
                ends[_given_up(caller, number % 6, seconds)] += 1
                outcome.add(given_up=1)
        for code in ends.keys() - {"OK", "DEADLINE_EXCEEDED", "CANCELLED"}:
            outcome.expect(False, f"{ends[code]} calls ended with {code}")
        outcome.figures |= {code: count for code, count in ends.items() if code != "OK"}
        _nothing_left(server, outcome)
        outcome.expect(_items(caller) == alone, "answers changed")
    return outcome


def _items(caller: Caller) -> list[str]:
    answer = caller.recommender.Recommend(recommend_request("item-3", "item-9", pipeline="both"), timeout=10)
    return [item.item_id for item in answer.items]


def _batches(count: int) -> Iterator[RecommendStreamRequest]:
    yield RecommendStreamRequest(options=StreamOptions(pipeline="both"))
    rows = [UserRow(user_id=f"user-{number}") for number in range(30)]
    for number in range(count):
        yield RecommendStreamRequest(batch=UserBatch(sequence=number, rows=rows))


def _given_up(caller: Caller, way: int, seconds: float) -> str:
    """Gives up on one call after so many seconds; returns how it ended."""
    ask = recommend_request("item-3", pipeline="both")
    match way:
        case 0:
            return code_of(lambda: caller.recommender.Recommend(ask, timeout=seconds + 1e-4))
        case 1:
            return caller.record(event("one", "item-1"), timeout=seconds + 1e-4)
        case 2:
            return code_of(lambda: list(caller.recommender.RecommendStream(_batches(5), timeout=seconds + 1e-4)))
        case 3:
            call = caller.recommender.Recommend.future(ask, timeout=10)
        case 4:
            stream = caller.recommender.RecommendStream(_batches(5), timeout=10)
            time.sleep(seconds)
            stream.cancel()
            return code_of(lambda: list(stream))
        case _:
            stream = caller.recommender.RecommendStream(_batches(5), timeout=10)
            with contextlib.suppress(StopIteration):
                next(stream)  # it has begun to answer
            stream.cancel()
            return code_of(lambda: list(stream))
    time.sleep(seconds)
    call.cancel()
    try:
        return code_of(call.result)
    except grpc.FutureCancelledError:
        return "CANCELLED"


def killed_callers(bench: Bench) -> Outcome:
    """Kills processes full of calls under way, again and again, beside one caller who stays."""
    outcome = Outcome(figures={"killed": 0, "waited": 0, "waited_failed": 0})
    together = 4
    lock = threading.Lock()
    with bench.server() as server, Caller(server.address) as caller:

        def wait(_: int, going: Callable[[], bool]) -> None:
            while going():
                code = code_of(lambda: _items(caller))
                with lock:
                    outcome.add(waited=1, waited_failed=code not in ("OK", "RESOURCE_EXHAUSTED"))
                    outcome.expect(code in ("OK", "RESOURCE_EXHAUSTED"), f"one who stayed got {code}")
                time.sleep(0.02)

        begun: tuple[float, int] = (0.0, 0)
        with calling(1, wait):
            for round_number in range(bench.amount(15, 3)):
                processes = [_storming(server) for _ in range(together)]
                for process in processes:
                    assert process.stdout is not None
                    process.stdout.readline()  # it has calls under way
                time.sleep(0.3)
                for process in processes:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                    assert process.stdout is not None
                    process.stdout.close()
                outcome.add(killed=together)
                if round_number == 1:
                    _settled(server)
                    begun = server.memory(), server.descriptors()
        _nothing_left(server, outcome)
        outcome.figures["memory_grown_mib"] = round(server.memory() - begun[0], 1)
        outcome.figures["descriptors_grown"] = server.descriptors() - begun[1]
        outcome.expect(outcome.figures["memory_grown_mib"] < 48, "memory grows with callers that are killed")
        outcome.expect(outcome.figures["descriptors_grown"] < 16, "descriptors are left over")
    return outcome


def _storming(server: FaultServer) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "faults.gone_callers", server.address]
    folder = Path(__file__).parents[1]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=clean_environment())


def _storm(address: str) -> None:
    """Keeps calls and streams under way until it is killed, half a minute at most."""
    until = time.monotonic() + 30
    with Caller(address) as caller:
        streams = [caller.recommender.RecommendStream(_batches(1_000)) for _ in range(4)]
        calls = [caller.recommender.Recommend.future(recommend_request("item-1")) for _ in range(200)]
        print("under way", flush=True)
        while time.monotonic() < until:
            calls = [
                *calls[50:],
                *(caller.recommender.Recommend.future(recommend_request("item-1")) for _ in range(50)),
            ]
            caller.record(event("one", "item-1"))
            time.sleep(0.02)
        del streams


def _settled(server: FaultServer, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if server.metrics()[_GAUGE] == 0:
            return True
        time.sleep(0.1)
    return False


def _nothing_left(server: FaultServer, outcome: Outcome) -> None:
    outcome.expect(_settled(server), f"{_GAUGE} stays at {server.metrics()[_GAUGE]} on an idle server")
    outcome.expect(server.alive and server.serves(), "the server is gone")
    outcome.expect("Traceback" not in server.said(), "a traceback in its log")


if __name__ == "__main__":
    _storm(sys.argv[1])
