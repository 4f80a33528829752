"""Offers prepared calls from a process of its own, by so many callers or at so many a second, and says what came of it.

    python -m serving.generator SPECIFICATION.json        prints JSON; see `Specification`

A sequence file holds the calls in order: for each a byte (which of the paths), the message's length in four bytes, and
the message. It is read in a circle.
"""

from __future__ import annotations

import json
import select
import struct
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

from serving.wire import Call, Connection, frames, headers

__all__ = ["Specification", "generate", "percentiles", "write_sequence"]

_MOST_UNDER_WAY = 200_000
"""Calls waiting at once; beyond it the generator itself is the bottleneck, which the result shows as ``unsent``."""
_GRACE = 10.0
"""Seconds until answers that are still missing at the end count as lost."""


@dataclass(frozen=True)
class Specification:
    """What to offer, and to whom."""

    address: tuple[str, int]
    paths: Sequence[str]
    """Of the methods; a call of the sequence names one by its place."""
    sequence: str
    """File of the calls."""
    connections: int = 1
    callers: int = 0
    """Callers with one call at a time each, spread over the connections; 0: an open loop of ``phases``."""
    requests: int = 0
    """Of all callers together."""
    phases: Sequence[tuple[float, float]] = ()
    """Calls a second, and for how many seconds; the next one begins whatever is still under way."""
    timeout: float = 0.0
    """Seconds after which a call is given up; the server is told, too. 0: never."""
    header: dict[str, str] = field(default_factory=dict)


def write_sequence(path: Path, calls: Iterator[tuple[int, bytes]]) -> Path:
    """Writes the calls of a sequence: which path, and the message."""
    path.write_bytes(b"".join(struct.pack(">BI", kind, len(message)) + message for kind, message in calls))
    return path


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Returns the median and the 99th percentile in milliseconds; nothing of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {f"p{p}_ms": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] * 1e3 for p in (50, 99)}


def generate(specification: Specification) -> dict[str, Any]:
    """Offers everything and returns what came of it, phase by phase and second by second."""
    return _Generator(specification).run()


class _Generator:
    def __init__(self, specification: Specification) -> None:
        self._spec = specification
        more = dict(specification.header)
        if specification.timeout:
            more["grpc_timeout"] = f"{int(specification.timeout * 1e3)}m"
        blocks = [headers(path, **more) for path in specification.paths]
        made = [(kind, blocks[kind], frames(message)) for kind, message in _read_sequence(Path(specification.sequence))]
        self._calls = cycle(made)
        self._poll = select.epoll()
        self._by_number: dict[int, Connection] = {}
        self._connections = [self._connect() for _ in range(specification.connections)]
        self._heirs: dict[Connection, Connection] = {}
        """What took the place of connections that the server left."""
        self._under_way = 0
        self._late: dict[int, list[float]] = {}
        """Of each phase, how long after they were due its calls began."""
        self._ended: list[tuple[int, float, float, int, int, int]] = []
        """Phase, when due, when ended, path, status, bytes."""

    def run(self) -> dict[str, Any]:
        begun = perf_counter()
        phases = self._closed() if self._spec.callers else self._open()
        seconds = perf_counter() - begun
        for connection in self._by_number.values():
            connection.close()
        self._poll.close()
        rows = [self._summary(number, *phase) for number, phase in enumerate(phases)]
        return {"seconds": seconds, "connections_renewed": len(self._heirs), "phases": rows}

    def _connect(self) -> Connection:
        host, port = self._spec.address
        connection = Connection((host, port))
        self._by_number[connection.socket.fileno()] = connection
        self._poll.register(connection.socket.fileno(), select.EPOLLIN)
        return connection

    def _renew(self, old: Connection) -> Connection:
        """Takes a new connection where the server has left one, as every client does; what waits goes there."""
        if old.closed:
            del self._by_number[old.socket.fileno()]
            old.close()  # which also takes it out of the poll
        if (new := self._heirs.get(old)) is None:
            new = self._heirs[old] = self._connect()
            new.waiting.extend(old.waiting)
            old.waiting.clear()
            self._connections[self._connections.index(old)] = new
        return new

    def _start(self, connection: Connection, due: float, phase: int) -> Call:
        kind, block, content = next(self._calls)
        call = Call(block, content, due, kind, phase)
        self._late.setdefault(phase, []).append(perf_counter() - due)
        connection.start(call)
        self._under_way += 1
        return call

    def _end(self, call: Call, now: float) -> None:
        self._under_way -= 1
        self._ended.append((call.phase, call.due, now, call.kind, call.status, call.size))

    def _closed(self) -> list[tuple[float, float, int]]:
        left = self._spec.requests
        connections = [self._connections[i % len(self._connections)] for i in range(self._spec.callers)]
        start = perf_counter()
        for connection in connections[:left]:
            self._start(connection, perf_counter(), 0)
        left -= min(left, len(connections))
        for connection in self._connections:
            connection.send()
        while self._under_way:
            for number, _ in self._poll.poll(_GRACE) or self._lost():
                connection = self._by_number[number]
                ended = connection.receive()
                now = perf_counter()
                if connection.closed or connection.leaving:
                    connection = self._renew(connection)
                for call in ended:
                    self._end(call, now)
                    if left:
                        left -= 1
                        self._start(connection, now, 0)
                connection.send()
        return [(start, perf_counter() - start, 0)]

    def _open(self) -> list[tuple[float, float, int]]:
        phases = []
        deadlines: deque[tuple[float, Connection, Call]] = deque()
        places = cycle(range(len(self._connections)))
        for number, (rate, seconds) in enumerate(self._spec.phases):
            start, offered, unsent = perf_counter(), 0, 0
            while (elapsed := perf_counter() - start) < seconds:
                while offered < elapsed * rate:
                    due = start + offered / rate
                    offered += 1
                    if self._under_way >= _MOST_UNDER_WAY:
                        unsent += 1
                        continue
                    connection = self._connections[next(places)]
                    call = self._start(connection, due, number)
                    if self._spec.timeout:
                        deadlines.append((due + self._spec.timeout, connection, call))
                self._turn(deadlines, min(0.001, 1 / rate))
            phases.append((start, seconds, unsent))
        until = perf_counter() + (self._spec.timeout or _GRACE)
        while self._under_way and perf_counter() < until + 0.1:
            self._turn(deadlines, 0.01)
        if self._under_way:
            self._lost()
        return phases

    def _turn(self, deadlines: deque[tuple[float, Connection, Call]], wait: float) -> None:
        """Sends, waits a moment, receives, and gives up what is late."""
        for connection in self._by_number.values():
            connection.send()
        for number, _ in self._poll.poll(wait):
            connection = self._by_number[number]
            ended = connection.receive()
            now = perf_counter()
            for call in ended:
                self._end(call, now)
            if connection.closed or connection.leaving:
                self._renew(connection)
        now = perf_counter()
        while deadlines and deadlines[0][0] < now:
            _, connection, call = deadlines.popleft()
            if call.status < 0:
                connection.cancel(call)
                self._end(call, now)

    def _lost(self) -> list[tuple[int, int]]:
        """Counts all that is still under way as lost."""
        now = perf_counter()
        for connection in self._by_number.values():
            for call in connection.fail():
                self._end(call, now)
        return []

    def _summary(self, number: int, start: float, seconds: float, unsent: int) -> dict[str, Any]:
        ended = [row for row in self._ended if row[0] == number]
        good = [row for row in ended if row[4] == 0]
        refused = [row for row in ended if row[4] == 8]
        per_second: list[dict[str, Any]] = []
        for second in range(int(seconds + 0.999)):
            of_it = [row for row in ended if second <= row[2] - start < second + 1]
            ok = [row[2] - row[1] for row in of_it if row[4] == 0]
            per_second.append({"ok": len(ok), "other": len(of_it) - len(ok)} | percentiles(ok))
        return {
            "seconds": seconds,
            "offered": len(ended) + unsent,
            "unsent": unsent,
            "sent_per_s": round(len(ended) / seconds, 1),
            "late_p99_ms": percentiles(self._late.get(number, [])).get("p99_ms", 0.0),
            "statuses": dict(Counter(str(row[4]) for row in ended)),
            # What ended inside the phase: answers to what came late are no throughput of it.
            "ok_per_s": sum(row[2] - start <= seconds for row in good) / seconds,
            "ok": percentiles([row[2] - row[1] for row in good]),
            "refused": percentiles([row[2] - row[1] for row in refused]),
            "by_path": {
                path: {"count": len(own)} | percentiles(own)
                for kind, path in enumerate(self._spec.paths)
                for own in [[row[2] - row[1] for row in good if row[3] == kind]]
            },
            "bytes": sorted(Counter(row[5] for row in good).items(), key=lambda pair: -pair[1])[:5],
            "quarters": _quarters(ended, start, seconds),
            "per_second": per_second,
        }


def _quarters(ended: Sequence[tuple[int, float, float, int, int, int]], start: float, seconds: float) -> list[Any]:
    """Returns of each quarter of a second, by when calls were due: how many, how many answered, and their median."""
    quarters = []
    for number in range(min(20, int(seconds * 4))):
        own = [row for row in ended if number <= (row[1] - start) * 4 < number + 1]
        ok = [row[2] - row[1] for row in own if row[4] == 0]
        quarters.append({"due": len(own), "ok": len(ok)} | percentiles(ok))
    return quarters


def _read_sequence(path: Path) -> Iterator[tuple[int, bytes]]:
    data, at = path.read_bytes(), 0
    while at < len(data):
        kind, size = struct.unpack_from(">BI", data, at)
        yield kind, data[at + 5 : at + 5 + size]
        at += 5 + size


if __name__ == "__main__":
    print(json.dumps(generate(Specification(**json.loads(Path(sys.argv[1]).read_text("utf-8"))))))
