"""Shares what is slow to make, once for all workers of a run, and hands the workers their tests, the longest first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

# As in every verb: threads that spin would take the cores from the servers and programs that tests run beside them.
# A worker and what it starts compute on one thread each, since every core has a worker.
# OpenMP reads both when torch or faiss is loaded, so they stand above the other imports.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import structlog
from bundles import make_bundle, make_joint_bundle, tiny_host
from shared import make_once

from honeyguide.sdk.host import PluginHost


@pytest.fixture(autouse=True)
def own_logs() -> Iterator[None]:
    """Puts the logs back as they were: a verb that runs inside a test sets them up for its whole process."""
    before = structlog.get_config()
    yield
    structlog.contextvars.clear_contextvars()
    structlog.configure(**before)


@pytest.fixture(scope="session")
def host() -> PluginHost:
    """The installed plugins and the tiny GRU."""
    return tiny_host()


@pytest.fixture(scope="session")
def shared_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two bundles over the same 60 items: "tiny" (version 1) and "tiny_ranker" (version 1, it ranks).

    Shared by all tests: read it, change nothing. See `repository` for a copy of one's own.
    """

    def make(folder: Path) -> None:
        make_bundle(folder, "tiny", model="tiny_gru")
        make_bundle(folder, "tiny_ranker", model="tiny_ranker")

    return make_once(tmp_path_factory, "models", make)


@pytest.fixture
def repository(shared_repository: Path, tmp_path: Path) -> Path:
    """A copy of `shared_repository` to change, break and add to."""
    return Path(shutil.copytree(shared_repository, tmp_path / "models"))


@pytest.fixture(scope="session")
def shared_joint_repository(shared_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared bundles, and "joint" (version 1) over both; it ranks 10 candidates of each. Change nothing."""

    def make(folder: Path) -> None:
        shutil.copytree(shared_repository, folder, dirs_exist_ok=True)
        make_joint_bundle(folder)

    return make_once(tmp_path_factory, "joint_models", make)


@pytest.fixture
def joint_repository(shared_joint_repository: Path, tmp_path: Path) -> Path:
    """A copy of `shared_joint_repository` to change, break and add to."""
    return Path(shutil.copytree(shared_joint_repository, tmp_path / "models"))


@pytest.fixture(scope="session")
def shared_newer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 2 of "tiny", the folder of a bundle that recommends otherwise than version 1. Change nothing."""

    def make(folder: Path) -> None:
        (folder / "tiny" / "1").mkdir(parents=True)  # so that the next version is 2
        make_bundle(folder, "tiny", seed=1)

    return make_once(tmp_path_factory, "newer", make) / "tiny" / "2"


@pytest.fixture
def add_version(shared_newer: Path) -> Callable[[Path], object]:
    """Returns what puts version 2 of "tiny" into a repository, as an export does but for its seconds."""
    return lambda repository: shutil.copytree(shared_newer, repository / "tiny" / "2")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tutorials", action="store_true", help="Run the tests that follow whole pages, too.")
    parser.addoption("--models", action="store_true", help="Hold all built-in models to the contract, not a few.")
    parser.addoption("--services", action="store_true", help="Run the tests that start other servers, too.")
    parser.addoption("--clients", action="store_true", help="Run the tests of other languages and browsers, too.")
    parser.addoption("--no-skips", action="store_true", help="A test that is skipped fails, as where all is installed.")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names bytes by their argument: what a gzip holds depends on the second, and workers must agree on every name."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip into a failure with the skip's reason, where ``--no-skips`` is given."""
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome, report.longrepr = "failed", f"a skip, where none is allowed: {report.longrepr}"
    return report


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the slow tests first, the slowest before all, and keeps a module's tests together on one worker.

    Tutorials have a word of their own, and so has what most of the built-in models promise.

    ``pytest.mark.slow(seconds)`` says about how many CPU seconds a module takes (or a test that stands alone).
    """
    for marker, option in (("tutorial", "--tutorials"), ("other_model", "--models")):
        if not config.getoption(option):
            left = [item for item in items if item.get_closest_marker(marker)]
            items[:] = [item for item in items if not item.get_closest_marker(marker)]
            config.hook.pytest_deselected(items=left)
    items.sort(key=_seconds, reverse=True)  # a stable sort: what is not marked stays in its order
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def _seconds(item: pytest.Item) -> float:
    mark = item.get_closest_marker("slow")
    return float(mark.args[0]) if mark else 0.0
