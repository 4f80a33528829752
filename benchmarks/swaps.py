"""Swaps versions under load: do calls fail, do answers mix versions, do callers notice, does memory grow?

    python benchmarks/swaps.py --out benchmarks/results/swaps.json

Takes less than 90 seconds, and exits with 1 where a bar is missed. A real server, at half of the calls a second that
it can answer, is told to load one version after the other, 100 times. Both are of ``cf`` with its ranker over as many
items as ML-1M has (`synthetic`), of different weights: an answer tells by what it recommends which it comes from.
The p99 during a swap is that of all calls that were under way in one; before, that of the seconds before the first.
"""

from __future__ import annotations

import argparse
import multiprocessing
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import grpc
import numpy as np

from honeyguide.v1 import model_service_pb2, model_service_pb2_grpc, recommender_service_pb2
from honeyguide.v1.recommender_service_pb2 import RecommendRequest
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from record import machine
from record import write as write_result
from serving.wire import Call, Connection, frames, headers
from synthetic import ITEM_IDS, draw

PATH = "/honeyguide.v1.RecommenderService/Recommend"
USERS, CALLERS = 50, 64
SLOWER, LARGER = 1.5, 1.1
"""How much larger p99 may be during a swap, and memory after the last than after the tenth."""
_REFUSED = 8
"""RESOURCE_EXHAUSTED: failed, too, but for want of room."""
_GRACE = 5.0
Answer = tuple[str, ...]


class Ended(NamedTuple):
    """One call: when it was due and ended, its status, for which user, and the answer's bytes."""

    due: float
    end: float
    status: int
    user: int
    body: bytes


def requests(users: int = USERS) -> list[bytes]:
    """Returns the calls: each user brings the newest 50 events of a history."""
    histories = draw().newest(50)
    made = []
    for user in range(users):
        rows = histories.items[histories.offsets[user] : histories.offsets[user + 1]]
        request = RecommendRequest(k=10)
        request.history.item_ids.extend(ITEM_IDS[rows].tolist())
        made.append(request.SerializeToString())
    return made


def offer(
    address: tuple[str, int], messages: Sequence[bytes], seconds: float, rate: float, pipe: Pipe | None = None
) -> list[Ended]:
    """Offers ``rate`` calls a second, whatever is still under way; 0: as many as `CALLERS` get answered, one at a time.

    It ends after ``seconds``, or once the other end of the pipe says so.
    """
    block = headers(PATH)
    calls = cycle([(user, frames(message)) for user, message in enumerate(messages)])
    connections = [Connection(address) for _ in range(16)]
    by_number = {connection.socket.fileno(): connection for connection in connections}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    places = cycle(connections)
    ended: list[Ended] = []
    start, offered, under_way, until = perf_counter(), 0, 0, 0.0
    if pipe is not None:
        pipe.send(start)
    while True:
        now = perf_counter()
        over = now - start >= seconds or (pipe is not None and pipe.poll())
        until = until or (now + _GRACE if over else 0.0)
        due = CALLERS - under_way if not rate else int((now - start) * rate) - offered
        for _ in range(0 if over else due):
            user, content = next(calls)
            moment = start + offered / rate if rate else now
            next(places).start(Call(block, content, due=moment, kind=user, body=b""))
            offered, under_way = offered + 1, under_way + 1
        for connection in connections:
            connection.send()
        for number, _ in poll.poll(0.001):
            for call in by_number[number].receive():
                ended.append(Ended(call.due, perf_counter(), call.status, call.kind, call.body or b""))
                under_way -= 1
        if over and (not under_way or now > until):
            break
    return ended + [Ended(now, now, -1, 0, b"")] * under_way


def offering(pipe: Pipe, address: tuple[str, int], messages: Sequence[bytes], rate: float) -> None:
    """Offers calls from a process of its own until it is told to stop; sends what came of them."""
    pipe.send(offer(address, messages, 600, rate, pipe))


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """Runs ``honeyguide serve``; gives its port and its process's number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = [
        "--repository",
        str(folder / "models"),
        "--events",
        str(folder / "events.db"),
        "--cold-items",
        str(folder / "items.db"),
        "--port",
        str(port),
    ]
    words += ["--metrics-port", "-1", "--log-level", "warning", "--state-cache-users", "0"]
    server = subprocess.Popen([sys.executable, "-m", "honeyguide.cli", "serve", *words])
    try:
        until = perf_counter() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if server.poll() is not None or perf_counter() > until:
                raise RuntimeError("the server does not start")
            time.sleep(0.05)
        yield port, server.pid
    finally:
        server.terminate()
        server.wait(30)


def resident(process: int) -> float:
    """Returns the MiB of a process that are in memory."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def read(body: bytes) -> tuple[set[tuple[str, int]], Answer]:
    """Returns the bundles an answer names, and its items; nothing of an answer that is degraded."""
    answer = recommender_service_pb2.RecommendResponse.FromString(body[5:])
    items = () if answer.degraded else tuple(item.item_id for item in answer.items)
    return {(model.name, model.version) for model in answer.models}, items


def judge(ended: Sequence[Ended], expected: Mapping[int, Sequence[Answer]]) -> Counter[str]:
    """Counts calls that failed, answers that name two versions, and those that are not what their version answers."""
    found: Counter[str] = Counter(answers=len(ended))
    for call in ended:
        if call.status:
            found["failed"] += 1
            found["refused"] += call.status == _REFUSED
            continue
        versions, items = read(call.body)
        if len(versions) != 1:
            found["mixed"] += 1
        elif items != expected[next(iter(versions))[1]][call.user]:
            found["wrong"] += 1
    return found


def p99(seconds: Sequence[float]) -> float:
    return float(np.percentile(seconds, 99) * 1e3)


def measure(folder: Path, swaps: int, calm: float, share: float) -> dict[str, Any]:
    """Runs it once; returns the figures."""
    with serving(folder) as (port, process), grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        models = model_service_pb2_grpc.ModelServiceStub(channel)  # type: ignore[no-untyped-call]  # generated

        def load(version: int) -> tuple[float, float]:
            begun = perf_counter()
            models.LoadModel(model_service_pb2.LoadModelRequest(name="cf", version=version))
            return begun, perf_counter()

        ask = RecommenderServiceStub(channel).Recommend  # type: ignore[no-untyped-call]  # generated
        messages, expected = requests(), dict[int, list[Answer]]()
        for version in (2, 1):
            load(version)
            answers = [ask(RecommendRequest.FromString(message)) for message in messages]
            expected[version] = [tuple(item.item_id for item in answer.items) for answer in answers]
        address = ("127.0.0.1", port)
        offer(address, messages, 1.0, 0)
        peak = len(offer(address, messages, 4.0, 0)) / 4.0
        spawn = multiprocessing.get_context("spawn")
        own_end, other_end = spawn.Pipe()
        offerer = spawn.Process(target=offering, args=(other_end, address, messages, peak * share))
        offerer.start()
        start = float(own_end.recv()) + 2.0  # the first seconds of a process are its own
        time.sleep(max(0.0, start + calm - perf_counter()))
        windows, memory = [], []
        for number in range(swaps):
            windows.append(load(2 - number % 2))
            time.sleep(0.1)  # what was replaced is freed a moment later
            memory.append(resident(process))
        own_end.send("stop")
        ended: list[Ended] = own_end.recv()
        offerer.join()
    first = windows[0][0]
    before = [call.end - call.due for call in ended if start <= call.due and call.end < first]
    ends = np.array([end for _, end in windows])
    during = []
    for call in ended:
        place = int(np.searchsorted(ends, call.due))  # the first swap that ended after it was due
        if call.due >= first - 1 and place < len(windows) and windows[place][0] <= call.end:
            during.append(call.end - call.due)
    took = [end - begun for begun, end in windows]
    found = judge(ended, expected)
    return {
        "peak_calls_per_s": peak,
        "offered_per_s": peak * share,
        "answers": found["answers"],
        "failed": found["failed"],
        "refused": found["refused"],
        "mixed": found["mixed"],
        "wrong": found["wrong"],
        "swap_ms": float(np.median(took) * 1e3),
        "p99_before_ms": p99(before),
        "p99_during_ms": p99(during),
        "p50_before_ms": float(np.median(before) * 1e3),
        "p50_during_ms": float(np.median(during) * 1e3),
        "slower": p99(during) / p99(before),
        "resident_mib_after_10": memory[9],
        "resident_mib_after_all": memory[-1],
        "larger": memory[-1] / memory[9],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--swaps", type=int, default=100, help="10 or more")
    parser.add_argument("--share", type=float, default=0.5, help="of the peak that is offered")
    parser.add_argument("--calm", type=float, default=8.0, help="seconds of load before the first swap")
    parser.add_argument("--folder", type=Path, help="keeps the bundles there, for another run")
    arguments = parser.parse_args()
    system = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        if not (folder / "models" / "cf" / "2").is_dir():
            made = "from pathlib import Path; import synthetic; histories = synthetic.draw()\n"
            made += f"for seed in (0, 1): synthetic.export(histories, Path({str(folder / 'models')!r}), ('cf',), seed)"
            subprocess.run([sys.executable, "-c", made], cwd=Path(__file__).parent, check=True)
        figures = measure(folder, arguments.swaps, arguments.calm, arguments.share)
    bars = {
        "no call fails": figures["failed"] == 0,
        "every answer is of one version, and what that version answers": figures["mixed"] == figures["wrong"] == 0,
        f"p99 during a swap is at most {SLOWER} times that before": figures["slower"] <= SLOWER,
        f"memory after the last is at most {LARGER} times that after the tenth": figures["larger"] <= LARGER,
    }
    spread = {name: {"median": round(v, 3), "least": round(v, 3), "most": round(v, 3)} for name, v in figures.items()}
    write_result(
        arguments.out,
        {
            "command": f"python benchmarks/swaps.py --swaps {arguments.swaps} --share {arguments.share}",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": system,
            "rows": [{"what": f"{arguments.swaps} swaps at {arguments.share:.0%} of the peak", **spread}],
            "bars": bars,
        },
    )
    for bar, met in bars.items():
        print(f"{'met   ' if met else 'MISSED'} {bar}")
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
