"""Takes the store of events what it stands on: the disk, the file, its pages, the clock."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import time

from faults.callers import Caller, code_of, event, every_event, recommend_request
from faults.registry import Bench, Outcome
from faults.server import FaultServer
from honeyguide.v1.recommender_service_pb2 import DegradedReason

__all__ = ["clock_moved", "disk_full", "file_gone", "locked", "pages_zeroed", "read_only"]

_EVENTS = "honeyguide.v1.EventService"
_UP = "honeyguide_event_store_up"
_EVENTS_EACH = 20


class _Recorder:
    """Records events one by one, and knows which were acknowledged."""

    def __init__(self, caller: Caller, outcome: Outcome) -> None:
        self._caller, self._outcome = caller, outcome
        self._number = 0
        self.acknowledged: set[str] = set()

    def record(self, *, works: bool, what: str) -> None:
        """Records one event, which must be acknowledged or be refused with UNAVAILABLE."""
        self._number += 1
        name = f"event-{self._number}"
        code = self._caller.record(event("one", f"item-{self._number % 100}", name))
        if code == "OK":
            self.acknowledged.add(name)
        self._outcome.add(acknowledged=code == "OK", refused=code != "OK")
        self._outcome.expect(code == ("OK" if works else "UNAVAILABLE"), f"{what}: an event ended with {code}")

    def until_it_works(self, what: str, seconds: float = 5.0) -> None:
        """Records until it is acknowledged again."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            self._number += 1
            name = f"event-{self._number}"
            if self._caller.record(event("one", "item-1", name)) == "OK":
                self.acknowledged.add(name)
                self._outcome.figures["well_after_s"] = round(time.monotonic() - begun, 2)
                return
            time.sleep(0.1)
        self._outcome.expect(False, f"{what}: events are refused {seconds} s after it is well again")

    def nothing_lost(self, server: FaultServer) -> None:
        """Restarts the server and looks for what was acknowledged."""
        server.kill()
        with server, Caller(server.address) as caller:
            stored = {each.event_id for each in every_event(caller, "one")}
        lost = self.acknowledged - stored
        self._outcome.add(lost=len(lost))
        self._outcome.expect(not lost, f"lost: {sorted(lost)[:3]}")


def disk_full(bench: Bench) -> Outcome:
    """Lets no file of the running server grow, which it meets as a full disk, and takes that back."""
    outcome = Outcome()
    with bench.server() as server, Caller(server.address) as caller:
        recorder = _Recorder(caller, outcome)
        for _ in range(20):
            recorder.record(works=True, what="before")
        sizes = [file.stat().st_size for file in server.folder.glob("events.db*")]
        before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (max(sizes), before[1]))
        for _ in range(10):
            recorder.record(works=False, what="full disk")
        outcome.expect(code_of(lambda: _ask(caller, "one")) == "OK", "a recommendation fails with the disk full")
        _ill(server, outcome, "full disk")
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
        recorder.until_it_works("disk full")
        _well(server, outcome, "disk full")
        recorder.nothing_lost(server)
    return outcome


def read_only(bench: Bench) -> Outcome:
    """Starts a server over a store that it may not write: the start must say so, in a line."""
    outcome = Outcome(figures={"starts": 0})
    folder = bench.folder / "server"
    with bench.server() as server, Caller(server.address) as caller:
        caller.record(event("one", "item-1"))
        server.send(15)  # a clean stop leaves one file
        server.wait(10)
    for mode, what in ((0o444, "file that may not be written"), (0o000, "file that may not be read")):
        server = bench.server()
        for file in folder.glob("events.db*"):
            file.chmod(mode)
        server.powerless = os.geteuid() == 0
        server.launch()
        folder.chmod(0o555)
        code = server.wait(30)
        outcome.add(starts=1)
        said = server.said()
        outcome.expect(code not in (0, None), f"{what}: exit code {code}")
        outcome.expect("Traceback" not in said, f"{what}: a traceback in place of a line: {said[-300:]}")
        outcome.expect("events.db" in said, f"{what}: the line does not name the file: {said[-300:]}")
        server.kill()
        folder.chmod(0o755)
    return outcome


def locked(bench: Bench) -> Outcome:
    """Holds the file in another process, while the server starts and while it serves."""
    outcome = Outcome()
    server = bench.server()
    with server, Caller(server.address) as caller:
        recorder = _Recorder(caller, outcome)
        recorder.record(works=True, what="before")
        with contextlib.closing(sqlite3.connect(server.events, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            codes = [caller.record(event("two", "item-1"), timeout=10.0) for _ in range(bench.amount(3, 1))]
            outcome.expect(set(codes) <= {"OK", "UNAVAILABLE", "RESOURCE_EXHAUSTED"}, f"while locked: {codes}")
            outcome.expect(code_of(lambda: _ask(caller, "one")) == "OK", "a recommendation fails while locked")
            other.execute("COMMIT")
        recorder.until_it_works("locked")
        server.send(15)
        server.wait(10)
    with contextlib.closing(sqlite3.connect(server.events, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        server.launch()
        time.sleep(3.0)
        outcome.expect(server.alive, "it gives up at once")
        other.execute("ROLLBACK")
    until = time.monotonic() + 20
    while server.alive and not server.serves() and time.monotonic() < until:
        time.sleep(0.1)
    outcome.expect(
        server.alive and server.serves(), f"it does not start after the lock was let go: {server.said()[-300:]}"
    )
    recorder.nothing_lost(server)
    with contextlib.closing(sqlite3.connect(server.events, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        again = bench.server("held", events=str(server.events))
        again.launch()
        code, said = again.wait(30), again.said()
        outcome.expect(code not in (0, None), f"a store held for good: exit code {code}")
        outcome.expect("Traceback" not in said, f"a store held for good: {said[-300:]}")
        outcome.expect("backup" not in said, "a store held for good is called damaged")
        again.kill()
    return outcome


def file_gone(bench: Bench) -> Outcome:
    """Removes the file under the server, puts another in its place, and puts it back."""
    outcome = Outcome()
    server = bench.server()
    with server, Caller(server.address) as caller:
        recorder = _Recorder(caller, outcome)
        for turn, what in enumerate(("removed", "replaced")):
            for _ in range(5):
                recorder.record(works=True, what=f"before it is {what}")
            aside = server.folder / f"aside-{turn}"
            server.events.rename(aside)
            if what == "replaced":
                server.events.write_bytes(aside.read_bytes())
            for _ in range(5):
                recorder.record(works=False, what=what)
            outcome.expect(code_of(lambda: _ask(caller, "one")) == "OK", f"{what}: a recommendation fails")
            _ill(server, outcome, what)
            aside.replace(server.events)
            recorder.until_it_works(f"{what} and put back")
            _well(server, outcome, f"{what} and put back")
        recorder.nothing_lost(server)
    return outcome


def pages_zeroed(bench: Bench) -> Outcome:
    """Zeroes 40 pages of events under a server: it costs those whose events lay there, and nobody else."""
    outcome = Outcome(figures={"users": 0, "calls": 0, "failed": 0, "degraded": 0, "strangers_degraded": 0})
    users = bench.amount(4_000, 2_000)
    server = bench.server()
    with server, Caller(server.address) as caller:
        for start in range(0, users, 50):
            names = [f"user-{number}" for number in range(start, start + 50)]
            events = [event(name, f"item-{item}") for name in names for item in range(_EVENTS_EACH)]
            outcome.expect(caller.record(*events) == "OK", "an event is refused before anything happened")
        server.send(15)
        server.wait(10)
    with server, Caller(server.address) as caller:
        leaves = _leaves_of_events(server)
        size = 4096
        with server.events.open("r+b") as file:
            for page in bench.random.sample(leaves, 40):
                file.seek((page - 1) * size)
                file.write(bytes(size))
        outcome.add(users=users, pages=len(leaves))
        for number in range(0, users, 4):
            outcome.add(degraded=_look(caller, f"user-{number}", outcome))
            outcome.add(strangers_degraded=_look(caller, f"new-{number}", outcome))
        outcome.expect(code_of(lambda: _ask(caller, None)) == "OK", "an anonymous caller gets no answer")
        outcome.expect(not outcome.figures["strangers_degraded"], "users without events are degraded")
        # A user's events lie on a page or two of those.
        share, lost = outcome.figures["degraded"] / (users / 4), 40 / len(leaves)
        outcome.expect(
            0 < share < 3 * lost, f"{share:.0%} of the users are degraded by a loss of {lost:.0%} of the pages"
        )
        _ill(server, outcome, "zeroed pages")
    return outcome


def _leaves_of_events(server: FaultServer) -> list[int]:
    """Returns the numbers, from 1, of the pages that hold events and no more than events."""
    with contextlib.closing(sqlite3.connect(f"file:{server.events}?mode=ro", uri=True)) as db:
        query = "SELECT pageno FROM dbstat WHERE name = 'events' AND pagetype = 'leaf' ORDER BY pageno"
        return [page for (page,) in db.execute(query)]


def _look(caller: Caller, user: str, outcome: Outcome) -> bool:
    """Asks for one user; returns whether the answer is degraded."""
    import grpc

    outcome.add(calls=1)
    try:
        answer = _ask(caller, user)
    except grpc.RpcError as error:
        outcome.add(failed=1)
        outcome.expect(False, f"{user}: {error.code().name} {error.details()}")
        return False
    unreadable = [DegradedReason.DEGRADED_REASON_HISTORY_UNREADABLE]
    right = list(answer.degraded_reasons) == (unreadable if answer.degraded else [])
    outcome.expect(right, f"{user}: degraded for {list(answer.degraded_reasons)}")
    return bool(answer.degraded)


_MOVED = '''"""Moves the clock of this process by the seconds that a file holds, as a bad time server would."""
import os, time
_real, _real_ns = time.time, time.time_ns
def _offset():
    try:
        with open(os.environ["FAULTS_CLOCK"]) as file:
            return int(file.read() or 0)
    except OSError:
        return 0
time.time = lambda: _real() + _offset()
time.time_ns = lambda: _real_ns() + _offset() * 1_000_000_000
'''


def clock_moved(bench: Bench) -> Outcome:
    """Sets the server's clock back three days and ahead again, while events without a time come in."""
    outcome = Outcome(figures={"moves": 0, "events": 0})
    clock, code = bench.folder / "clock", bench.folder / "code"
    code.mkdir()
    (code / "sitecustomize.py").write_text(_MOVED)
    server = bench.server()
    server.environment = {"PYTHONPATH": str(code), "FAULTS_CLOCK": str(clock)}
    days = (0, -3, 0, 3, -3, 0, -30, 0)
    with server, Caller(server.address) as caller:
        written: list[str] = []
        for turn, offset in enumerate(days):
            clock.write_text(str(offset * 86_400))
            outcome.add(moves=1)
            for number in range(5):
                name = f"{turn}-{number}"
                outcome.expect(caller.record(event("one", f"item-{turn}", name)) == "OK", f"refused at {offset} days")
                written.append(name)
                outcome.add(events=1)
            found = [each.event_id for each in every_event(caller, "one")]
            outcome.expect(
                found == written[::-1], f"at {offset} days the newest event is {found[0]}, not {written[-1]}"
            )
            seen = {item.item_id for item in _ask(caller, "one").items}
            outcome.expect(f"item-{turn}" not in seen, f"at {offset} days the last event does not count")
    return outcome


def _ask(caller: Caller, user: str | None):  # type: ignore[no-untyped-def]  # a message of generated code
    return caller.recommender.Recommend(recommend_request(user=user), timeout=10)


def _ill(server: FaultServer, outcome: Outcome, what: str) -> None:
    until = time.monotonic() + 4
    while time.monotonic() < until and (server.health(_EVENTS), server.metrics()[_UP]) != ("NOT_SERVING", 0.0):
        time.sleep(0.1)
    said = server.health(_EVENTS)
    outcome.expect(said == "NOT_SERVING", f"{what}: health says {said} of EventService")
    outcome.expect(server.metrics()[_UP] == 0.0, f"{what}: {_UP} is not 0")
    outcome.expect(server.serves(), f"{what}: the server as a whole does not serve")
    lines = list(server.logged("error")) + list(server.logged("warning"))
    outcome.expect(lines, f"{what}: the log says nothing")
    outcome.expect(len(lines) < 50, f"{what}: {len(lines)} lines in the log")


def _well(server: FaultServer, outcome: Outcome, what: str) -> None:
    until = time.monotonic() + 4
    while time.monotonic() < until and not server.serves(_EVENTS):
        time.sleep(0.1)
    outcome.expect(server.serves(_EVENTS), f"{what}: health does not say that the store is well again")
    outcome.expect(server.metrics()[_UP] == 1.0, f"{what}: {_UP} is not 1 again")
