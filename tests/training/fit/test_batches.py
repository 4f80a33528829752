import numpy as np
import pytest
import torch

from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.batches import TrainingBatches, buckets, find_baskets


def batches(host: PluginHost, histories: HistoryBatch, *, max_length: int = 5, tokens: int = 12) -> TrainingBatches:
    cls = host.model("tiny")
    model = cls(cls.Config(max_length=max_length), DataSpec(items=100, repeats=False))
    return TrainingBatches(model, histories, tokens=tokens, seed=3)


def pairs(made: TrainingBatches, epoch: int) -> list[tuple[int, int]]:
    out = []
    for batch in made.epoch(epoch):
        assert batch["tokens"].shape == batch["targets"].shape
        valid = batch["tokens"] > 0
        assert torch.equal(valid, batch["targets"] > 0)
        out += list(zip(batch["tokens"][valid].tolist(), batch["targets"][valid].tolist(), strict=True))
    return sorted(out)


def test_every_event_predicts_the_next_exactly_once(host: PluginHost) -> None:
    histories = HistoryBatch.from_lists([list(range(13)), [], [50], [20, 21], list(range(30, 36))])
    expected = [(i + 1, i + 2) for i in range(12)] + [(21, 22)] + [(i + 1, i + 2) for i in range(30, 35)]
    made = batches(host, histories)
    assert pairs(made, 0) == expected
    assert made.positions == len(expected)


def test_windows_are_cut_from_the_newest_end(host: PluginHost) -> None:
    (batch,) = batches(host, HistoryBatch.from_lists([list(range(13))]), tokens=100).epoch(0)
    rows = sorted(batch["tokens"].tolist())
    assert rows == [[0, 0, 0, 1, 2], [3, 4, 5, 6, 7], [8, 9, 10, 11, 12]]


def test_equal_times_are_one_step_and_the_target_is_drawn_from_the_next(host: PluginHost) -> None:
    histories = HistoryBatch(
        items=np.array([0, 1, 2, 3, 4, 9], np.int32),
        offsets=np.array([0, 5, 6]),
        times_ms=np.array([10, 10, 20, 20, 30, 30], np.int64),  # the second user's time equals the first one's last
    )
    baskets = find_baskets(histories)
    assert baskets.offsets.tolist() == [0, 2, 4, 5, 6]
    assert baskets.users.tolist() == [0, 3, 4]
    made = batches(host, histories)
    seen = {pair for epoch in range(30) for pair in pairs(made, epoch)}
    assert seen == {(1, 3), (1, 4), (2, 3), (2, 4), (3, 5), (4, 5)}


def test_now_is_the_moment_of_the_target(host: PluginHost) -> None:
    histories = HistoryBatch(
        items=np.arange(4, dtype=np.int32), offsets=np.array([0, 4]), times_ms=np.array([1, 2, 3, 9], np.int64)
    )
    windows = batches(host, histories).epoch(0).windows
    assert windows.request_times_ms is not None
    assert windows.request_times_ms.tolist() == [9]


def test_now_is_the_moment_of_the_target_also_where_a_window_ends_within_a_basket(host: PluginHost) -> None:
    times = np.array([10, 20, 30, 30, 30, 40, 50], np.int64)
    history = HistoryBatch(np.arange(7, dtype=np.int32), np.array([0, 7]), times_ms=times)
    windows = batches(host, history, max_length=3).epoch(0).windows
    assert windows.items.tolist() == [0, 1, 2, 3, 4, 5]
    assert windows.request_times_ms is not None
    assert windows.request_times_ms.tolist() == [40, 50]


def test_seed_and_epoch_fix_the_batches(host: PluginHost) -> None:
    rng = np.random.default_rng(0)
    histories = HistoryBatch.from_lists([rng.integers(0, 100, n).tolist() for n in rng.integers(2, 9, 40)])
    one, two = batches(host, histories), batches(host, histories)
    for a, b in zip(one.epoch(4), two.epoch(4), strict=True):
        assert torch.equal(a["tokens"], b["tokens"])
        assert torch.equal(a["targets"], b["targets"])
    assert len(one.epoch(0)) == len(one.epoch(1))
    assert any(
        a["tokens"].shape != b["tokens"].shape or not torch.equal(a["tokens"], b["tokens"])
        for a, b in zip(one.epoch(0), one.epoch(1), strict=True)
    )


def test_buckets_hold_each_row_once_and_hardly_any_padding() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 200, 5000)
    parts = buckets(lengths, 4096, rng)
    assert sorted(np.concatenate(parts).tolist()) == list(range(5000))
    computed = [len(part) * lengths[part].max() for part in parts]
    assert max(computed) <= 4096
    assert sum(computed) < 1.02 * lengths.sum()


def test_rows_bound_a_bucket_and_a_long_row_stands_alone() -> None:
    rng = np.random.default_rng(1)
    assert sorted(len(p) for p in buckets(np.array([9, 1, 1, 1, 1]), 4, rng, rows=3)) == [1, 1, 3]


def test_nothing_to_predict_is_said(host: PluginHost) -> None:
    with pytest.raises(DataError, match="no user has two baskets"):
        batches(host, HistoryBatch.from_lists([[1], [], [2]]))


def shop(host: PluginHost, target_weight: str) -> tuple[HistoryBatch, TrainingBatches]:
    """Deals out events whose item, weight and basket are easy to tell apart; users have baskets of two and of one."""
    histories = HistoryBatch(
        items=np.arange(12, dtype=np.int32),
        offsets=np.array([0, 5, 12]),
        times_ms=np.array([1, 1, 2, 2, 3, 1, 2, 2, 3, 4, 4, 5], np.int64),
        features={"dwell_seconds": np.linspace(-2, 200, 12, dtype=np.float32)},
        event_types=np.array([0, 1, 2, 1, 2, 1, 1, 2, 0, 2, 1, 1], np.int32),
    )
    spec = DataSpec(
        items=12,
        repeats=False,
        has_time=True,
        event_types=("ad:view", "buy"),
        features=(FeatureScaler("dwell_seconds", 0.0, 0.0, 9.0, log=False, mean=0.0, std=1.0),),
    )
    cls = host.model("tiny")
    model = cls(cls.Config(max_length=3), spec)
    return histories, TrainingBatches(model, histories, tokens=6, seed=3, target_weight=target_weight)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("dwell_seconds", 2 / (1 + np.exp(-np.linspace(-2, 200, 12)))),
        ("buy:3,ad:view:0.5", np.array([1, 0.5, 3])[[0, 1, 2, 1, 2, 1, 1, 2, 0, 2, 1, 1]]),
        ("buy:3", np.array([1, 1, 3])[[0, 1, 2, 1, 2, 1, 1, 2, 0, 2, 1, 1]]),
    ],
)
def test_a_weight_is_that_of_the_target_that_was_drawn(host: PluginHost, rule: str, expected: np.ndarray) -> None:
    _, made = shop(host, rule)
    for epoch in range(8):
        targets, weights = [], []
        for batch in made.epoch(epoch):
            real = batch["targets"] > 0
            assert batch["weights"].dtype == torch.float32
            assert (batch["weights"][~real] == 0).all()
            targets += (batch["targets"][real] - 1).tolist()
            weights += batch["weights"][real].tolist()
        assert len(weights) == made.positions
        np.testing.assert_allclose(weights, expected[targets] / expected[targets].mean(), rtol=1e-5)


def test_batches_without_weights_are_the_same_but_for_these(host: PluginHost) -> None:
    for plain, weighed in zip(shop(host, "")[1].epoch(2), shop(host, "buy:3")[1].epoch(2), strict=True):
        assert plain.keys() == {"tokens", "targets", "earlier"}
        assert weighed.keys() - plain.keys() == {"weights"}
        assert all(torch.equal(plain[name], weighed[name]) for name in plain)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            "dwell",
            "'dwell'; the data's features: dwell_seconds, and the data's event types: ad:view, buy, to be weighed",
        ),
        ("sell:3", "'sell:3'; the data's event types: ad:view, buy"),
        ("buy:3,", "the data's event types: ad:view, buy"),
        ("ad:view", "'ad:view'; the data's event types"),
        ("buy:much", "'much' is no weight; allowed: numbers above 0"),
        ("buy:0", "'0' is no weight"),
        ("buy:inf", "'inf' is no weight"),
    ],
)
def test_a_wrong_weight_is_named_with_what_exists(host: PluginHost, rule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shop(host, rule)
