"""The two ends of a sequence network, as the options of `options.py` shape them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_models import PLAIN, RICH, histories, small
from torch import nn
from torch.nn import functional

from honeyguide.models.gru import GruOptions
from honeyguide.models.sequence.softmax import sampled_softmax_loss
from honeyguide.models.sequence.tower import EventEmbedding, ItemHead
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.training.scoring.device import tensors


def head(items: int, **options: int) -> ItemHead:
    torch.manual_seed(0)
    config = GruOptions(dimension=4, **options)  # type: ignore[arg-type]  # the options given are integers
    data = DataSpec(items=items, repeats=True)
    return ItemHead(config, data, EventEmbedding(config, data))


@pytest.mark.parametrize(
    ("items", "options", "negatives"),
    [
        (50_000, {}, 0),
        (50_001, {}, 4096),
        (50_001, {"negatives": 0}, 0),
        (30, {"negatives": 7}, 7),
        (30, {"negatives": 64}, 30),
    ],
)
def test_the_catalogues_size_chooses_the_softmax_unless_the_option_does(
    items: int, options: dict[str, int], negatives: int
) -> None:
    made = head(items, **options)
    assert made.negatives == negatives
    assert (made.bias is None) is (negatives > 0)
    assert made.items().shape == (items, 4 if negatives else 5)


def test_with_drawn_negatives_a_score_is_a_cosine_over_a_temperature() -> None:
    made = head(30, negatives=8)
    hidden = torch.randn(5, 3, 4)
    torch.testing.assert_close(made.items().norm(dim=1), torch.ones(30))
    assert made.table is not None
    scores = made.users(hidden) @ made.items().T
    cosines = functional.cosine_similarity(made.norm(hidden)[:, :, None], made.table[None, None], dim=3)
    torch.testing.assert_close(scores, 20.0 * cosines)


def test_with_the_whole_catalogue_a_score_is_an_inner_product_and_a_bias() -> None:
    made = head(30)
    nn.init.normal_(made.bias)  # type: ignore[arg-type]  # it is there without negatives
    hidden = torch.randn(5, 3, 4)
    expected = made.norm(hidden) @ made.vectors().T + made.bias
    torch.testing.assert_close(made.users(hidden) @ made.items().T, expected)


def test_half_of_the_negatives_are_drawn_by_popularity_and_half_evenly() -> None:
    made = head(4, negatives=2)
    torch.testing.assert_close(made.frequency, torch.full((4,), 0.25))
    made.observe(HistoryBatch.from_lists([[0, 0, 0], [1]]))
    torch.testing.assert_close(made.frequency, torch.tensor([0.5, 0.25, 0.125, 0.125]))
    made.observe(HistoryBatch.from_lists([[2]]))
    torch.testing.assert_close(made.frequency, torch.tensor([0.125, 0.125, 0.625, 0.125]))


@pytest.mark.parametrize("weighed", [False, True])
def test_the_loss_corrects_each_negative_by_how_often_it_is_drawn(weighed: bool) -> None:
    made = head(12, negatives=6)
    made.observe(HistoryBatch.from_lists([[0, 0, 0, 5], [1]]))
    tokens, targets = torch.tensor([[0, 3, 4], [1, 2, 7]]), torch.tensor([[0, 4, 9], [2, 7, 0]])
    hidden, weights = torch.randn(2, 3, 4), torch.rand(2, 3) * 2
    chosen = targets > 0
    batch = {"tokens": tokens, "targets": targets} | ({"weights": weights} if weighed else {})
    torch.manual_seed(5)
    loss = made.loss(hidden, batch)
    torch.manual_seed(5)
    drawn = torch.multinomial(made.frequency, 6, replacement=True)
    expected = sampled_softmax_loss(
        made.users(hidden[chosen]),
        made.items(),
        targets[chosen] - 1,
        drawn,
        6 * made.frequency[drawn],
        weights[chosen] if weighed else None,
    )
    torch.testing.assert_close(loss, expected)


def test_an_event_is_its_item_and_what_else_is_known_of_it() -> None:
    model = small("transformer", RICH, dropout=0.5)
    torch.manual_seed(0)
    events = EventEmbedding(model.config, RICH, waits=True).eval()
    batch = tensors(model, histories(RICH, [[3], [1, 2]]))
    found = events(batch)
    assert events.numbers is not None
    assert events.types is not None
    item = functional.layer_norm(events.vectors()[[2, 3]], (16,))
    numbers = batch["numbers"][1] @ events.numbers.weight.T + events.numbers.bias
    assert events.waits is not None
    rest = events.types.weight[batch["types"][1]] + events.waits.weight[batch["waits"][1]]
    torch.testing.assert_close(found[1], item + numbers + rest)
    assert (found[0, 0] == 0).all()  # padding
    plain = EventEmbedding(model.config, PLAIN, waits=True)
    assert plain.numbers is None
    assert plain.types is None
    assert plain.waits is None


def test_an_event_with_a_wait_that_no_training_event_has_is_read_with_the_nearest() -> None:
    model = small("transformer", RICH)
    torch.manual_seed(0)
    events = EventEmbedding(model.config, RICH, waits=True).eval()
    assert events.waits is not None
    nn.init.normal_(events.waits.weight)
    one = histories(RICH, [[3]])
    assert one.times_ms is not None
    events.observe(replace(histories(RICH, [[1, 2, 3]]), times_ms=np.array([0, 1_000, 61_000])))

    def vector(wait_ms: int) -> torch.Tensor:
        return events(tensors(model, replace(one, request_times_ms=one.times_ms + wait_ms)))

    torch.testing.assert_close(vector(5), vector(1_000))
    torch.testing.assert_close(vector(9_000_000_000), vector(60_000))
    assert (vector(5) - vector(60_000)).abs().max() > 0.1


def test_both_ends_are_of_the_same_size_at_first() -> None:
    torch.manual_seed(0)
    events = EventEmbedding(GruOptions(), DataSpec(items=500, repeats=True)).eval()
    sizes = events({"tokens": torch.arange(1, 501)[None]}).square().mean(2).sqrt()
    np.testing.assert_allclose(sizes.detach().numpy(), 1.0, atol=0.05)
