"""Measures the sources at two revisions: lines, files, the median and the longest file; no stubs, no tests.

python benchmarks/structure.py --before 43ba241 --out benchmarks/results/structure.json

Sources are the Python files of every part's ``honeyguide``; lines are all lines, comments and docstrings among them.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import subprocess
import tarfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("protos", "plugins", "training", "exporters", "server", "clients", "cli")
_SOURCE = re.compile(rf"({'|'.join(PARTS)})/(python/)?honeyguide/.*(?<!_pb2)(?<!_pb2_grpc)\.py")


def lengths(revision: str) -> dict[str, int]:
    """Returns the lines of each source file at a revision."""
    packed = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        sources = [member for member in archive if member.isfile() and _SOURCE.fullmatch(member.name)]
        return {member.name: archive.extractfile(member).read().count(b"\n") for member in sources}  # type: ignore[union-attr]  # it is a file


def measure(what: str, revision: str) -> dict[str, object]:
    """Returns a row: the figures of all sources, and the lines of each part."""
    files = lengths(revision)
    longest = max(files, key=lambda name: files[name])
    commit = subprocess.run(["git", "rev-parse", "--short", revision], cwd=ROOT, check=True, capture_output=True)
    return {
        "what": what,
        "revision": commit.stdout.decode().strip(),
        "lines": sum(files.values()),
        "files": len(files),
        "median": round(statistics.median(files.values())),
        "longest": files[longest],
        "longest_file": longest,
        "lines_by_part": {
            part: sum(n for name, n in files.items() if name.partition("/")[0] == part) for part in PARTS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", default="43ba241", help="the revision to compare with")
    parser.add_argument("--after", default="HEAD")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/structure.json"))
    arguments = parser.parse_args()
    result = {
        "command": f"python benchmarks/structure.py --before {arguments.before}",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": [measure("before", arguments.before), measure("after", arguments.after)],
    }
    arguments.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    for row in result["rows"]:
        print(row)


if __name__ == "__main__":
    main()
