import numpy as np
import pytest

from honeyguide.training.evaluation.differences import Difference, beaten_words, paired_difference


def test_the_bootstrap_knows_luck_from_a_gain() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(400)
    assert paired_difference(before, before, 0) == Difference(0.0, 0.0, 0.0, 1.0)
    gain = paired_difference(before, before + 0.01, 0)
    assert (gain.gain, gain.low, gain.high, gain.p) == pytest.approx((0.01, 0.01, 0.01, 1 / 10_001))
    luck = paired_difference(before, before + rng.permutation(np.repeat([-0.5, 0.5], 200)), 0)
    assert luck.p > 0.3
    assert luck.low < 0 < luck.high
    assert not luck.certain
    assert gain.certain


def test_the_bootstrap_equals_drawing_users_one_by_one() -> None:
    rng = np.random.default_rng(1)
    difference = rng.choice([-0.3, 0.0, 0.1, 0.4], 60)
    plain = difference[rng.integers(0, 60, (20_000, 60))].mean(1)
    expected = (plain <= 1e-12).mean()
    assert 0.001 < expected < 0.5
    found = paired_difference(np.zeros(60), difference, 5)
    assert found.p == pytest.approx(expected, abs=0.015)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.01)


def test_the_interval_of_many_users_is_that_of_the_normal_distribution() -> None:
    difference = np.random.default_rng(2).normal(0.02, 0.3, 3_000)
    found = paired_difference(np.zeros(3_000), difference, 0)
    half = 1.96 * difference.std() / 3_000**0.5
    assert (found.low, found.high) == pytest.approx((found.gain - half, found.gain + half), abs=half / 10)


def test_users_are_drawn_and_not_their_requests() -> None:
    owners = np.array([0, 0, 0, 0, 1])  # four requests of one user gain, the only one of the other loses as much
    found = paired_difference(np.zeros(5), np.array([1.0, 1, 1, 1, -1]), 0, owners=owners)
    assert (found.gain, found.low, found.high) == (0.0, -1.0, 1.0)


@pytest.mark.parametrize(
    ("ends", "words"),
    [((0.01, 0.03), ""), ((-0.01, 0.03), "is not shown to be better than"), ((-0.03, -0.01), "is worse than")],
)
def test_what_does_not_beat_transitions_is_said_so(ends: tuple[float, float], words: str) -> None:
    said = beaten_words("rank", Difference(sum(ends) / 2, *ends, 0.5))
    assert words in said
    assert bool(said) == bool(words)
