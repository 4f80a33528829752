"""Answers that tests of the exposure log show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.serving.answers import Answers


@pytest.fixture
def answers() -> Callable[..., Answers]:
    """Returns what makes two answers, of two items and of one; keywords change it."""
    columns: dict[str, Any] = {
        "catalogue": Catalogue(["a", "b", "c"], ["", "", ""], np.array([3, 2, 1]), {}),
        "models": (("cf", 3), ("joint", 1)),
        "source_model": "joint",
        "rows": np.array([[2, 0], [1, -1]], np.int32),
        "scores": np.array([[0.5, 0.25], [2.0, -np.inf]], np.float32),
        "sources": np.array([[1, 2], [1, 1]]),
        "lengths": [2, 1],
    }
    return lambda **given: Answers(**(columns | given))
