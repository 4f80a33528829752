"""Measures the seconds and the peak memory of `honeyguide prepare`, beside plain polars reading the same file.

    python benchmarks/prepare.py --out benchmarks/results/prepare.json [--data ml-1m_sasrec.txt]

Every figure is taken several times, all of them in turn, each in a process of its own; a row has the median over the
runs, and the least and the most. Memory is the growth of the largest resident size after the imports. What a file of
two events costs (code that is loaded, threads) stands in a row of its own: it does not grow with the file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from record import machine

TIMED = {"time": "timestamp", "dwell": "dwell"}
SEQUENCE = {"separator": " ", "header": False, "user": "1", "item": "2"}
MEASURE = """
import json, sys
from time import perf_counter

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1000 for line in status if line.startswith("VmHWM"))

what, path, out, options = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
if what == "prepare":
    from honeyguide.training import prepare
    run = lambda: prepare(path, out=out, **options).counts["events"]
else:
    import polars as pl
    shape = {"separator": options.get("separator", ","), "has_header": options.get("header", True)}
    run = lambda: pl.read_csv(path, **shape).height
before, begun = peak(), perf_counter()
events = run()
print(json.dumps({"events": events, "seconds": perf_counter() - begun, "peak_mb": peak() - before}))
"""


def make_log(path: Path, events: int) -> None:
    """Writes a log of user, item, time and dwell; users and items are as skewed as clicks are."""
    random = np.random.default_rng(0)
    pl.DataFrame(
        {
            "user_id": random.integers(1, events // 20 + 2, events),
            "item_id": random.zipf(1.3, events) % 20_000,
            "timestamp": 1_600_000_000 + np.sort(random.integers(0, 30_000_000, events)),
            "dwell": random.exponential(40, events).round(2),
        }
    ).write_csv(path)


def measure(what: str, path: Path, options: dict[str, object], folder: Path) -> dict[str, float]:
    """Runs once, in a process of its own."""
    out = folder / f"out-{len(list(folder.iterdir()))}"
    words = [sys.executable, "-c", MEASURE, what, str(path), str(out), json.dumps(options)]
    figures: dict[str, float] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures honeyguide prepare.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, action="append", default=[], help="a `user item` text to measure too")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    system = machine(polars=pl.__version__, numpy=np.__version__)  # with the load before the run
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        logs: dict[str, tuple[Path, dict[str, object]]] = {}
        for events in (2, 1_000_000, 5_000_000):
            path = folder / f"log-{events}.csv"
            make_log(path, events)
            logs[f"synthetic log of {events:,} events"] = (path, dict(TIMED))
        logs |= {path.name: (path, dict(SEQUENCE)) for path in arguments.data}
        runs: dict[tuple[str, str], list[dict[str, float]]] = {}
        for _ in range(arguments.runs):
            for log, (path, options) in logs.items():
                for what in ("prepare", "polars.read_csv"):
                    runs.setdefault((log, what), []).append(measure(what, path, options, folder))
        rows = []
        for (log, what), taken in runs.items():
            size = logs[log][0].stat().st_size / 1e6
            row: dict[str, object] = {"log": log, "what": what, "events": taken[0]["events"], "file_mb": round(size, 1)}
            for figure in ("seconds", "peak_mb"):
                values = [t[figure] for t in taken]
                row[figure] = round(statistics.median(values), 3)
                row[f"{figure}_least_most"] = [round(min(values), 3), round(max(values), 3)]
            rows.append(row)
    for row in rows:
        fixed = next(r for r in rows if r["what"] == row["what"])
        if row is not fixed:
            row["peak_over_file"] = round(float(str(row["peak_mb"])) / float(str(row["file_mb"])), 2)
            grown = float(str(row["peak_mb"])) - float(str(fixed["peak_mb"]))
            row["peak_growth_over_file"] = round(grown / float(str(row["file_mb"])), 2)
    result = {
        "command": " ".join(["python benchmarks/prepare.py", *(f"--data {path.name}" for path in arguments.data)]),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": system,
        "runs": arguments.runs,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
