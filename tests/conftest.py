"""Shares what is slow to make: real bundles of the tiny GRU, exported once for the whole run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

# As in every verb: threads that spin would take the cores from the servers and programs that tests run beside them.
# OpenMP reads it when torch or faiss is loaded, so it stands above the other imports.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import structlog
from bundles import make_bundle, tiny_host

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
    repository = tmp_path_factory.mktemp("shared") / "models"
    make_bundle(repository, "tiny", model="tiny_gru")
    make_bundle(repository, "tiny_ranker", model="tiny_ranker")
    return repository


@pytest.fixture
def repository(shared_repository: Path, tmp_path: Path) -> Path:
    """A copy of `shared_repository` to change, break and add to."""
    return Path(shutil.copytree(shared_repository, tmp_path / "models"))
