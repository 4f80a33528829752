"""Gives the training tests a tiny model of each kind and data whose right answer is known."""

from __future__ import annotations

import pytest
from checkerboard import checkerboard_data, checkerboard_host

from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost


@pytest.fixture(scope="session")
def host() -> PluginHost:
    """Offers the tiny models."""
    return checkerboard_host()


@pytest.fixture(scope="session")
def checkerboard() -> tuple[DataSpec, HistoryBatch, EvaluationSet]:
    """Users walk along the even items or along the odd ones: two places on is always next."""
    return checkerboard_data()
