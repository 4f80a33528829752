import numpy as np
import pytest
import torch
from torch import Tensor

from honeyguide.models.evidence.counts import TABLES
from honeyguide.models.evidence.ranker import EvidenceRanker, places
from honeyguide.models.evidence.target_attention import TargetAttention
from honeyguide.models.sequence.options import RankerOptions
from honeyguide.sdk import DataSpec, HistoryBatch

ITEMS = 12
OPTIONS = RankerOptions(neighbours=5, events=3, ranker_hidden=8)
TOKENS = torch.tensor([[0, 3, 4, 1, 9], [0, 0, 0, 0, 7]])
CANDIDATES = torch.tensor([[2, 5, 4, 9], [1, 2, 3, 12]])

every_count = pytest.mark.parametrize("sources", [1, 3])


def ranker(sources: int, *, weighty: bool = True) -> EvidenceRanker:
    torch.manual_seed(0)
    made = EvidenceRanker(OPTIONS, DataSpec(ITEMS, repeats=False), sources)
    if weighty:
        for parameter in made.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        made.standardise.running_mean.normal_()  # type: ignore[union-attr]  # it is kept
    made.observe(HistoryBatch.from_lists([[0, 1, 2, 3, 1], [2, 3, 4], [5, 0], [8, 11]]))
    return made.eval()


def scores(sources: int) -> Tensor:
    """Returns [2, 4, S] retrieval scores; of the first user one candidate of each source is masked."""
    made = torch.randn(2, 4, sources, generator=torch.Generator().manual_seed(1)) * 3
    made[0, torch.arange(sources), torch.arange(sources)] = -1e9
    return made


@every_count
def test_candidates_may_come_in_any_order(sources: int) -> None:
    rank, order = ranker(sources), torch.tensor([2, 3, 0, 1])
    plain = rank(TOKENS, CANDIDATES, scores(sources))
    assert torch.isfinite(plain).all()
    shuffled = rank(TOKENS, CANDIDATES[:, order], scores(sources)[:, order])
    torch.testing.assert_close(shuffled, plain[:, order])


@every_count
def test_a_padded_candidate_disturbs_nobody(sources: int) -> None:
    rank = ranker(sources)
    padded = rank(
        TOKENS,
        torch.cat([CANDIDATES, torch.zeros(2, 3, dtype=torch.int64)], 1),
        torch.cat([scores(sources), torch.tensor([50.0, 0.0, -50.0])[None, :, None].expand(2, 3, sources)], 1),
    )
    torch.testing.assert_close(padded[:, :4], rank(TOKENS, CANDIDATES, scores(sources)))


@every_count
def test_the_worst_candidate_may_be_left_out(sources: int) -> None:
    rank, given = ranker(sources), scores(sources)
    given[:, 3] = -2e9
    torch.testing.assert_close(rank(TOKENS, CANDIDATES[:, :3], given[:, :3]), rank(TOKENS, CANDIDATES, given)[:, :3])


def test_places_count_the_better_ones() -> None:
    retrieved = torch.randint(0, 6, (5, 40), generator=torch.Generator().manual_seed(0)).float()  # many are equal
    better = (retrieved[:, None, :] > retrieved[:, :, None]).sum(2)
    assert torch.equal(places(retrieved), better.float())
    assert torch.equal(places(retrieved[:, :1]), torch.zeros(5, 1))


@every_count
def test_once_learnt_features_are_standardised_as_while_learning(sources: int) -> None:
    rank = ranker(sources)
    rank.dropout.p = 0.0
    served = rank(TOKENS, CANDIDATES, scores(sources))
    rank.train()
    rank.standardise.eval()  # by what was learnt, not by the batch
    torch.testing.assert_close(served, rank(TOKENS, CANDIDATES, scores(sources)))


@every_count
def test_a_large_catalogue_gets_the_same_scores(sources: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ranker(sources)
    expected = small(TOKENS, CANDIDATES, scores(sources))
    monkeypatch.setattr("honeyguide.models.evidence.ranker.CELLS", ITEMS)
    large = ranker(sources, weighty=False)
    large.observe(HistoryBatch.from_lists([[0]]))
    large.load_state_dict(small.state_dict())  # a checkpoint that knows of no slots
    assert large.slots.any()
    assert torch.equal(large(TOKENS, CANDIDATES, scores(sources)), expected)


@every_count
def test_every_source_is_heard(sources: int) -> None:
    rank = ranker(sources)
    for source in range(sources):
        changed = scores(sources)
        changed[1, 2, source] += 1.0
        assert (rank(TOKENS, CANDIDATES, changed) - rank(TOKENS, CANDIDATES, scores(sources))).abs().max() > 1e-3


@every_count
def test_it_begins_as_the_mean_of_the_logits(sources: int) -> None:
    rank = ranker(sources, weighty=False)
    given = scores(sources)
    expected = (given - given.amax(1, keepdim=True)).clamp(-30.0).mean(2)
    torch.testing.assert_close(rank(TOKENS, CANDIDATES, given), expected)


def test_what_a_candidate_attends_to_counts() -> None:
    torch.manual_seed(0)
    made = EvidenceRanker(OPTIONS, DataSpec(ITEMS, repeats=False), attention=TargetAttention(6, 4)).eval()
    torch.nn.init.normal_(made.linear.weight)
    events, items = torch.randn(ITEMS + 1, 6), torch.randn(ITEMS, 6)
    plain = made(TOKENS, CANDIDATES, scores(1), (events, items))
    events[9] += 1.0  # the first user's newest event
    other = made(TOKENS, CANDIDATES, scores(1), (events, items))
    assert (plain[0] - other[0]).abs().min() > 1e-4
    assert torch.equal(plain[1], other[1])


def test_it_sees_what_followed_the_newest_events() -> None:
    made = ranker(1)
    made.observe(HistoryBatch.from_lists([[0, 1], [0, 1], [0, 1], [2, 3]]))
    found = made.evidence(torch.tensor([[0, 3, 1]]), torch.tensor([[2, 4]]))  # after items 2, 0: item 1 or 3?
    by_event = found.reshape(2, 3, -1)  # [candidates, newest events, tables]
    assert by_event[0, 2, 0] > 0  # item 1 came right after item 0
    assert by_event[1, 2, 0] == 0
    assert by_event[1, 1, 0] > 0  # item 3 came right after item 2
    assert (by_event[:, 0] == 0).all()  # padding


def test_popularity_is_that_of_the_histories() -> None:
    counts = torch.tensor([2, 2, 2, 2, 1, 1, 0, 0, 1, 0, 0, 1])
    torch.testing.assert_close(ranker(1).log_popularity, torch.log1p(torch.cat([torch.zeros(1), counts])))


@pytest.mark.parametrize(("items", "kept"), [(30, 30), (50_000, 200), (400_000, 25)])
def test_the_evidence_of_a_large_catalogue_stays_within_bounds(items: int, kept: int) -> None:
    assert EvidenceRanker(RankerOptions(), DataSpec(items, repeats=False)).neighbours.shape == (items + 1, kept)


def test_where_the_data_has_times_what_gains_can_be_told_from_what_fades() -> None:
    made = EvidenceRanker(OPTIONS, DataSpec(ITEMS, repeats=False, has_time=True)).eval()
    items = np.array([1] * 30 + [2] * 30, np.int32)  # equally popular; item 2 came later
    made.observe(HistoryBatch(items, np.arange(61), times_ms=np.arange(60) * 86_400_000))
    tokens, candidates, given = torch.tensor([[5]]), torch.tensor([[2, 3]]), torch.zeros(1, 2, 1)
    assert (made(tokens, candidates, given) == 0).all()  # ranking begins as retrieval
    torch.nn.init.ones_(made.linear.weight[:, -2])
    fades, gains = made(tokens, candidates, given)[0].tolist()
    assert gains > fades


def timed_ranker(**options: bool) -> EvidenceRanker:
    torch.manual_seed(0)
    data = DataSpec(ITEMS, repeats=False, has_time=True)
    made = EvidenceRanker(RankerOptions(neighbours=5, events=3, ranker_hidden=8, **options), data)
    made.observe(HistoryBatch.from_lists([[8, 1], [8, 1], [6, 3], [6, 3]]))  # without times: no trend
    return made.eval()


def test_evidence_of_an_event_counts_for_less_the_longer_ago_it_was() -> None:
    made = timed_ranker(ranker_time=True)
    column = made.linear.weight.shape[1] - len(TABLES)  # of the table "next", decayed
    torch.nn.init.ones_(made.linear.weight[:, column])
    tokens, candidates, given = torch.tensor([[0, 0, 9]]), torch.tensor([[2, 5]]), torch.zeros(1, 2, 1)
    gains = []
    seconds = torch.tensor([0.0, 30.0, 86_400.0])
    for days in (seconds / 86_400.0).tolist():
        with_evidence, without = made(tokens, candidates, given, ages=torch.tensor([[0.0, 0.0, days]]))[0]
        gains.append(with_evidence - without)
    assert gains[0] > 0
    torch.testing.assert_close(torch.stack(gains), gains[0] * (1.0 + seconds) ** -0.1)


def test_how_long_ago_the_newest_events_were_is_read_and_padding_is_not() -> None:
    made = timed_ranker(ranker_time=True)
    torch.nn.init.normal_(made.linear.weight)
    tokens, candidates, given = torch.tensor([[0, 5, 9]]), torch.tensor([[2, 5]]), torch.zeros(1, 2, 1)
    second = 1.0 / 86_400.0
    plain = made(tokens, candidates, given, ages=torch.tensor([[0.0, 3.0, second]]))
    older = made(tokens, candidates, given, ages=torch.tensor([[0.0, 9.0, second]]))
    slower = made(tokens, candidates, given, ages=torch.tensor([[0.0, 3.0, 20.0 * second]]))
    padding = made(tokens, candidates, given, ages=torch.tensor([[7.0, 3.0, second]]))
    assert (plain - older).abs().min() > 1e-3
    assert (plain - slower).abs().min() > 1e-2
    assert torch.equal(plain, padding)


def test_time_is_read_where_it_is_asked_for_and_there_is_any() -> None:
    tokens, candidates, given = torch.tensor([[0, 5, 9]]), torch.tensor([[2, 5]]), torch.zeros(1, 2, 1)
    with pytest.raises(ValueError, match="ranker_time is on, and the ages"):
        timed_ranker(ranker_time=True)(tokens, candidates, given)
    off = timed_ranker(ranker_time=False)
    torch.nn.init.normal_(off.linear.weight)
    ages = torch.tensor([[0.0, 9.0, 1.0]])
    assert torch.equal(off(tokens, candidates, given, ages=ages), off(tokens, candidates, given))
    timeless = EvidenceRanker(RankerOptions(ranker_time=True), DataSpec(ITEMS, repeats=False))
    assert not timeless.timed
