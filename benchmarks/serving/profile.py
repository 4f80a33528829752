"""Says where a server's CPU time goes, by the libraries it is spent in, and what is left for calls under a flood.

    cd benchmarks && python -m serving.profile --cache CACHE

Needs perf and h2load. Two minutes.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from record import machine
from serving import environments, servers
from serving.__main__ import commit
from serving.bodies import RECOMMEND, recommend_request
from serving.environments import REPOSITORY, Bundle, Python
from serving.generator import Specification, write_sequence
from serving.h2load import Load, load
from serving.measures import generated
from serving.processes import children
from serving.servers import Serve, Serving

PARTS: dict[str, str] = {
    "ONNX Runtime": r"onnxruntime",
    "numpy and BLAS": r"_multiarray|_umath|openblas|numpy|faiss",
    "Python": r"python3",
    "protobuf": r"_message\.",
    "front in Rust": r"_native\.abi3",
    "gRPC core": r"cygrpc",
    "kernel": r"^\[",
    "C library": r"^(libc|libm|libpthread|libstdc|ld-linux|libgcc|\[vdso)",
}
"""Parts of the time, by the file that the code is in; what none of them names is "other"."""
CASES = (("native", "R", 1), ("native", "K", 1), ("native", "R", 64), ("native", "K", 64), ("grpcio", "K", 64))
"""Transport, job and callers of each profile."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "profile.json")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / "build" / "serving", help="where the bundle is kept")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each profile")
    arguments = parser.parse_args()
    python = Python(Path(sys.executable))
    bundle = environments.bundle(arguments.cache.resolve() / "bundle", python, environments.sources_now())
    begun = perf_counter()
    result: dict[str, Any] = {
        "machine": machine(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "command": f"cd benchmarks && python -m serving.profile --seconds {arguments.seconds:g}",
        "profiles": [_profile(python, bundle, *case, arguments.seconds) for case in CASES],
        "least_us": {kind: _least(servers.empty(python, kind)) for kind in ("native", "aio")},
    }
    result["seconds"] = round(perf_counter() - begun)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    for profile in result["profiles"]:
        parts = ", ".join(f"{part} {us:.0f}" for part, us in profile["us"].items())
        print(f"{profile['transport']}, {profile['job']}, {profile['callers']}: {profile['cpu_us']:.0f} us: {parts}")
    print(f"a call that does nothing costs at least {result['least_us']} us of the server's core")
    return 0


def shares(report: str) -> dict[str, float]:
    """Returns each part's share of the samples, from perf's report by file: lines such as "12.5%  libc.so.6"."""
    taken: dict[str, float] = {}
    for line in report.splitlines():
        if found := re.match(r"\s*([\d.]+)%\s+(\S+)", line):
            part = next((part for part, files in PARTS.items() if re.search(files, found[2])), "other")
            taken[part] = taken.get(part, 0.0) + float(found[1])
    whole = sum(taken.values())
    if not whole:
        raise RuntimeError(f"perf says nothing that can be read: {report[:500]}")
    return {part: share / whole for part, share in sorted(taken.items(), key=lambda pair: -pair[1])}


def _profile(python: Python, bundle: Bundle, transport: str, job: str, callers: int, seconds: float) -> dict[str, Any]:
    serve = servers.honeyguide(python, bundle, transport=transport)
    message = recommend_request(job.lower(), bundle.history())

    def ask(serving: Serving, files: Path) -> Load:
        return load(serving, RECOMMEND, message, files, callers=callers, seconds=seconds, most=100_000)

    with _work() as root, serve(_made(root / "server"), ()) as serving:
        taken, report = _watched(serving, root, lambda: ask(serving, _made(root / "files")))
    by_part = shares(report)
    return {
        "transport": transport,
        "job": job,
        "callers": callers,
        "requests_per_s": round(taken.requests_per_s, 1),
        "p50_ms": round(taken.p50_ms, 3),
        "cpu_us": round(taken.cpu_ms * 1e3, 1),
        "us": {part: round(share * taken.cpu_ms * 1e3, 1) for part, share in by_part.items()},
    }


def _watched(serving: Serving, folder: Path, work: Callable[[], Load]) -> tuple[Load, str]:
    """Samples a server while ``work`` runs; returns what that came to, and perf's report by file."""
    data = folder / "perf.data"
    processes = ",".join(str(pid) for root in serving.group.pids for pid in children(root))
    recording = subprocess.Popen(
        ["perf", "record", "-o", data, "-F", "499", "-p", processes], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        done = work()
    finally:
        recording.terminate()
        _, said = recording.communicate(timeout=60)
    command = ["perf", "report", "-i", data, "--sort", "dso", "--no-children", "--stdio", "-w", "0"]
    report = subprocess.run(list(map(str, command)), check=False, capture_output=True, text=True, timeout=120)
    if report.returncode:
        raise RuntimeError(f"perf failed: {said.decode('utf-8', 'replace')}{report.stderr}")
    return done, report.stdout


def _least(serve: Serve) -> float:
    """Returns the microseconds of CPU of a call, one of a crowd, that a handler on one core answers with nothing."""
    with _work() as root, serve(_made(root / "server"), (0,)) as serving:
        sequence = write_sequence(root / "sequence", iter([(0, bytes(500))]))
        asked = Specification(
            ("127.0.0.1", serving.port), ["/bench.Bench/Nothing"], str(sequence), 32, callers=1024, requests=40_000
        )
        before = serving.group.cpu_seconds()
        (phase,) = generated(asked, _made(root / "files"), (1,))["phases"]
        used: float = serving.group.cpu_seconds() - before
        return round(used / int(phase["offered"]) * 1e6, 1)


@contextmanager
def _work() -> Iterator[Path]:
    """Makes a folder that is gone again after the block."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        yield Path(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
