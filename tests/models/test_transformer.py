from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import DAY, PLAIN, RICH, histories, small, weighty

from honeyguide.models.transformer import TransformerOptions
from honeyguide.sdk import HistoryBatch
from honeyguide.training.scoring.device import tensors

TWO_USERS = HistoryBatch(
    items=np.array([4, 5, 6, 7], np.int32),
    offsets=np.array([0, 3, 4]),
    times_ms=np.array([2 * DAY, 3 * DAY, 5 * DAY, 4 * DAY], np.int64),
)


@pytest.mark.parametrize(
    ("now", "ages"),
    [
        ([6 * DAY, 4 * DAY], [[4, 3, 1], [0, 0, 0]]),
        ([0, 5 * DAY], [[3, 2, 0], [0, 0, 1]]),  # a moment before the newest event is taken for that event's
        (None, [[3, 2, 0], [0, 0, 0]]),
    ],
)
def test_ages_are_days_from_an_event_to_now(now: list[int] | None, ages: list[list[int]]) -> None:
    batch = replace(TWO_USERS, request_times_ms=None if now is None else np.array(now, np.int64))
    arrays = small("transformer", RICH).encode(batch)
    assert arrays["ages"].tolist() == ages
    assert arrays["ages"].dtype == np.float32


def test_there_are_no_ages_without_times_or_wish() -> None:
    for model in (small("transformer", PLAIN), small("transformer", RICH, time_bias=False, ranker_time=False)):
        assert "ages" not in {spec.name for spec in model.inputs()}
        assert "ages" not in model.encode(TWO_USERS)


def test_the_moment_of_the_request_reaches_the_user_vector() -> None:
    model = small("transformer", RICH)
    network = weighty(model)
    batch = histories(RICH, [[3, 9, 4]])
    assert batch.request_times_ms is not None
    vectors = [
        network.user(tensors(model, replace(batch, request_times_ms=batch.request_times_ms + wait)))
        for wait in (0, 40 * DAY)
    ]
    assert (vectors[0] - vectors[1]).abs().max() > 1e-2


def test_the_events_of_a_basket_predict_the_next_one() -> None:
    basket = histories(RICH, [[3, 9, 4, 1, 5]])
    assert basket.times_ms is not None
    basket.times_ms[1:4] = basket.times_ms[2]
    model = small("transformer", RICH)
    network = weighty(model)
    positions = network.positions(tensors(model, basket))
    for length in range(2, 5):
        known = replace(basket.cut(np.array([0]), np.array([length])), request_times_ms=basket.times_ms[4:])
        torch.testing.assert_close(network.user(tensors(model, known)), positions[:, length - 1])


def test_the_time_bias_starts_as_none() -> None:
    networks = []
    for time_bias in (True, False):
        torch.manual_seed(0)
        networks.append((model := small("transformer", RICH, time_bias=time_bias), model.network().eval()))
    batch = histories(RICH, [[3, 9, 4]])
    with_bias, without = (network.user(tensors(model, batch)) for model, network in networks)  # type: ignore[operator]  # nn.Module types every attribute Tensor | Module
    torch.testing.assert_close(with_bias, without)


def test_the_last_position_alone_equals_the_last_of_all() -> None:
    for blocks in (1, 3):
        model = small("transformer", RICH, blocks=blocks)
        network = weighty(model)
        batch = tensors(model, histories(RICH, [[1], [2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 0, 1]]))
        torch.testing.assert_close(network.user(batch), network.positions(batch)[:, -1])


def test_heads_divide_the_dimension() -> None:
    with pytest.raises(ValueError, match="dimension is 10; allowed: a multiple of heads, which is 4"):
        TransformerOptions(dimension=10)


def test_attention_has_no_denormal_numbers_which_are_slow() -> None:
    model = small("transformer", PLAIN, max_length=300)
    network = weighty(model)
    batch = tensors(model, histories(PLAIN, [[3, 9, 4] * 100, [1]]))
    attention, _ = network.final._attend(network.events(batch), batch["tokens"] > 0, None, last=False)
    assert attention.shape[2:] == (300, 300)
    assert attention.min() * 1e-12 >= torch.finfo(torch.float32).tiny  # nor in a product with a gradient
    assert attention[1, :, -1, :-1].max() < 1e-20  # padding still counts for nothing
    assert attention[0, :, 100, 101:].max() < 1e-20  # and so does what comes later


@pytest.mark.parametrize("scale", [2e4, -2e4])
@pytest.mark.parametrize("name", ["transformer", "attention_lstm"])
def test_no_score_gets_past_the_mask(name: str, scale: float) -> None:
    model = small(name, PLAIN, max_length=300)
    network = weighty(model)
    query = network.final.query if name == "transformer" else network.query
    with torch.no_grad():
        query.weight *= scale
    long, short, other = [3, 9, 4] * 20, [1, 5, 2, 8], [1, 5, 2, 7]
    alone = network.user(tensors(model, histories(PLAIN, [short])))
    padded = network.user(tensors(model, histories(PLAIN, [long, short])))
    torch.testing.assert_close(padded[1:], alone)
    before, after = (network.positions(tensors(model, histories(PLAIN, [own])))[:, :3] for own in (short, other))
    torch.testing.assert_close(before, after)  # the last event tells no earlier position anything
