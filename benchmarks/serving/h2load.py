"""Loads a server with h2load: so many callers, each with a connection and one call at a time, and a number of calls."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.generator import percentiles
from serving.processes import clean_environment
from serving.servers import Serving
from serving.wire import frames

__all__ = ["Load", "load"]


@dataclass(frozen=True)
class Load:
    """What one run of h2load came to."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """CPU milliseconds of the server for each request."""
    requests: int
    bytes_each: float
    """Mean bytes of the answers' messages: every answer of one request is as long as the first, a refusal has none."""


def load(serving: Serving, path: str, message: bytes, folder: Path, *, callers: int, seconds: float, most: int) -> Load:
    """Calls one method with one message; a short run first says how many calls take ``seconds``.

    Args:
        serving: whom to call.
        path: the method.
        message: the request.
        folder: for h2load's files.
        callers: how many.
        seconds: how long the measured run shall take, by the rate of the short one.
        most: calls of the measured run at most.

    Raises `RuntimeError` where a call failed.
    """
    (folder / "body").write_bytes(frames(message))
    first, _ = _run(serving, path, folder, callers, max(200, 10 * callers))
    requests = int(min(most, max(20 * callers, 100, first.requests_per_s * seconds)))
    before = serving.group.cpu_seconds()
    measured, log = _run(serving, path, folder, callers, requests)
    cpu = serving.group.cpu_seconds() - before
    spread = percentiles([microseconds / 1e6 for microseconds in log])
    return Load(
        measured.requests_per_s,
        spread["p50_ms"],
        spread["p99_ms"],
        cpu / requests * 1e3,
        requests,
        measured.bytes / requests,
    )


@dataclass(frozen=True)
class _Summary:
    requests_per_s: float
    bytes: int


def _run(serving: Serving, path: str, folder: Path, callers: int, requests: int) -> tuple[_Summary, Sequence[int]]:
    log = folder / "h2load.log"
    log.unlink(missing_ok=True)
    command = ["h2load", "-n", requests, "-c", callers, "-m", 1, "-d", folder / "body", "--log-file", log]
    fields = {"content-type": "application/grpc", "te": "trailers"} | dict(serving.header)
    command += [word for name, value in fields.items() for word in ("-H", f"{name}: {value}")]
    command += [serving.url + path]
    done = subprocess.run(
        list(map(str, command)), check=False, capture_output=True, text=True, timeout=300, env=clean_environment()
    )
    summary = parse(done.stdout)
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    if len(lines) != requests or any(line[1] != "200" for line in lines):
        raise RuntimeError(f"not all of {requests} calls were answered: {done.stdout}{done.stderr}")
    return summary, [int(line[2]) for line in lines]


def parse(text: str) -> _Summary:
    """Reads h2load's summary; raises `RuntimeError` where a call failed or has another status than 2xx."""
    rate = re.search(r"finished in [\d.]+m?u?s?, ([\d.]+) req/s", text)
    counts = re.search(r"(\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    data = re.search(r"headers \(.*\), .*\((\d+)\) data", text)
    if rate is None or counts is None or data is None:
        raise RuntimeError(f"h2load says something else: {text}")
    total, succeeded, failed, errored = map(int, counts.groups())
    if succeeded != total or failed or errored:
        raise RuntimeError(f"{total - succeeded} of {total} calls failed: {text}")
    return _Summary(float(rate[1]), int(data[1]))
