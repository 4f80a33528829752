"""The batch stream: order, window, failures, and what happens when either side stops early.

All of it is `stream.py`, seen from the clients that use it.
"""

from __future__ import annotations

import time

import grpc
import pytest

from honeyguide.client import (
    AsyncClient,
    Client,
    DeadlineError,
    InputError,
    InternalError,
    ModelChangedError,
    ModelVersion,
    Ranked,
    RowFailure,
    UnavailableError,
)

BATCHES = [[f"u{b}-{n}" for n in range(3)] for b in range(9)]


def test_answers_come_in_order_one_row_for_each_user(fake):
    with Client(fake.address) as client:
        answers = list(client.recommend_stream(BATCHES, k=2))
    assert [answer.sequence for answer in answers] == list(range(9))
    assert [[row.item_ids[0] for row in answer.rows] for answer in answers] == [[f"{u}/0" for u in b] for b in BATCHES]
    assert answers[0].rows[0] == Ranked(
        ("u0-0/0", "u0-0/1"), (1.0, 0.5), ("RETRIEVED", "RETRIEVED"), "cf", "STORED", "u0-0"
    )


def test_a_batch_that_fails_leaves_the_others_unharmed(fake):
    with Client(fake.address) as client:
        first, failed, last = client.recommend_stream([["a"], ["b"] * 257, ["c"]], k=1)
    assert failed.error == RowFailure(3, "INVALID_FIELD", "batch.rows", "many")
    assert (failed.rows, failed.sequence) == ((), 1)
    assert (first.error, len(first.rows), last.rows[0].item_ids) == (None, 1, ("c/0",))


def test_a_row_that_fails_leaves_its_mates_unharmed(fake):
    with Client(fake.address) as client:
        (answer,) = client.recommend_stream([["a", "bad", "b"]], k=1)
    assert answer.rows[1] == RowFailure(3, "INVALID_FIELD", "user_id", "'bad' is bad")
    assert [type(row) for row in answer.rows] == [Ranked, RowFailure, Ranked]


def test_batches_are_read_no_further_than_the_window(fake):
    read = []

    def batches():
        for number, batch in enumerate(BATCHES):
            read.append(number)
            yield batch

    with Client(fake.address) as client:
        for done, _ in enumerate(client.recommend_stream(batches(), k=1, window=3)):
            assert len(read) <= done + 3
    assert len(read) == 9
    assert fake.most_unanswered <= 3


async def test_async_batches_may_be_asynchronous(fake):
    async def batches():
        for batch in BATCHES:
            yield batch

    async with AsyncClient(fake.address) as client:
        answers = [answer async for answer in client.recommend_stream(batches(), k=1, window=2)]
    assert [answer.rows[0].item_ids for answer in answers] == [(f"{batch[0]}/0",) for batch in BATCHES]


async def test_a_failed_stream_raises_the_typed_error_after_the_answers_that_came(fake):
    def stop(number, context):
        if number == 2:
            context.abort(grpc.StatusCode.UNAVAILABLE, "going away")

    fake.before_batch = stop
    got = []
    with Client(fake.address) as client, pytest.raises(UnavailableError):
        got.extend(answer.sequence for answer in client.recommend_stream(BATCHES, k=1))
    assert got == [0, 1]
    fake.batches = 0
    async with AsyncClient(fake.address) as client:
        answers = client.recommend_stream(BATCHES, k=1)
        got = [(await anext(answers)).sequence, (await anext(answers)).sequence]
        with pytest.raises(UnavailableError):
            await anext(answers)
    assert got == [0, 1]


async def test_a_batch_that_is_not_answered_in_time_ends_the_stream(fake):
    fake.before_batch = lambda _number, _context: fake.slow.wait(5)
    started = time.monotonic()
    with Client(fake.address) as client, pytest.raises(DeadlineError, match=r"a batch within 0\.2 s"):
        list(client.recommend_stream(BATCHES, timeout=0.2))
    async with AsyncClient(fake.address) as client:
        with pytest.raises(DeadlineError, match=r"a batch within 0\.2 s"):
            [answer async for answer in client.recommend_stream(BATCHES, timeout=0.2)]
    assert time.monotonic() - started < 3


def test_other_models_than_required_are_refused(fake):
    with Client(fake.address) as client:
        assert len(list(client.recommend_stream([["u"]], required_models=[ModelVersion("cf", 1)]))) == 1
        with pytest.raises(ModelChangedError, match="the pipeline has cf 2"):
            list(client.recommend_stream([["u"]], required_models=[ModelVersion("cf", 2)]))


def test_an_answer_with_rows_missing_or_out_of_order_is_an_error(fake):
    honest = fake.answer

    def short(batch, k):
        message = honest(batch, k)
        del message.rows[-1]
        return message

    fake.answer = short
    with Client(fake.address) as client:
        with pytest.raises(InternalError, match="batch 0 of 3 users was answered as batch 0 with 2 rows"):
            list(client.recommend_stream(BATCHES))
        fake.answer = lambda batch, k: honest(type(batch)(sequence=batch.sequence + 1, rows=batch.rows), k)
        with pytest.raises(InternalError, match="answered as batch 1"):
            list(client.recommend_stream(BATCHES))


async def test_a_stream_that_ends_early_is_an_error(fake):
    fake.answer = lambda _batch, _k: None
    with Client(fake.address) as client, pytest.raises(InternalError, match="ended before batch 0"):
        list(client.recommend_stream(BATCHES))
    async with AsyncClient(fake.address) as client:
        with pytest.raises(InternalError, match="ended before batch 0"):
            [answer async for answer in client.recommend_stream(BATCHES)]


def test_an_error_of_the_callers_batches_reaches_the_caller(fake):
    def batches():
        yield ["a"]
        raise KeyError("mine")

    with Client(fake.address) as client, pytest.raises(KeyError, match="mine"):
        list(client.recommend_stream(batches(), window=1))


async def test_a_caller_may_stop_early(fake):
    with Client(fake.address) as client:
        answers = client.recommend_stream(BATCHES, k=1)
        assert next(answers).sequence == 0
        answers.close()
        assert client.recommend("u").item_ids == ("i-u",)
    async with AsyncClient(fake.address) as client:
        answers = client.recommend_stream(BATCHES, k=1)
        assert (await anext(answers)).sequence == 0
        await answers.aclose()
        assert (await client.recommend("u")).item_ids == ("i-u",)


def test_the_window_is_one_or_more(fake):
    with Client(fake.address) as client, pytest.raises(InputError, match="allowed: 1 or more"):
        list(client.recommend_stream(BATCHES, window=0))
