"""Clients in other languages and in browsers, against real servers; they run where ``--clients`` is given."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:  # pytest's
    """Leaves the folder out of the tests that need Python alone."""
    return None if config.getoption("--clients") else True
