"""Measures how fast events are recorded and read, beside what the disk and plain SQLite allow in the same run.

    python benchmarks/events.py --out benchmarks/results/events.json
    python benchmarks/events.py --before ../earlier        # a checkout of an earlier commit, measured beside this one

Every figure is taken several times, all of them in turn, so that a busy moment of the machine hits each alike. A row
has the median over the runs, and the least and the most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc
import numpy as np
import polars as pl

from honeyguide.server.api.event_service import EventRecorder
from honeyguide.server.api.interceptor import ErrorInterceptor
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.events import event_file
from honeyguide.server.events.sqlite import SqliteEventStore
from honeyguide.server.events.store import StoredEvent
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import RequestIds
from honeyguide.v1 import event_service_pb2 as pb
from honeyguide.v1.event_service_pb2_grpc import EventServiceStub
from record import machine, over_runs, write

ROOT = Path(__file__).resolve().parents[1]
CALLERS = (1, 8, 64)
USERS = 5_000
ITEMS = 3_000
Figures = dict[str, float]


def event(number: int) -> StoredEvent:
    return StoredEvent(f"user-{number % USERS}", f"item-{number * 7 % ITEMS}", 1_700_000_000_000 + number, "view", 1.5)


def rates(seconds: list[float], wall: float, events: int) -> Figures:
    p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
    return {"events_per_s": len(seconds) * events / wall, "p50_ms": float(p50), "p99_ms": float(p99)}


def fsync_ceiling(folder: Path, duration: float) -> Figures:
    """Overwrites a page of a ring, as a write-ahead log does, and waits for the disk, again and again."""
    seconds: list[float] = []
    pages = 1000
    with (folder / "fsync").open("wb", buffering=0) as file:
        file.write(bytes(4096 * pages))
        os.fsync(file.fileno())
        start = perf_counter()
        while (begun := perf_counter()) - start < duration:
            os.pwrite(file.fileno(), os.urandom(4096), len(seconds) % pages * 4096)
            os.fdatasync(file.fileno())
            seconds.append(perf_counter() - begun)
    return rates(seconds, perf_counter() - start, 1)


def sqlite_ceiling(folder: Path, duration: float, rows: int) -> Figures:
    """Inserts ready-made rows into the store's own tables, ``rows`` in each transaction, from one thread."""
    db = event_file.open_file(folder / f"raw-{rows}-{perf_counter()}.db")
    seconds = []
    number = 0
    start = perf_counter()
    while (begun := perf_counter()) - start < duration:
        batch = [
            (n % USERS, n, n, n * 7 % ITEMS, 0, 1.5, None, None, None, None, None) for n in range(number, number + rows)
        ]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", batch)
        db.execute("COMMIT")
        number += rows
        seconds.append(perf_counter() - begun)
    wall = perf_counter() - start
    db.close()
    return rates(seconds, wall, rows)


async def callers(count: int, duration: float, events: int, call: Callable[[int], Awaitable[object]]) -> Figures:
    """Keeps ``count`` callers busy, each with one call at a time."""
    seconds: list[float] = []
    numbers = iter(range(sys.maxsize))
    start = perf_counter()

    async def caller() -> None:
        while (begun := perf_counter()) - start < duration:
            await call(next(numbers))
            seconds.append(perf_counter() - begun)

    await asyncio.gather(*(caller() for _ in range(count)))
    return rates(seconds, perf_counter() - start, events)


def through_store(folder: Path, duration: float, count: int, checkout: Path = ROOT) -> Figures:
    """Records through the store of a checkout, in a process of its own."""
    path = os.pathsep.join(str(checkout / part) for part in ("protos", "plugins", "server"))
    command = [sys.executable, str(ROOT / "benchmarks" / "recording.py"), "--folder", str(folder)]
    done = subprocess.run(
        [*command, "--callers", str(count), "--seconds", str(duration)],
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    figures: Figures = json.loads(done.stdout)
    return figures


async def grpc_ceiling(port: int, duration: float, count: int) -> Figures:
    """Calls a method that does nothing, of a server without interceptors."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        nothing: Any = channel.unary_unary("/bench.Bench/Nothing")
        return await callers(count, duration, 1, lambda _: nothing(bytes(60)))


async def through_grpc(port: int, duration: float, count: int, events: int) -> Figures:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = EventServiceStub(channel)

        async def call(number: int) -> None:
            made = [event(n) for n in range(number * events, (number + 1) * events)]
            messages = [
                pb.Event(user_id=e.user_id, item_id=e.item_id, event_type=e.event_type, dwell_seconds=1.5) for e in made
            ]
            answer = await stub.RecordEvents(pb.RecordEventsRequest(events=messages))
            if answer.accepted != events:
                raise RuntimeError(f"{answer.accepted} of {events} events were accepted")

        await call(0)
        return await callers(count, duration, events, call)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[int, int]]:
    """Serves EventService, and a method that does nothing, from a process of its own; gives the two ports."""
    context = multiprocessing.get_context("spawn")
    own_end, server_end = context.Pipe()
    process = context.Process(target=serve, args=(folder / "served.db", server_end))
    process.start()
    try:
        yield own_end.recv()
    finally:
        own_end.send("stop")
        process.join()


def serve(path: Path, pipe: Connection) -> None:
    async def nothing(request: bytes, context: object) -> bytes:  # noqa: ARG001  # gRPC's signature
        return request

    async def run() -> None:
        metrics = Metrics()
        with SqliteEventStore(path) as store:
            recorder = EventRecorder(store, metrics)

            async def record(request: pb.RecordEventsRequest, context: object) -> pb.RecordEventsResponse:  # noqa: ARG001  # gRPC's signature
                return await asyncio.wrap_future(recorder.record(request))

            server = grpc.aio.server(interceptors=[ErrorInterceptor(Outcomes(metrics), RequestIds())])
            method = grpc.unary_unary_rpc_method_handler(
                record, pb.RecordEventsRequest.FromString, pb.RecordEventsResponse.SerializeToString
            )
            server.add_generic_rpc_handlers(
                [grpc.method_handlers_generic_handler("honeyguide.v1.EventService", {"RecordEvents": method})]
            )
            bare = grpc.aio.server()
            handlers: dict[str, Any] = {"Nothing": grpc.unary_unary_rpc_method_handler(nothing)}
            bare.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Bench", handlers)])
            pipe.send((server.add_insecure_port("127.0.0.1:0"), bare.add_insecure_port("127.0.0.1:0")))
            await asyncio.gather(server.start(), bare.start())
            await asyncio.to_thread(pipe.recv)
            await asyncio.gather(server.stop(1), bare.stop(1))

    asyncio.run(run())


def bulk(folder: Path, count: int) -> dict[str, Figures]:
    """Imports many events, then reads every user cold and warm."""
    numbers = np.arange(count)
    frame = pl.DataFrame(
        {
            "user_id": [f"user-{n * USERS // count}" for n in numbers],
            "item_id": [f"item-{n * 7 % ITEMS}" for n in numbers],
            "time_ms": numbers,
            "event_id": [f"bench:{n:010}" for n in numbers],
        }
    )
    with SqliteEventStore(folder / f"bulk-{perf_counter()}.db") as store:
        start = perf_counter()
        for part in frame.iter_slices(20_000):
            store.import_events(part)
        imported = perf_counter() - start
        reads: dict[str, Figures] = {}
        for kind in ("history, cold", "history, cached"):
            seconds = []
            for user in range(USERS):
                begun = perf_counter()
                store.history(f"user-{user}")
                seconds.append(perf_counter() - begun)
            p50, p99 = np.percentile(seconds, (50, 99)) * 1e6
            reads[kind] = {"p50_us": float(p50), "p99_us": float(p99), "events_per_user": count / USERS}
    return {"import": {"events_per_s": count / imported}} | reads


def heavy(folder: Path, count: int, items: int) -> dict[str, Figures]:
    """Reads one user with very many events: first, again, and after each of some writes."""
    numbers = np.random.default_rng(1).integers(0, items, count)
    with SqliteEventStore(folder / f"heavy-{perf_counter()}.db") as store:
        for start in range(0, count, 20_000):
            part = numbers[start : start + 20_000]
            ids, times = [f"item-{n}" for n in part], range(start, start + len(part))
            store.import_events(pl.DataFrame({"user_id": ["heavy"] * len(part), "item_id": ids, "time_ms": times}))
        begun = perf_counter()
        store.history("heavy")
        first = perf_counter() - begun
        again, after = [], []
        for number in range(100):
            begun = perf_counter()
            store.history("heavy")
            again.append(perf_counter() - begun)
            store.record([StoredEvent("heavy", f"item-{number}", count + number)]).result()
            begun = perf_counter()
            history = store.history("heavy")
            after.append(perf_counter() - begun)
        if history.count != count + 100:
            raise RuntimeError(f"{history.count} events instead of {count + 100}")
    what = f"history of {count:,} events of {items:,} items"
    median_us = {"cached": float(np.median(again)) * 1e6, "after a write": float(np.median(after)) * 1e6}
    return {f"{what}, first read": {"us": first * 1e6}} | {f"{what}, {k}": {"us": v} for k, v in median_us.items()}


def once(folder: Path, ports: tuple[int, int], duration: float, before: Path | None) -> dict[str, Figures]:
    """Takes every figure one time."""
    figures = {"ceiling: fdatasync of 4 KiB": fsync_ceiling(folder, duration)}
    for rows in (1, 64, 20_000):
        figures[f"ceiling: SQLite alone, {rows:,} rows a transaction"] = sqlite_ceiling(folder, duration, rows)
    for count in CALLERS:
        figures[f"ceiling: gRPC call that does nothing, {count} callers"] = asyncio.run(
            grpc_ceiling(ports[1], duration, count)
        )
        what = f"store, {count} caller{'s' * (count > 1)} × 1 event"
        if before is not None:
            figures[f"{what}, {commit(before)}"] = through_store(folder, duration, count, before)
        figures[what] = through_store(folder, duration, count)
    for count, events in (*((count, 1) for count in CALLERS), (16, 100)):
        figures[f"gRPC, {count} callers × {events} event{'s' * (events > 1)}"] = asyncio.run(
            through_grpc(ports[0], duration, count, events)
        )
    return figures | bulk(folder, 200_000) | heavy(folder, 300_000, 3_000) | heavy(folder, 300_000, 50_000)


def commit(checkout: Path) -> str:
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    done: str = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return done.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/events.json"))
    parser.add_argument("--folder", type=Path, help="folder on the disk to measure; default: the temporary one")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="length of each measurement")
    parser.add_argument("--before", type=Path, help="checkout of an earlier commit, whose store is measured too")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": machine(sqlite=sqlite3.sqlite_version),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    result["command"] = f"python benchmarks/events.py --runs {arguments.runs} --seconds {arguments.seconds}"
    if arguments.before:
        result["command"] += f" --before <checkout of {commit(arguments.before)}>"
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name, serving(Path(name)) as ports:
        runs = [once(Path(name), ports, arguments.seconds, arguments.before) for _ in range(arguments.runs)]
    result["rows"] = over_runs(runs)
    write(arguments.out, result)


if __name__ == "__main__":
    main()
