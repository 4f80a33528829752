"""Offers five times what a server can do, then does it harm, and says how it and its other callers fare.

    cd benchmarks && python -m serving.overload --cache CACHE

The server has one core and the generator another. First the peak is measured so, by 64 callers; then five times as much
is offered in an open loop, whatever comes back, with a light load before and after it. Each kind of abuse runs beside a
light load of other callers, whose times are compared with those before it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from honeyguide.server.settings import Settings
from record import machine
from serving import environments, servers
from serving.__main__ import commit
from serving.abuses import ABUSES, HEAVY_USER, Abuse, heavy_events
from serving.bodies import RECOMMEND, RECORD, recommend_request, record_request
from serving.environments import LENGTH, REPOSITORY, Bundle, Python
from serving.generator import Specification, write_sequence
from serving.measures import generated
from serving.processes import Group, clean_environment
from serving.servers import Serve, Serving

SERVER, GENERATOR = (0,), (1,)
"""The core of each."""
TIMES, LIGHT = 5, 0.2
"""What is offered, and a light load, in times of the peak."""
TIMEOUT = 2.0
"""Deadline of every call, seconds."""
MOST_MEMORY = 256
"""MiB that overload or an abuse may add."""
_BEFORE, _AFTER = 3.0, 4.0
_CONNECTIONS = 32


@dataclass(frozen=True)
class Job:
    """What is asked: its name, its method, and its calls."""

    name: str
    path: str
    messages: Callable[[Bundle], Iterator[bytes]]


def ranked(bundle: Bundle) -> Iterator[bytes]:
    """Yields job K for a thousand histories."""
    stream = [item for history in bundle.histories().values() for item in history]
    return (recommend_request("k", stream[start : start + LENGTH]) for start in range(0, 97 * 1000, 97))


def written(bundle: Bundle) -> Iterator[bytes]:
    """Yields one event of each of many users."""
    items = bundle.items()
    return (record_request(f"writer-{number % 5000}", items[number % len(items)]) for number in range(20_000))


JOBS = (Job("K", RECOMMEND, ranked), Job("RecordEvents", RECORD, written))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "overload.json")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "serving", help="where the bundle is kept")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the overload")
    parser.add_argument(
        "--abuse-seconds", type=float, default=5.0, help="length of each abuse, and of what goes before"
    )
    parser.add_argument("--transports", nargs="+", default=["native", "grpcio"])
    parser.add_argument("--only", default="", help="part of the names of jobs and abuses; the others are left out")
    arguments = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        parser.error("server and generator need a core each")
    python, cache = Python(Path(sys.executable)), arguments.cache.resolve()
    bundle = environments.bundle(cache / "bundle", python, environments.sources_now())
    begun = perf_counter()
    result: dict[str, Any] = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": f"cd benchmarks && python -m serving.overload --seconds {arguments.seconds:g}",
        "age_limits_ms": {job.name: _age_limit(job) * 1e3 for job in JOBS},
        "times": TIMES,
    }
    with _work("empty") as (own, files), servers.empty(python, "native")(own, SERVER) as serving:
        result["generator"] = _offered(serving, files)
    most = 0.8 * float(result["generator"]["calls_per_s"])  # beyond, its own lateness would be measured
    overloads, abuses = [], []
    for transport in arguments.transports:
        serve = _serve(python, bundle, transport)
        for job in (job for job in JOBS if arguments.only in job.name):
            overloads.append({"transport": transport} | _overload(serve, job, bundle, arguments.seconds, most))
            _show(overloads[-1])
        for abuse in (abuse for abuse in ABUSES if arguments.only in abuse.name):
            abuses.append({"transport": transport} | _abused(serve, abuse, bundle, arguments.abuse_seconds))
            _show(abuses[-1])
    result |= {"seconds": round(perf_counter() - begun), "overloads": overloads, "abuses": abuses}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0 if all(bar["met"] for row in (*overloads, *abuses) for bar in row["bars"]) else 1


def _age_limit(job: Job) -> float:
    """Returns the seconds that a call of the job may wait for its turn, as the server has them by default."""
    field = Settings.model_fields["max_write_seconds" if job.path == RECORD else "max_queue_seconds"]
    return float(field.default)


def _serve(python: Python, bundle: Bundle, transport: str) -> Serve:
    if "transport" not in Settings.model_fields:
        return servers.honeyguide(python, bundle)
    return servers.honeyguide(python, bundle, transport=transport)


@contextmanager
def _work(name: str) -> Iterator[tuple[Path, Path]]:
    """Makes a folder for the server and one for files."""
    with tempfile.TemporaryDirectory(prefix=f"overload-{name}-") as folder:
        own, files = Path(folder) / "server", Path(folder) / "files"
        own.mkdir()
        files.mkdir()
        yield own, files


def _offered(serving: Serving, files: Path) -> dict[str, float]:
    """Returns how many calls a second the generator can offer from its core to a handler that does nothing."""
    sequence = write_sequence(files / "sequence", iter([(0, bytes(500))]))
    asked = Specification(
        ("127.0.0.1", serving.port), ["/bench.Bench/Nothing"], str(sequence), _CONNECTIONS, phases=[(40_000, 2.0)]
    )
    (phase,) = generated(asked, files, GENERATOR)["phases"]
    return {"calls_per_s": phase["sent_per_s"], "answered_per_s": round(phase["ok_per_s"])}


def _overload(serve: Serve, job: Job, bundle: Bundle, seconds: float, most: float) -> dict[str, Any]:
    with _work(job.name) as (own, files), serve(own, SERVER) as serving:
        sequence = str(write_sequence(files / "sequence", ((0, message) for message in job.messages(bundle))))

        def ask(connections: int, **how: Any) -> list[dict[str, Any]]:
            asked = Specification(("127.0.0.1", serving.port), [job.path], sequence, connections, **how)
            phases: list[dict[str, Any]] = generated(asked, files, GENERATOR)["phases"]
            return phases

        one, peak = _alone(ask)
        phases = [(LIGHT * peak, _BEFORE), (min(TIMES * peak, most), seconds), (LIGHT * peak, _AFTER)]
        with _memory(serving.group) as memory:
            before, flood, after = ask(_CONNECTIONS, phases=phases, timeout=TIMEOUT)
        recovered = _recovery(before, after)
        limit = _age_limit(job) * 1e3 + 10 * one
        grown = max(memory) - memory[0]
        bars = [
            _bar("goodput over peak", flood["ok_per_s"] / peak, 0.9, least=True),
            _bar("p99 of accepted, ms", flood["ok"].get("p99_ms"), limit),
            _bar("p50 of refusals, ms", flood["refused"].get("p50_ms"), 5.0),
            _bar("memory added, MiB", grown, MOST_MEMORY),
            _bar("seconds until back to normal", recovered, 1.0),
        ]
        return {
            "what": job.name,
            "peak_per_s": round(peak, 1),
            "one_caller_p50_ms": round(one, 3),
            "offered_over_peak": round(flood["sent_per_s"] / peak, 2),
            "offered_per_s": round(flood["sent_per_s"], 1),
            "accepted": flood["ok"],
            "refused": flood["refused"],
            "statuses": flood["statuses"],
            "late_p99_ms": flood["late_p99_ms"],
            "per_second": flood["per_second"],
            "after": after["quarters"],
            "memory_mib": [round(m) for m in memory],
            "bars": bars,
        }


def _alone(ask: Callable[..., list[dict[str, Any]]]) -> tuple[float, float]:
    """Returns the median of one caller in milliseconds, and the peak: calls a second of 64 callers."""
    ask(4, callers=4, requests=400)
    one = ask(1, callers=1, requests=400)[0]
    trial = ask(64, callers=64, requests=1000)[0]
    peak = ask(64, callers=64, requests=int(max(1000, 3 * trial["ok_per_s"])))[0]
    if set(peak["statuses"]) != {"0"}:
        raise RuntimeError(f"64 callers got {peak['statuses']}")
    return float(one["ok"]["p50_ms"]), float(peak["ok_per_s"])


def _recovery(before: dict[str, Any], after: dict[str, Any]) -> float | None:
    """Returns from when on every quarter of a second is as before: all answered, the median at most doubled."""
    usual = before["ok"].get("p50_ms", 0.0)
    bad = [
        number
        for number, quarter in enumerate(after["quarters"])
        if quarter["ok"] < quarter["due"] or quarter.get("p50_ms", 0.0) > 2 * usual
    ]
    if not after["quarters"] or (bad and bad[-1] == len(after["quarters"]) - 1):
        return None
    return (bad[-1] + 1) / 4 if bad else 0.0


def _abused(serve: Serve, abuse: Abuse, bundle: Bundle, seconds: float) -> dict[str, Any]:
    with _work(abuse.name.replace(" ", "-").replace(",", "")) as (own, files), serve(own, SERVER) as serving:
        if abuse.name == HEAVY_USER:
            heavy_events(own / "events.db", bundle.items())
        messages = ((0, message) for message in ranked(bundle))
        sequence = str(write_sequence(files / "sequence", messages))
        asked = Specification(
            ("127.0.0.1", serving.port), [RECOMMEND], sequence, 4, phases=[(100, seconds)], timeout=10
        )
        (warm,) = generated(Specification(asked.address, asked.paths, sequence, 4, callers=4, requests=400), files)[
            "phases"
        ]
        del warm
        with _memory(serving.group) as memory:
            (before,) = generated(asked, files, GENERATOR)["phases"]
            attack = subprocess.Popen(
                [sys.executable, "-m", "serving.abuses", abuse.name, str(serving.port), str(seconds + 1)],
                cwd=REPOSITORY / "benchmarks",
                env=clean_environment(),
                stdout=subprocess.PIPE,
                text=True,
                preexec_fn=_humble,  # no thread of this process holds a lock that it would need
            )
            threading.Event().wait(0.7)  # it has to import and connect
            (during,) = generated(asked, files, GENERATOR)["phases"]
            said, _ = attack.communicate(timeout=120)
        if attack.returncode:
            raise RuntimeError(f"the abuse {abuse.name!r} ended with {attack.returncode}")
        answered = during["statuses"].get("0", 0) / during["offered"]
        bars = [
            _bar("others' p99 over that before", _over(during["ok"], before["ok"]), 2.0),
            _bar("share of others' calls answered", answered, 0.999, least=True),
            _bar("memory added, MiB", max(memory) - memory[0], MOST_MEMORY),
        ]
        return {
            "what": abuse.name,
            "done": json.loads(said),
            "before": before["ok"],
            "during": during["ok"],
            "statuses": during["statuses"],
            "memory_mib": [round(m) for m in memory],
            "bars": bars,
        }


def _over(during: dict[str, float], before: dict[str, float]) -> float | None:
    return during["p99_ms"] / before["p99_ms"] if during and before else None


def _humble() -> None:
    """Runs on the generator's core and leaves it to the generator whenever that has something to do."""
    os.sched_setaffinity(0, GENERATOR)
    os.nice(19)


@contextmanager
def _memory(group: Group) -> Iterator[list[float]]:
    """Notes a server's memory twice a second until the block ends."""
    taken, done = [group.memory_mib()], threading.Event()

    def note() -> None:
        while not done.wait(0.5):
            taken.append(group.memory_mib())

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield taken
    finally:
        done.set()
        thread.join()


def _bar(what: str, value: float | None, bound: float, *, least: bool = False) -> dict[str, Any]:
    met = value is not None and (value >= bound if least else value <= bound)
    return {
        "what": what,
        "value": value if value is None else round(value, 3),
        "bound": round(bound, 3),
        "least": least,
        "met": met,
    }


def _show(row: dict[str, Any]) -> None:
    print(f"{row['transport']}: {row['what']}", flush=True)
    for bar in row["bars"]:
        word, sign = "met   " if bar["met"] else "MISSED", "≥" if bar["least"] else "≤"
        print(f"  {word} {bar['what']:<34} {bar['value']}  {sign} {bar['bound']}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
