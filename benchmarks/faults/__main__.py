"""Does to real servers what goes wrong in the world, and says what became of it.

    cd benchmarks && python -m faults                    all, the long form: about 25 minutes
    cd benchmarks && python -m faults --short            the form for CI: under two minutes
    cd benchmarks && python -m faults --only fuzz

Every server is a process of the command line on 127.0.0.1. The long form goes on where it was stopped: what held
on this commit is not tried again unless ``--again`` says so. The exit code is 1 where something falls short.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from faults import material
from faults.catalogue import FAULTS
from faults.registry import Bench, Fault, Outcome
from record import machine
from serving.__main__ import commit

REPOSITORY = Path(__file__).parents[2]


def main() -> int:
    """Tries the faults that are asked for; returns the exit code."""
    # Whoever runs this in the background of a script may ignore SIGINT, and servers would take that over.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="part of the names of faults; the others are left out")
    parser.add_argument("--transport", choices=("native", "grpcio"), help="one alone")
    parser.add_argument("--short", action="store_true", help="less of everything, for CI")
    parser.add_argument("--out", type=Path, help="file of the figures; benchmarks/results/faults.json in the long form")
    parser.add_argument("--again", action="store_true", help="try again what held on this commit")
    parser.add_argument(
        "--cache", type=Path, default=REPOSITORY / "build" / "faults", help="where the bundles are kept"
    )
    arguments = parser.parse_args()
    out: Path | None = arguments.out or (None if arguments.short else REPOSITORY / "benchmarks/results/faults.json")
    models = material.make(arguments.cache.resolve())
    result = _begun(out, arguments.short, arguments.again)
    done = {(row["fault"], row["transport"]): row for row in result["rows"] if row["verdict"] == "holds"}
    asked = [
        (fault, transport)
        for fault in FAULTS
        for transport in (fault.briefly if arguments.short else fault.transports)
        if arguments.only in fault.name and arguments.transport in (None, transport)
    ]
    order = [(fault.name, transport) for fault in FAULTS for transport in fault.transports]

    def attempt(fault: Fault, transport: str) -> dict[str, Any]:
        return done.get((fault.name, transport)) or _tried(fault, models, transport, arguments.short)

    # Two at a time in the short form, which looks at no speed: most of a fault is waiting.
    with ThreadPoolExecutor(2 if arguments.short else 1) as trials:
        for row in trials.map(attempt, *zip(*asked, strict=True)) if asked else ():
            done[row["fault"], row["transport"]] = row
            _show(row)
            result["rows"] = [done[key] for key in order if key in done]
            if out is not None:
                out.parent.mkdir(parents=True, exist_ok=True)
                out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    short_of = [row for row in done.values() if row["verdict"] != "holds"]
    print(f"{len(done) - len(short_of)} of {len(done)} hold")
    return 1 if short_of else 0


def _begun(out: Path | None, short: bool, again: bool) -> dict[str, Any]:
    """Returns the result so far: that of the file where it is of this commit and form, else an empty one."""
    fresh: dict[str, Any] = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": "cd benchmarks && python -m faults" + " --short" * short,
        "rows": [],
    }
    if out is None or again or not out.exists():
        return fresh
    before: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return before if all(before.get(key) == fresh[key] for key in ("commit", "command")) else fresh


def _tried(fault: Fault, models: Path, transport: str, short: bool) -> dict[str, Any]:
    """Tries a fault in a folder of its own; what it raises is a problem of its own."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    begun = perf_counter()
    try:
        outcome = fault.run(Bench(folder, models, transport, short))
    except Exception:  # a fault's boundary: the others are tried all the same
        outcome = Outcome(seen="the trial itself failed")
        outcome.expect(False, traceback.format_exc(limit=-4))
    if not outcome.count:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        outcome.problems.append(f"the servers' logs are in {folder}")
    return {
        "fault": fault.name,
        "transport": transport,
        "tried": fault.tried,
        "happened": outcome.happened,
        "figures": {name: round(value, 3) for name, value in outcome.figures.items()},
        "bound": fault.bound,
        "verdict": "falls short" if outcome.count else "holds",
        "problems": outcome.problems,
        "problem_count": outcome.count,
        "seconds": round(perf_counter() - begun, 1),
    }


def _show(row: dict[str, Any]) -> None:
    verdict = "holds" if row["verdict"] == "holds" else "FALLS SHORT"
    print(
        f"{row['fault']:<28} {row['transport']:<7} {verdict:<11} {row['seconds']:>6} s  {row['happened']}", flush=True
    )
    for problem in row["problems"]:
        print(f"    {problem}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
