"""Takes one figure of one running server: calls of one kind, a stream, a whole `honeyguide score`, recorded events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from honeyguide.v1.event_service_pb2 import RecordEventsResponse
from serving.bodies import RECORD, Best, read_best, record_request
from serving.environments import REPOSITORY, STORED, Bundle, Python
from serving.generator import Specification, write_sequence
from serving.h2load import load
from serving.processes import clean_environment
from serving.servers import Serving

__all__ = [
    "Figures",
    "Measure",
    "Pace",
    "Sample",
    "calls",
    "ceilings",
    "check",
    "generated",
    "recorded",
    "scored",
    "streamed",
]

Figures = dict[str, float]
Sample = tuple[str, Sequence[str], Best]
"""A job, a history, and what the job in process answers."""
STREAM_USERS = 256
"""Users in one message of a stream: what `honeyguide score` sends."""


@dataclass(frozen=True)
class Pace:
    """How long the measurements of a run are."""

    seconds: float
    most: int
    """Calls of one measurement at most."""


@dataclass(frozen=True)
class Measure:
    """One figure: its name, and how it is taken of a running server with an empty folder for files."""

    name: str
    take: Callable[[Serving, Path, Pace], Figures]


def calls(name: str, path: str, message: bytes, callers: int) -> Measure:
    """Measures calls of one message by so many callers."""

    def take(serving: Serving, folder: Path, pace: Pace) -> Figures:
        taken = load(serving, path, message, folder, callers=callers, seconds=pace.seconds, most=pace.most)
        alone = len(_ask(serving, path, message)) + 5
        if taken.bytes_each < 0.99 * alone or taken.bytes_each > 1.01 * alone:
            raise RuntimeError(f"{name}: answers have {taken.bytes_each:.1f} bytes, one asked for alone {alone}")
        return {key: float(value) for key, value in asdict(taken).items()}

    return Measure(f"{name}, {callers} caller{'s' * (callers > 1)}", take)


def ceilings(python: Python, bundle: Bundle, job: str, threads: int, batch: int) -> Measure:
    """Measures the job with nothing around it."""

    def take(_serving: Serving, _folder: Path, pace: Pace) -> Figures:
        command = [python.path, "-m", "serving.ceilings", bundle.job, job, threads, batch, pace.seconds]
        return {key: float(value) for key, value in _json(command).items()}

    return Measure(f"{job.upper()}, {threads} thread{'s' * (threads > 1)}, batches of {batch}", take)


def recorded(callers: int) -> Measure:
    """Measures RecordEvents, one event a call, each of another user, acknowledged when it is on disk."""

    def take(serving: Serving, folder: Path, pace: Pace) -> Figures:
        messages = ((0, record_request(f"writer-{n % 5000}", f"{n % 2500}")) for n in range(20_000))
        answer = RecordEventsResponse.FromString(_ask(serving, RECORD, record_request("writer-0", "0")))
        if answer.accepted != 1:
            raise RuntimeError(f"an event was not accepted: {answer}")
        requests = min(pace.most, int(3000 * pace.seconds))
        result = generated(
            Specification(
                ("127.0.0.1", serving.port),
                [RECORD],
                str(write_sequence(folder / "sequence", messages)),
                connections=callers,
                callers=callers,
                requests=requests,
            ),
            folder,
        )
        return of_phase(result["phases"][0], requests)

    return Measure(f"RecordEvents, {callers} callers", take)


def of_phase(phase: dict[str, Any], requests: int) -> Figures:
    """Returns the figures of a closed loop of the generator; raises `RuntimeError` where a call failed."""
    if phase["statuses"] != {"0": requests}:
        raise RuntimeError(f"of {requests} calls came {phase['statuses']}")
    return {"requests_per_s": requests / phase["seconds"], **phase["ok"]}


def streamed(python: Python, bundle: Bundle, job: str) -> Measure:
    """Measures users a second over one connection's stream, with inline histories, by a client in its own process."""

    def take(serving: Serving, _folder: Path, pace: Pace) -> Figures:
        users = int(2048 * max(1.0, 2 * pace.seconds))
        command = [python.path, "-m", "serving.stream", serving.port, bundle.folder, job, users]
        return {"users_per_s": float(_json(command)["users_per_s"])}

    return Measure(f"stream, {job.upper()}", take)


def scored(python: Python, job: str) -> Measure:
    """Measures `honeyguide score` over stored users with as many events as the inline histories have."""

    def take(serving: Serving, folder: Path, _pace: Pace) -> Figures:
        users = folder / "users.csv"
        users.write_text("user_id\n" + "".join(f"{user}\n" for user in STORED))
        words = ["--pipeline", job, "--server", f"127.0.0.1:{serving.port}", "--force", "--restart", "--json"]
        answer = _json(python.honeyguide("score", users, folder / "recs.parquet", *words))
        if answer["failed"]:
            raise RuntimeError(f"honeyguide score failed for {answer['failed']} users")
        return {"users_per_s": float(answer["users_per_second"])}

    return Measure(f"honeyguide score, {job.upper()}", take)


def generated(specification: Specification, folder: Path, cores: Sequence[int] = ()) -> dict[str, Any]:
    """Runs the generator as a process of its own, on these cores."""
    file = folder / "specification.json"
    file.write_text(json.dumps(asdict(specification)))
    return _json([sys.executable, "-m", "serving.generator", file], cores)


def check(
    serving: Serving,
    path: str,
    ask: Callable[[str, Sequence[str]], bytes],
    samples: Sequence[Sample],
    items: Sequence[str],
) -> None:
    """Compares answers with those of the job in process; raises `RuntimeError` naming the first that is another."""
    for job, history, expected in samples:
        best = read_best(path, _ask(serving, path, ask(job, history)), items)
        # The old commit's answers have their scores elsewhere: of those the items say enough.
        near = not any(best.scores) or np.allclose(best.scores, expected.scores, atol=1e-3)
        # Items whose scores are equal but for rounding may change places.
        if not near or len(set(best.items) & set(expected.items)) < 9:
            raise RuntimeError(f"{path}, {job}: {best} is not {expected}")


def _ask(serving: Serving, path: str, message: bytes) -> bytes:
    address = f"127.0.0.1:{serving.port}"
    if serving.certificate is None:
        channel = grpc.insecure_channel(address)
    else:
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(serving.certificate))
    with channel:
        call: Any = channel.unary_unary(path)
        until = time.monotonic() + 60
        while True:
            try:
                return bytes(call(message, timeout=30, wait_for_ready=True, metadata=tuple(serving.header.items())))
            except grpc.RpcError:  # it listens before its models are loaded
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


def _json(command: Sequence[object], cores: Sequence[int] = ()) -> dict[str, Any]:
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    done = subprocess.run(
        [str(word) for word in command],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=REPOSITORY / "benchmarks",
        env=clean_environment(),
        preexec_fn=pin,  # no thread of this process holds a lock that it would need
    )
    if done.returncode:
        raise RuntimeError(f"{command[:4]} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
