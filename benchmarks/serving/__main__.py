"""Measures every subject in turn, round after round, prints each bar with its verdict, and fails where one is missed.

    cd benchmarks && python -m serving --peers PEERS --cache CACHE

Needs h2load and nginx (`apt-get install nghttp2-client nginx`); what else it needs it builds once, see `environments`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types

from record import machine
from serving import bars, measures
from serving.bars import Verdict
from serving.environments import REPOSITORY, Bundle
from serving.measures import Figures, Pace, Sample
from serving.subjects import Subject, checked_histories, subjects

Rounds = dict[tuple[str, str], list[Figures]]
"""Figures of every round, by subject and measure."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "serving.json")
    parser.add_argument("--peers", type=Path, default=REPOSITORY / "build" / "peers", help="environments of the peers")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "serving", help="bundles, the old commit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.8, help="length of each measurement")
    parser.add_argument("--requests", type=int, default=100_000, help="calls of one measurement at most")
    parser.add_argument("--only", default="", help="regular expression of 'subject: measure'; the others are left out")
    arguments = parser.parse_args()
    everything = subjects(arguments.peers.resolve(), arguments.cache.resolve())
    chosen = [part for subject in everything if (part := _part(subject, arguments.only)).measures]
    bundles = {subject.checked.bundle for subject in chosen if subject.checked is not None}
    expected = {bundle: checked_histories(bundle) for bundle in bundles}
    begun, rounds, failures = perf_counter(), Rounds(), list[str]()
    for number in range(arguments.rounds):
        for subject in chosen:
            if subject.missing:
                if number == 0:
                    print(f"left out: {subject.name}: {subject.missing}")
                continue
            try:
                _measure(subject, expected, Pace(arguments.seconds, arguments.requests), rounds)
            except (RuntimeError, OSError, ValueError, subprocess.SubprocessError) as error:
                failures.append(f"round {number + 1}, {subject.name}: {error}")
                print(failures[-1], file=sys.stderr)
    result = _result(arguments, rounds, failures, perf_counter() - begun)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return _report(result)


def _part(subject: Subject, only: str) -> Subject:
    """Returns the subject with the chosen measures."""
    kept = tuple(m for m in subject.measures if re.search(only, f"{subject.name}: {m.name}"))
    return Subject(subject.name, subject.serve, kept, subject.checked, subject.missing)


def _measure(subject: Subject, expected: Mapping[Bundle, Sequence[Sample]], pace: Pace, rounds: Rounds) -> None:
    """Starts a subject, compares its answers with the job in process, and takes its figures."""
    with tempfile.TemporaryDirectory(prefix="serving-") as name:
        own, files = Path(name) / "server", Path(name) / "files"
        own.mkdir()
        files.mkdir()
        with subject.serve(own, ()) as serving:
            if (checked := subject.checked) is not None:
                measures.check(serving, checked.path, checked.ask, expected[checked.bundle], checked.bundle.items())
            for measure in subject.measures:
                figures = measure.take(serving, files, pace)
                rounds.setdefault((subject.name, measure.name), []).append(figures)
                shown = "  ".join(f"{name} {value:,.4g}" for name, value in figures.items() if name != "requests")
                print(f"{subject.name}: {measure.name:<40} {shown}", flush=True)


def _result(arguments: argparse.Namespace, rounds: Rounds, failures: Sequence[str], seconds: float) -> dict[str, Any]:
    medians = {
        key: {name: statistics.median(figures[name] for figures in taken) for name in taken[0]}
        for key, taken in rounds.items()
    }
    rows = [
        {
            "subject": subject,
            "measure": measure,
            **{
                name: {
                    "median": round(medians[subject, measure][name], 4),
                    "least": round(min(figures[name] for figures in taken), 4),
                    "most": round(max(figures[name] for figures in taken), 4),
                }
                for name in taken[0]
            },
            "rounds": [{name: round(value, 4) for name, value in figures.items()} for figures in taken],
        }
        for (subject, measure), taken in rounds.items()
    ]
    options = f"--rounds {arguments.rounds} --seconds {arguments.seconds:g}"
    options += f" --only '{arguments.only}'" * bool(arguments.only)
    return {
        "machine": machine(onnxruntime=onnxruntime.__version__, numpy=np.__version__),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": f"cd benchmarks && python -m serving {options}",
        "seconds": round(seconds),
        "failures": list(failures),
        "bars": [vars(verdict) for verdict in bars.verdicts(medians)],
        "rows": rows,
    }


def commit() -> str:
    """Returns the commit that is checked out, with a plus sign where files are changed."""
    words = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def _report(result: dict[str, Any]) -> int:
    """Prints the bars; returns 1 where one is missed or a subject failed."""
    print()
    for bar in (Verdict(**bar) for bar in result["bars"]):
        value = "not measured" if bar.value is None else f"{bar.value:.2f}"
        print(
            f"{'met   ' if bar.met else 'MISSED'} {bar.what:<60} {value:>12}  {'≥' if bar.least else '≤'} {bar.bound}"
        )
    print(f"\n{result['seconds']} s, load before {result['machine']['load_before']}")
    return 0 if all(bar["met"] for bar in result["bars"]) and not result["failures"] else 1


if __name__ == "__main__":
    sys.exit(main())
