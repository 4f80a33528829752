"""The cores that compute are those that the container gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from honeyguide.server.bundles.cores import usable_cores
from honeyguide.server.bundles.runtime import Runtime


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),  # a part of a core is used, too
        ("0::/", {"cpu.max": "5000 100000"}, 1),
        ("0::/", {"cpu.max": "2000000 100000"}, 8),
        ("0::/", {"cpu.max": "nonsense"}, 8),
        ("0::/shop/pod", {"shop/cpu.max": "300000 100000", "shop/pod/cpu.max": "max 100000"}, 3),  # the parent's counts
        ("0::/shop/pod", {"shop/cpu.max": "300000 100000", "shop/pod/cpu.max": "100000 100000"}, 1),
        ("0::/of/the/host", {"cpu.max": "400000 100000"}, 4),
        ("0::/shop", {"unified/shop/cpu.max": "100000 50000"}, 2),
        ("4:cpu,cpuacct:/", {"cpu,cpuacct/cpu.cfs_quota_us": "-1", "cpu,cpuacct/cpu.cfs_period_us": "100000"}, 8),
        ("4:cpuacct,cpu:/a", {"cpu/a/cpu.cfs_quota_us": "250000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu:/host", {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ("4:memory:/a\n5:cpuset:/", {"memory/a/cpu.max": "100000 100000"}, 8),
        (None, {}, 8),
    ],
)
def test_cores_are_those_of_the_smallest_quota(
    tmp_path: Path, groups: str | None, files: dict[str, str], cores: int
) -> None:
    if groups is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(groups, "utf-8")
    for name, content in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
    assert usable_cores(tmp_path) == cores


def test_affinity_counts_and_not_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {5})
    assert usable_cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (9, 4, 2), (12, 6, 2), (64, 8, 8)]
)
def test_workers_take_a_core_each_and_share_what_is_more(cores: int, workers: int, threads: int) -> None:
    runtime, alone = Runtime.detect(cores), Runtime.detect(cores, workers=1)
    assert (runtime.workers, runtime.threads) == (workers, threads)
    assert (alone.workers, alone.threads) == (1, cores)
