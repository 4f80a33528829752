"""Starts what is measured as processes of their own, watches their CPU seconds and memory, and ends them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CLEARED", "Group", "children", "clean_environment", "cpu_seconds", "free_port", "memory_mib", "started"]

CLEARED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH")
"""Not inherited: the first two slow numpy's matrices down, the last mixes environments."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Group:
    """Processes that serve together, with all that they start."""

    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Returns what they have used up to now; what has ended and was not waited for is missing."""
        return sum(cpu_seconds(pid) for root in self.pids for pid in children(root))

    def memory_mib(self) -> float:
        """Returns what of them is in memory now; pages that they share count once for each."""
        return sum(memory_mib(pid) for root in self.pids for pid in children(root))


def clean_environment(**more: str) -> dict[str, str]:
    """Returns the environment that every measured process gets."""
    own = {name: value for name, value in os.environ.items() if name not in CLEARED}
    return own | {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "1"} | more


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    commands: Sequence[Sequence[object]],
    ready: Callable[[], bool],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cores: Sequence[int] = (),
    seconds: float = 90.0,
) -> Iterator[Group]:
    """Runs commands until the block ends; enters it once ``ready`` says so.

    Args:
        commands: one process each.
        ready: whether they answer.
        log: where both of their outputs go; its end is in the error where they do not start.
        environment: `clean_environment` by default.
        cores: what they may run on; none: everywhere.
        seconds: how long they may take to start.
    """
    pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("wb") as output:
            processes.extend(
                subprocess.Popen(
                    list(map(str, command)),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(environment or clean_environment()),
                    start_new_session=True,
                    preexec_fn=pin,  # no thread of this process holds a lock that it would need
                )
                for command in commands
            )
        until = time.monotonic() + seconds
        while not ready():
            ended = [process for process in processes if process.poll() is not None]
            if ended or time.monotonic() > until:
                raise RuntimeError(f"{commands[0][:3]} does not start: {log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.05)
        yield Group(tuple(process.pid for process in processes))
    finally:
        for process in processes:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process and all that it started: asked first, then made."""
    whole = children(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in whole[1:]:
        try:
            if os.getsid(pid) != os.getsid(0):  # still ours, not a number that was given away again
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def children(pid: int) -> list[int]:
    """Returns a process and all below it."""
    below: dict[int, list[int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(file.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        below.setdefault(parent, []).append(int(file.parent.name))
    tree = [pid]
    for member in tree:  # it grows as it is read
        tree += below.get(member, [])
    return tree


def cpu_seconds(pid: int) -> float:
    """Returns the user and system seconds of one process, those of ended children among them."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def memory_mib(pid: int) -> float:
    """Returns the resident memory of one process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS")), 0.0)
