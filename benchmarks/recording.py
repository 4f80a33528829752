"""Records events as fast as some callers can, and prints how fast: for `events.py`, which runs it in turn with others.

    PYTHONPATH=<checkout>/protos:<checkout>/plugins:<checkout>/server python benchmarks/recording.py --callers 64

The store is that of the path, so that two commits can be compared in one run. A store whose `record` returns futures is
called from one thread, as a transport does that is told by a callback; an earlier one, whose `record` is a coroutine,
from one event loop.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import itertools
import json
import queue
import resource
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

USERS = 5_000
ITEMS = 3_000


def load() -> tuple[Any, Any]:
    """Returns the classes of store and event, wherever the checkout on the path has them."""
    try:
        sqlite = importlib.import_module("honeyguide.server.events.sqlite")
        return sqlite.SqliteEventStore, importlib.import_module("honeyguide.server.events.store").StoredEvent
    except ModuleNotFoundError:  # until commit 261f712
        module = importlib.import_module("honeyguide.server.event_store")
        return module.EventStore, module.StoredEvent


def by_callbacks(store: Any, events: Any, count: int, seconds: float) -> list[float]:
    """Keeps ``count`` calls under way; returns how long each took."""
    answered: queue.SimpleQueue[float] = queue.SimpleQueue()
    took = []
    start = perf_counter()

    def call() -> None:
        begun = perf_counter()
        store.record([next(events)]).add_done_callback(lambda _: answered.put(perf_counter() - begun))

    for _ in range(count):
        call()
    while perf_counter() - start < seconds:
        took.append(answered.get())
        call()
    return took + [answered.get() for _ in range(count)]


def by_coroutines(store: Any, events: Any, count: int, seconds: float) -> list[float]:
    """Does the same on an event loop."""
    took = []
    start = perf_counter()

    async def caller() -> None:
        while (begun := perf_counter()) - start < seconds:
            await store.record([next(events)])
            took.append(perf_counter() - begun)

    async def run() -> None:
        await asyncio.gather(*(caller() for _ in range(count)))

    asyncio.run(run())
    return took


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--folder", type=Path, help="folder on the disk to measure; default: the temporary one")
    arguments = parser.parse_args()
    store_class, event_class = load()
    events = (
        event_class(f"user-{n % USERS}", f"item-{n * 7 % ITEMS}", 1_700_000_000_000 + n, "view", 1.5)
        for n in itertools.count()
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder, store_class(Path(folder) / "events.db") as store:
        run = by_coroutines if inspect.iscoroutinefunction(store.record) else by_callbacks
        run(store, events, arguments.callers, 0.2)  # warm
        before, start, used = store.transactions, perf_counter(), cpu()
        took = sorted(run(store, events, arguments.callers, arguments.seconds))
        figures = {
            "events_per_s": len(took) / (perf_counter() - start),
            "p50_ms": took[len(took) // 2] * 1e3,
            "p99_ms": took[len(took) * 99 // 100] * 1e3,
            "cpu_us_per_event": (cpu() - used) / len(took) * 1e6,
            "events_per_fsync": len(took) / (store.transactions - before),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
