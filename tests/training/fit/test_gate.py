import numpy as np
import pytest

from honeyguide.training.fit.gate import paired_bootstrap


def test_the_bootstrap_knows_luck_from_a_gain() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(400)
    assert paired_bootstrap(before, before, 0) == 1.0
    assert paired_bootstrap(before, before + 0.01, 0) == pytest.approx(1 / 10_001)
    assert paired_bootstrap(before, before + rng.permutation(np.repeat([-0.5, 0.5], 200)), 0) > 0.3
    assert paired_bootstrap(before, before, 0) == paired_bootstrap(before, before, 0)


def test_the_bootstrap_equals_drawing_users_one_by_one() -> None:
    rng = np.random.default_rng(1)
    difference = rng.choice([-0.3, 0.0, 0.1, 0.4], 60)
    plain = difference[rng.integers(0, 60, (20_000, 60))].mean(1)
    expected = (plain <= 1e-12).mean()
    assert 0.001 < expected < 0.5
    assert paired_bootstrap(np.zeros(60), difference, 5) == pytest.approx(expected, abs=0.015)
