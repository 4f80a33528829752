"""Measures recommendation quality on public data, row by row: in torch, and through a real server over gRPC.

    cd benchmarks && python -m quality ml-1m --rows cf joint --seeds 0 1 2

A suite is a data set with one split (`suites.py`). Everything is fitted on training events and chosen on validation.
Test is read once for each row and seed, and what was read is kept: a second call goes on from there, a killed training
too, and changes nothing that is done. The whole catalogue is ranked; ties share the mean of their ranks. Rows whose
model no plugin offers are left out, and said so. Each row takes the place of its own former one in the result.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from honeyguide.sdk.host import PluginHost
from quality.bench import Bench, say
from quality.keeping import Kept
from quality.suites import SUITES, Entry, Suite, missing

ROOT = Path(__file__).parents[2]


def chosen(suite: Suite, rows: Sequence[str], host: PluginHost) -> list[Entry]:
    """Returns the entries that are asked for, with what they need, in the order of the suite."""
    needed = set(rows) | {name for entry in suite.entries if entry.name in rows for name in entry.over}
    entries: list[Entry] = []
    for entry in (entry for entry in suite.entries if entry.name in needed):
        absent = sorted(set(entry.over) - {known.name for known in entries})
        why = missing(entry, host.models) or (f"it ranks what {', '.join(absent)} would retrieve" if absent else "")
        if why:
            say(f"{entry.name} is left out: {why}")
        else:
            entries.append(entry)
    return entries


def main(words: Sequence[str] | None = None) -> None:
    """Makes what is asked for and not done; ``words`` are the command line's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder of the raw data")
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="all of the suite, if none is named")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "bench-quality", help="for all that is made")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of the result")
    parser.add_argument("--kept", action="store_true", help="make nothing: put what is kept into the result")
    arguments = parser.parse_args(words)
    suite = SUITES[arguments.suite]
    names = [entry.name for entry in suite.entries]
    if unknown := [row for row in arguments.rows if row not in names]:
        parser.error(f"suite {arguments.suite} has no row {', '.join(unknown)}; there are: {', '.join(names)}")
    bench = Bench(arguments.suite, arguments.data.resolve(), arguments.work.resolve() / arguments.suite)
    entries, out = chosen(suite, arguments.rows or names, bench.host), arguments.out / suite.out
    if arguments.kept:
        entries = []
    left = [(e, s) for s in arguments.seeds for e in entries if not Kept(bench.work, e.name, s).done]
    minutes = sum(entry.minutes for entry, _ in left)
    say(f"about {minutes} minutes on two free cores for {len(left)} rows that are not done")
    bench.count()
    bench.result(out)
    for entry, seed in left:
        bench.make(entry, seed)
        bench.result(out)


if __name__ == "__main__":
    main()
