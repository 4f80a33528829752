"""Counts the cores that this process may keep busy: of the machine, of its affinity, of its container's CPU quota."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["usable_cores"]


def usable_cores(root: Path = Path("/")) -> int:
    """Returns how many cores, 1 or more; a quota of 1.5 cores is 2, so that none of it is left unused.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Returns the quotas, in cores, of the control groups that the process is in, of both versions."""
    for group, is_v2 in _groups(root):
        try:
            if is_v2:
                quota, period = (group / "cpu.max").read_text("utf-8").split()
            else:
                quota, period = ((group / f"cpu.cfs_{part}_us").read_text("utf-8") for part in ("quota", "period"))
            if float(quota) > 0:  # -1 is none in version 1
                yield float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):  # there is no such file, or it says "max"
            continue


def _groups(root: Path) -> Iterator[tuple[Path, bool]]:
    """Returns the folders of the process's control groups and of all above them, and whether they are of version 2.

    In a container the paths may be those of the host, which cannot be seen: then the folder above all is its own.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:  # no Linux
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        homes = [mounts / controllers, mounts / "cpu"] if controllers else [mounts, mounts / "unified"]
        for home in homes:
            group = home / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(home):
                    yield folder, not controllers
