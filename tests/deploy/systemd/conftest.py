"""Leaves the folder out of the tests that need Python alone: it needs systemd-analyze, and ``--services``."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:  # pytest's
    """Leaves the folder out where ``--services`` is not given."""
    return None if config.getoption("--services") else True
