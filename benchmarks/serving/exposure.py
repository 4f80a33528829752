"""Measures what the exposure log costs: one server with it and one without, asked in turn.

    cd benchmarks && python -m serving.exposure --cache CACHE

Needs h2load. A minute and a half.
"""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import polars as pl

from record import machine
from serving import environments, measures, servers
from serving.__main__ import commit
from serving.bodies import RECOMMEND, recommend_request
from serving.environments import REPOSITORY, Python
from serving.measures import Figures, Pace

_LEAST = 0.98
"""Of the throughput without the log."""
_WAYS = ("without", "with")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "exposure.json")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "serving")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of each measurement")
    arguments = parser.parse_args()
    python = Python(Path(sys.executable))
    bundle = environments.bundle(arguments.cache.resolve() / "bundle", python, environments.sources_now())
    taken: dict[tuple[str, str], list[Figures]] = {}
    begun = perf_counter()
    with tempfile.TemporaryDirectory(prefix="exposure-") as name, ExitStack() as stack:
        root = Path(name)
        for folder in ("files", *_WAYS):
            (root / folder).mkdir()
        (root / "key").write_text(secrets.token_hex(32))
        log = {"exposures": str(root / "log"), "exposures_key": str(root / "key"), "exposures_seconds": 5.0}
        started = {
            way: stack.enter_context(
                servers.honeyguide(python, bundle, transport="native", **(log if way == "with" else {}))(root / way, ())
            )
            for way in _WAYS
        }
        for number in range(arguments.rounds):
            for job in ("r", "k"):
                measure = measures.calls(job.upper(), RECOMMEND, recommend_request(job, bundle.history()), 64)
                for way in _WAYS if number % 2 else reversed(_WAYS):
                    figures = measure.take(started[way], root / "files", Pace(arguments.seconds, 100_000))
                    taken.setdefault((job, way), []).append(figures)
        stack.close()
        rows = sum(len(pl.read_parquet(path, columns=["time"])) for path in (root / "log").glob("*.parquet"))
    result = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": f"cd benchmarks && python -m serving.exposure --rounds {arguments.rounds}",
        "seconds": round(perf_counter() - begun),
        "rows_written": rows,
        "jobs": [_compare(job, taken) for job in ("r", "k")],
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for job in result["jobs"]:
        verdict = "met   " if job["met"] else "MISSED"
        rate, cpu = job["requests_per_s_ratio"], job["cpu_ratio"]
        print(
            f"{verdict} {job['job']}, 64 callers: {rate:.3f} of the calls, {cpu:.3f} of the CPU of each; {rows:,} rows"
        )
    return 0 if all(job["met"] for job in result["jobs"]) else 1


def _compare(job: str, taken: dict[tuple[str, str], list[Figures]]) -> dict[str, object]:
    """Takes the ratio of each round, as the machine drifts, and their median."""

    def ratio(figure: str) -> float:
        pairs = zip(taken[job, "with"], taken[job, "without"], strict=True)
        return round(statistics.median(own[figure] / other[figure] for own, other in pairs), 4)

    rate = ratio("requests_per_s")
    medians = {
        f"requests_per_s_{way}": round(statistics.median(f["requests_per_s"] for f in taken[job, way]), 1)
        for way in _WAYS
    }
    return {
        "job": job.upper(),
        **medians,
        "requests_per_s_ratio": rate,
        "cpu_ratio": ratio("cpu_ms"),
        "bound": _LEAST,
        "met": rate >= _LEAST,
    }


if __name__ == "__main__":
    sys.exit(main())
