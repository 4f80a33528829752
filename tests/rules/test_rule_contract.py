"""Every installed rule keeps the contract of `honeyguide.sdk.rule.Rule`, whatever the ranking."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rankings import ranking

from honeyguide.sdk import RankedCandidates, Rule
from honeyguide.sdk.host import PluginHost

ITEMS = 15
RULES = PluginHost.load().rules
every_rule = pytest.mark.parametrize("rule", [cls(cls.Config()) for cls in RULES.values()], ids=list(RULES))


@st.composite
def rankings(draw) -> RankedCandidates:
    """One to four users with up to ten candidates, some with fewer, some with no history, items with no category."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    batch, count = draw(st.integers(1, 4)), draw(st.integers(0, 10))
    present = random.integers(0, count + 1, (batch, 1)) > np.arange(count)
    rows = np.array([random.permutation(ITEMS)[:count] for _ in range(batch)])
    scores = -np.sort(-random.normal(size=(batch, count)), axis=1)
    return ranking(
        np.where(present, scores, -np.inf),
        random.normal(size=(ITEMS, 4)),
        np.where(present, rows, -1),
        histories=[random.integers(0, ITEMS, random.integers(0, 8)).tolist() for _ in range(batch)],
        categories=[np.flatnonzero(random.random(5) < 0.3).tolist() for _ in range(ITEMS)],
    )


@every_rule
@given(given=rankings(), k=st.integers(1, 12))
def test_no_place_comes_twice_or_lacks_an_item(rule: Rule, given: RankedCandidates, k: int) -> None:
    places = rule.apply(given, k)
    assert (len(places), places.dtype.kind) == (len(given.rows), "i")
    assert places.min(initial=-1) >= -1
    assert places.max(initial=-1) < given.rows.shape[1]
    for rows, own in zip(given.rows, places, strict=True):
        kept = own[own >= 0]
        assert len(set(kept.tolist())) == len(kept)
        assert (rows[kept] >= 0).all()


@every_rule
@given(given=rankings(), k=st.integers(1, 12))
def test_batch_equals_singles(rule: Rule, given: RankedCandidates, k: int) -> None:
    together = rule.apply(given, k)
    for user in range(len(given.rows)):
        own = np.array([user])
        history = given.history.take(own)
        alone = RankedCandidates(given.rows[own], given.scores[own], given.item_vectors, history, given.categories)
        assert rule.apply(alone, k)[0].tolist() == together[user].tolist()


@every_rule
@given(given=rankings(), k=st.integers(1, 12))
def test_the_ranking_stays_as_it_was(rule: Rule, given: RankedCandidates, k: int) -> None:
    before = copy.deepcopy(given)
    rule.apply(given, k)
    for array in ("rows", "scores", "item_vectors"):
        np.testing.assert_array_equal(getattr(given, array), getattr(before, array))
    np.testing.assert_array_equal(given.history.items, before.history.items)
    np.testing.assert_array_equal(given.categories.codes, before.categories.codes)
