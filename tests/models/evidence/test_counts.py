import math

import numpy as np
import pytest

from honeyguide.models.evidence.counts import TABLES, Evidence, Table, item_evidence, item_trends
from honeyguide.sdk import HistoryBatch


def lift(evidence: Evidence, source: int, target: int) -> dict[str, float]:
    """Returns the kept lifts of one pair by table; 0 where it was not kept."""
    place = np.flatnonzero(evidence.neighbours[source] == target + 1)
    values = evidence.lifts[source, place[0]] if len(place) else np.zeros(len(TABLES))
    return {table.name: float(value) for table, value in zip(TABLES, values, strict=True)}


def expected(count: float, source: float, target: float, total: float, doubt: float) -> float:
    return max(0.0, math.log((count + doubt) / (source * target / total + doubt)))


def test_lifts_equal_a_count_by_hand() -> None:
    # next: 0→1 twice, 1→2 once, 2→0 once; soon (lag 2): 0→2, 1→0
    evidence = item_evidence(HistoryBatch.from_lists([[0, 1, 2, 0], [0, 1]]), 3, 3)
    assert lift(evidence, 0, 1)["next"] == np.float32(expected(2, 2, 2, 4, 1.0))
    assert lift(evidence, 1, 2)["next"] == np.float32(expected(1, 1, 1, 4, 1.0))
    # lags 2 and 3, weights 1 and .7: 0→2 (1), 1→0 (1), 0→0 (.7)
    assert lift(evidence, 0, 2)["soon"] == np.float32(expected(1, 1.7, 1, 2.7, 2.0))
    # before, lags −1 (4 pairs), −2 (2 pairs of .7), −3 (1 of .49): 2→1 once at −1; 2→0 and 0→1 at −2
    wanted = expected(1, 1 + 0.7, 1 + 0.7, 4 + 2 * 0.7 + 0.49, 2.0)
    assert lift(evidence, 2, 1)["before"] == np.float32(wanted)


def test_direction_matters() -> None:
    evidence = item_evidence(HistoryBatch.from_lists([[0, 1]] * 20 + [[2, 3]] * 20), 4, 4)
    there, back = lift(evidence, 0, 1), lift(evidence, 1, 0)
    assert there["next"] > 0
    assert there["before"] == 0
    assert back["next"] == 0
    assert back["before"] > 0
    assert there["together"] == back["together"] > 0


def test_an_item_that_follows_itself_counts() -> None:
    evidence = item_evidence(HistoryBatch.from_lists([[0, 0], [0, 0], [1, 2]]), 3, 3)
    assert lift(evidence, 0, 0)["next"] > 0


def test_items_of_one_step_did_not_follow_each_other() -> None:
    histories = HistoryBatch(
        items=np.array([0, 1, 2] * 20 + [3, 4, 0], np.int32),
        offsets=np.arange(0, 64, 3),
        times_ms=np.array([10, 10, 20] * 20 + [20, 30, 40], np.int64),  # the last user begins when the others end
    )
    evidence = item_evidence(histories, 5, 5)
    assert lift(evidence, 0, 1)["next"] == lift(evidence, 0, 1)["soon"] == 0
    assert lift(evidence, 0, 1)["together"] > 0
    assert lift(evidence, 0, 2)["soon"] > 0
    assert lift(evidence, 1, 2)["next"] > 0


def test_users_are_never_joined() -> None:
    evidence = item_evidence(HistoryBatch.from_lists([[0], [1], [0], [1]]), 2, 2)
    assert (evidence.neighbours == 0).all()
    assert (evidence.lifts == 0).all()


def test_the_strongest_neighbours_are_kept() -> None:
    histories = HistoryBatch.from_lists([[0, 1]] * 9 + [[0, 2]] * 5 + [[0, 3]] + [[4, 5]] * 9)
    evidence = item_evidence(histories, 6, 2)
    assert set(evidence.neighbours[0].tolist()) == {2, 3}
    assert evidence.neighbours.shape == (6, 2)


def test_counting_in_blocks_equals_counting_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    histories = HistoryBatch.from_lists([rng.integers(0, 30, n).tolist() for n in rng.integers(1, 40, 50)])
    whole = item_evidence(histories, 30, 30)
    monkeypatch.setattr("honeyguide.models.evidence.counts._EVENTS", 60)
    blocks = item_evidence(histories, 30, 30)
    for row in range(30):
        assert dict(zip(whole.neighbours[row], whole.lifts[row, :, 0], strict=True)) == dict(
            zip(blocks.neighbours[row], blocks.lifts[row, :, 0], strict=True)
        )


def test_every_table_says_which_events_it_looks_at() -> None:
    assert len({table.name for table in TABLES}) == len(TABLES)
    for table in TABLES:
        assert isinstance(table, Table)
        assert 0 not in table.lags
        assert all(weight > 0 for weight in table.lags.values())


def test_trends_equal_a_count_by_hand() -> None:
    day = 86_400_000
    histories = HistoryBatch(
        items=np.array([0] * 9 + [1] + [0] * 9 + [1], np.int32),  # item 1 is met on the last day alone, item 2 never
        offsets=np.array([0, 10, 20]),
        times_ms=np.tile(np.arange(10) * day, 2),
    )
    trend, age = item_trends(histories, 3).T
    assert trend.tolist() == pytest.approx([math.log(5 / (18 * 0.1 + 5)), math.log(7 / (2 * 0.1 + 5)), 0.0])
    assert age.tolist() == pytest.approx([math.log(2), 0.0, math.log(10)])


def test_without_events_or_times_there_is_no_trend() -> None:
    nothing = HistoryBatch(np.empty(0, np.int32), np.zeros(1, np.int64), times_ms=np.empty(0, np.int64))
    for histories in (nothing, HistoryBatch.from_lists([[0, 1]])):
        assert (item_trends(histories, 3) == np.zeros((3, 2))).all()
    assert (item_evidence(nothing, 3, 3).neighbours == 0).all()
