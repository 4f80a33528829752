"""Builds, once, what unmodified clients of Triton need; these tests run where ``--clients`` is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.triton_clients import TritonClients


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:  # pytest's
    """Leaves the folder out of the tests that need Python alone."""
    return None if config.getoption("--clients") else True


@pytest.fixture(scope="session")
def triton() -> TritonClients:
    """Triton's client, its perf_analyzer, and its server."""
    return TritonClients()


@pytest.fixture(scope="session")
def oracle(triton: TritonClients, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Triton that serves a model of a pipeline's tensors, "tiny"."""
    with triton.oracle(tmp_path_factory.mktemp("triton")) as address:
        yield address
