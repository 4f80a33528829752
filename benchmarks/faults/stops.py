"""Stops servers at every moment: while they start, idle, under load, and while they stop already."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable

from faults.callers import Caller, calling, code_of, event, every_event, recommend_request
from faults.registry import Bench, Outcome
from honeyguide.v1.recommender_service_pb2 import RecommendStreamRequest, StreamOptions

__all__ = ["stopped_at_the_start", "stopped_under_load", "stopped_while_stopping"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stopped_at_the_start(bench: Bench) -> Outcome:
    """Sends a signal so many milliseconds after the start; the process must end, and soon."""
    outcome = Outcome(figures={"starts": 0, "longest_end_s": 0.0, "tracebacks": 0})
    steps = bench.amount(12, 3)
    for number in _SIGNALS:
        for step in range(steps):
            server = bench.server(f"{number.name}-{step}")
            server.launch()
            delay = 0.15 + 2.2 * step / max(1, steps - 1)
            time.sleep(delay)
            server.send(number)
            begun = time.monotonic()
            code = server.wait(10)
            took = time.monotonic() - begun
            said = server.said()
            ours = "Traceback" in said and "honeyguide/cli" in said  # Python's own, before it has read us, is not
            outcome.add(starts=1, tracebacks=ours)
            outcome.figures["longest_end_s"] = round(max(outcome.figures["longest_end_s"], took), 2)
            right = (0, -number, 128 + number, 1)
            outcome.expect(code in right, f"{number.name} after {delay:.2f} s: exit code {code}")
            outcome.expect(not ours, f"{number.name} after {delay:.2f} s: a traceback")
            server.kill()
    return outcome


def stopped_under_load(bench: Bench) -> Outcome:
    """Sends a signal to an idle server and to busy ones: calls end well or with UNAVAILABLE, events are kept."""
    outcome = Outcome(figures={"stops": 0, "calls": 0, "failed": 0, "acknowledged": 0, "lost": 0, "longest_end_s": 0.0})
    chance = bench.random
    server = bench.server()
    acknowledged: set[str] = set()
    lock = threading.Lock()
    codes: Counter[str] = Counter()
    for turn in range(bench.amount(10, 2)):
        number = _SIGNALS[turn % 2]
        server.start()

        def call(place: int, going: Callable[[], bool], turn: int = turn) -> None:
            count = 0
            with Caller(server.address) as caller:
                while going():
                    name = f"{turn}-{place}-{count}"
                    count += 1
                    if place % 2:
                        code = caller.record(event(f"user-{place}", "item-1", name))
                    else:
                        code = code_of(lambda: caller.recommender.Recommend(recommend_request("item-2"), timeout=5))
                    with lock:
                        codes[code] += 1
                        outcome.add(calls=1, failed=code != "OK")
                        if place % 2 and code == "OK":
                            acknowledged.add(name)
                    if code != "OK":
                        time.sleep(0.02)

        with calling(0 if turn == 0 else 6, call):
            time.sleep(chance.uniform(0.1, 0.6))
            server.send(number)
            begun = time.monotonic()
            code = server.wait(10)
            took = time.monotonic() - begun
        outcome.add(stops=1)
        outcome.figures["longest_end_s"] = round(max(outcome.figures["longest_end_s"], took), 2)
        outcome.expect(code == 0, f"{number.name}: exit code {code}")
        outcome.expect(took < 5, f"{number.name}: it took {took:.1f} s")
        server.kill()
    # gRPC itself cancels what has arrived at the instant its server closes and nobody has picked up.
    cancelled = codes.pop("CANCELLED", 0)
    outcome.figures["cancelled"] = cancelled
    most = 0.01 * outcome.figures["calls"] if bench.transport == "grpcio" else 0
    outcome.expect(cancelled <= most, f"{cancelled} calls ended with CANCELLED")
    for code in codes.keys() - {"OK", "UNAVAILABLE"}:
        outcome.expect(False, f"{codes[code]} calls ended with {code}")
    outcome.expect("Traceback" not in server.said(), "a traceback in the log")
    with server, Caller(server.address) as caller:
        stored = {each.event_id for place in range(6) for each in every_event(caller, f"user-{place}")}
    outcome.add(acknowledged=len(acknowledged), lost=len(acknowledged - stored))
    outcome.expect(acknowledged <= stored, f"lost: {sorted(acknowledged - stored)[:3]}")
    return outcome


def stopped_while_stopping(bench: Bench) -> Outcome:
    """Sends a signal while a stream holds the stop up, then a second: the first lets it finish, the second does not."""
    outcome = Outcome(figures={"stops": 0, "longest_end_s": 0.0})
    for number in _SIGNALS:
        with bench.server(number.name, drain_seconds=20.0) as server, Caller(server.address) as caller:
            held = threading.Event()

            def messages(held: threading.Event = held):  # type: ignore[no-untyped-def]  # an iterator of messages
                yield RecommendStreamRequest(options=StreamOptions(pipeline="near"))
                held.wait(30)

            stream = caller.recommender.RecommendStream(messages())
            time.sleep(0.5)
            server.send(number)
            time.sleep(1.0)
            outcome.expect(server.alive, f"{number.name}: it did not wait for a stream that was open")
            code = code_of(lambda: caller.recommender.Recommend(recommend_request("item-2"), timeout=3))
            outcome.expect(code == "UNAVAILABLE", f"{number.name}: a new call while it stops ended with {code}")
            server.send(number)
            begun = time.monotonic()
            ended = server.wait(8)
            took = time.monotonic() - begun
            outcome.add(stops=1)
            outcome.figures["longest_end_s"] = round(max(outcome.figures["longest_end_s"], took), 2)
            outcome.expect(ended is not None, f"{number.name}: a second one does not end it")
            held.set()
            stream.cancel()
    return outcome
