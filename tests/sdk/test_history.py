import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.history import EvaluationSet

histories = st.lists(st.lists(st.integers(0, 99), max_size=8), max_size=6)
filled = st.lists(st.lists(st.integers(0, 99), max_size=8), min_size=1, max_size=6)


def lists(batch: HistoryBatch) -> list[list[int]]:
    return [batch.items[a:b].tolist() for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def full(rows: list[list[int]]) -> HistoryBatch:
    """A batch with every column, each a function of the item, so that a column that slips is seen."""
    batch = HistoryBatch.from_lists(rows)
    return HistoryBatch(
        items=batch.items,
        offsets=batch.offsets,
        times_ms=batch.items.astype(np.int64) * 1000,
        features={"clicks": batch.items.astype(np.float32) / 10},
        event_types=batch.items % 3,
        request_times_ms=np.array([sum(row) for row in rows], np.int64),
    )


def columns_follow(batch: HistoryBatch) -> bool:
    return (
        np.array_equal(batch.times_ms, batch.items.astype(np.int64) * 1000)
        and np.array_equal(batch.features["clicks"], batch.items.astype(np.float32) / 10)
        and np.array_equal(batch.event_types, batch.items % 3)
    )


@given(histories)
def test_lists_go_in_and_come_out(rows):
    batch = HistoryBatch.from_lists(rows)
    assert lists(batch) == rows
    assert len(batch) == len(rows)
    assert batch.lengths.tolist() == [len(row) for row in rows]
    assert (batch.items.dtype, batch.offsets.dtype) == (np.int32, np.int64)


@given(histories, st.integers(1, 10))
def test_tokens_are_the_newest_rows_plus_1_padded_on_the_left(rows, max_length):
    length = max([min(len(row), max_length) for row in rows] + [1])
    naive = [[row + 1 for row in history[-max_length:]] for history in rows]
    expected = [[0] * (length - len(history)) + history for history in naive]
    tokens = HistoryBatch.from_lists(rows).tokens(max_length)
    assert tokens.dtype == np.int64
    assert tokens.shape == (len(rows), length)
    assert tokens.tolist() == expected


@given(histories, st.integers(1, 10))
def test_padded_lays_a_column_out_as_tokens_are(rows, max_length):
    batch = full(rows)
    tokens = batch.tokens(max_length)
    laid_out = batch.padded(batch.times_ms, max_length)
    assert laid_out.dtype == np.int64
    assert np.array_equal(laid_out, np.where(tokens > 0, (tokens - 1) * 1000, 0))
    table = np.stack([batch.times_ms, batch.items], axis=1)
    expected = np.stack([laid_out, batch.padded(batch.items, max_length)], axis=2)
    assert np.array_equal(batch.padded(table, max_length), expected)


@given(histories, st.integers(0, 10))
def test_newest_keeps_the_end_of_each_history(rows, count):
    batch = full(rows).newest(count)
    assert lists(batch) == [row[len(row) - min(count, len(row)) :] for row in rows]
    assert columns_follow(batch)
    assert batch.request_times_ms.tolist() == [sum(row) for row in rows]


@given(filled, st.data())
def test_take_picks_users_in_the_order_given_and_more_than_once(rows, data):
    users = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    batch = full(rows).take(np.array(users, np.int64))
    assert lists(batch) == [rows[user] for user in users]
    assert columns_follow(batch)
    assert batch.request_times_ms.tolist() == [sum(rows[user]) for user in users]


@given(filled)
def test_cut_gives_each_user_a_stretch_of_events(rows):
    batch = full(rows)
    starts, stops = batch.offsets[:-1] + batch.lengths // 3, batch.offsets[1:] - batch.lengths // 3
    cut = batch.cut(starts, stops)
    assert lists(cut) == [row[len(row) // 3 : len(row) - len(row) // 3] for row in rows]
    assert columns_follow(cut)
    assert cut.request_times_ms is None


@given(filled, st.data())
def test_only_what_is_marked_stays(rows, data):
    batch = full(rows)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(batch.items), max_size=len(batch.items))), bool)
    left = batch.only(mask)
    marks = iter(mask.tolist())
    assert lists(left) == [[item for item in row if next(marks)] for row in rows]
    assert columns_follow(left)
    assert batch.request_times_ms is left.request_times_ms


@given(filled, st.integers(1, 6))
def test_batch_equals_singles(rows, max_length):
    batch = HistoryBatch.from_lists(rows)
    together = batch.tokens(max_length)
    for user, row in enumerate(together):
        alone = batch.take(np.array([user])).tokens(max_length)[0]
        assert row[len(row) - len(alone) :].tolist() == alone.tolist()
        assert not row[: len(row) - len(alone)].any()


def test_cutting_does_not_change_the_batch():
    batch = full([[1, 2, 3], [4]])
    batch.newest(1), batch.take(np.array([1])), batch.tokens(2)
    assert lists(batch) == [[1, 2, 3], [4]]


def test_an_evaluation_set_keeps_targets_with_their_users():
    evaluation = EvaluationSet(
        histories=HistoryBatch.from_lists([[1], [2, 3], [4]]),
        target_users=np.array([0, 1, 1, 2]),
        target_items=np.array([10, 20, 21, 30], np.int32),
        user_ids=("a", "b", "c"),
    )
    part = evaluation.take(np.array([1, 2]))
    assert len(part) == 2
    assert lists(part.histories) == [[2, 3], [4]]
    assert part.target_users.tolist() == [0, 0, 1]
    assert part.target_items.tolist() == [20, 21, 30]
    assert part.user_ids == ("b", "c")


def test_a_batch_cannot_be_reassigned():
    with pytest.raises(AttributeError):
        HistoryBatch.from_lists([[1]]).items = np.zeros(1, np.int32)
