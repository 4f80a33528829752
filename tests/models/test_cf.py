import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from honeyguide.models.cf import CollaborativeFiltering, Config
from honeyguide.models.cf_network import CollaborativeNetwork
from honeyguide.sdk import DataSpec, EvaluationSet, HistoryBatch, config_from, config_to
from honeyguide.sdk.errors import ConfigError
from honeyguide.training.evaluate import score_all
from honeyguide.training.fit import FitOptions, fit
from honeyguide.training.train import train

SMALL = Config(dimension=16, max_length=8, neighbours=5, events=3, attended=4, ranker_hidden=8)
ITEMS = 12


def make(
    items: int = ITEMS, *, repeats: bool = False, config: Config = SMALL
) -> tuple[CollaborativeFiltering, CollaborativeNetwork]:
    """Builds an untrained network whose every weight matters."""
    model = CollaborativeFiltering(config, DataSpec(items=items, repeats=repeats))
    torch.manual_seed(0)
    network = model.network()
    assert isinstance(network, CollaborativeNetwork)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    network.observe(HistoryBatch.from_lists([[0, 1, 2, 3, 1], [2, 3, 4], [5 % items, 0]] if items > 4 else [[0, 1, 0]]))
    return model, network.eval()


def tokens(*rows: list[int]) -> dict[str, torch.Tensor]:
    return {"tokens": torch.tensor(rows)}


@pytest.mark.parametrize("length", [1, 2, 5, 8])
def test_user_is_the_last_position(length: int) -> None:
    _, network = make()
    batch = {"tokens": torch.randint(1, ITEMS + 1, (4, length))}
    torch.testing.assert_close(network.user(batch), network.positions(batch)[:, -1])


def test_a_position_knows_only_what_came_before() -> None:
    _, network = make()
    whole = network.positions(tokens([3, 9, 4, 7]))
    for length in range(1, 5):
        torch.testing.assert_close(network.user(tokens([3, 9, 4, 7][:length])), whole[:, length - 1])


def test_padding_changes_nothing() -> None:
    _, network = make()
    candidates, scores = torch.tensor([[1, 4, 7]]), torch.tensor([[[3.0], [1.0], [2.0]]])
    short, padded = tokens([3, 9]), tokens([0, 0, 0, 3, 9])
    torch.testing.assert_close(network.user(short), network.user(padded))
    torch.testing.assert_close(network.positions(short), network.positions(padded)[:, -2:])
    torch.testing.assert_close(network.rank(short, candidates, scores), network.rank(padded, candidates, scores))


def test_batch_equals_singles() -> None:
    model, network = make()
    histories = HistoryBatch.from_lists([[1], [2, 3, 4], [5, 6, 7, 8, 9, 10, 11, 0, 1, 2]])
    together, _ = score_all(model, network, histories)
    for row in range(3):
        alone, _ = score_all(model, network, histories.take(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-6)


def test_a_score_is_the_inner_product_with_the_bias_in_it() -> None:
    _, network = make()
    user = network.user(tokens([3, 9]))
    expected = user[:, :-1] @ network.table_out.T + network.bias
    torch.testing.assert_close(user @ network.items().T, expected)


def test_candidates_may_come_in_any_order_and_padding_disturbs_nobody() -> None:
    _, network = make()
    batch = tokens([3, 4, 1])
    candidates, scores = torch.tensor([[2, 5, 4, 9]]), torch.tensor([[[3.0], [1.0], [2.0], [-1e9]]])
    plain = network.rank(batch, candidates, scores)
    order = torch.tensor([2, 3, 0, 1])
    torch.testing.assert_close(network.rank(batch, candidates[:, order], scores[:, order]), plain[:, order])
    padded = network.rank(
        batch,
        torch.cat([candidates, torch.zeros(1, 1, dtype=torch.int64)], 1),
        torch.cat([scores, torch.full((1, 1, 1), 50.0)], 1),
    )
    torch.testing.assert_close(padded[:, :-1], plain)
    assert torch.isfinite(plain).all()


def test_ranking_begins_as_retrieval() -> None:
    model = CollaborativeFiltering(SMALL, DataSpec(items=ITEMS, repeats=False))
    network = model.network().eval()
    assert isinstance(network, CollaborativeNetwork)
    scores = torch.tensor([[[3.0], [1.0], [2.5]]])
    ranked = network.rank(tokens([3, 4, 1]), torch.tensor([[2, 5, 4]]), scores)
    torch.testing.assert_close(ranked, scores[:, :, 0] - 3.0)


def test_the_ranker_sees_what_followed_the_newest_events() -> None:
    _, network = make(repeats=True)
    network.observe(HistoryBatch.from_lists([[0, 1], [0, 1], [0, 1], [2, 3]]))
    evidence = network.ranker.evidence(
        torch.tensor([[0, 3, 1]]), torch.tensor([[2, 4]])
    )  # after items 2, 0: item 1 or 3?
    newest_first_table = evidence.reshape(2, 3, -1)[:, 2, 0]
    assert newest_first_table[0] > 0  # item 1 came right after item 0
    assert newest_first_table[1] == 0
    assert evidence.reshape(2, 3, -1)[1, 1, 0] > 0  # item 3 came right after item 2


def test_an_item_seen_is_left_out_of_the_softmax_unless_the_data_repeats() -> None:
    batch = tokens([0, 5, 6]) | {"targets": torch.tensor([[0, 6, 7]]), "earlier": torch.tensor([[2, 3]])}
    gradients = []
    for repeats in (False, True):
        _, network = make(repeats=repeats)
        network.loss(batch).backward()
        assert network.bias.grad is not None
        gradients.append(network.bias.grad)
    assert gradients[0][[1, 2, 4]].tolist() == [
        0.0,
        0.0,
        0.0,
    ]  # tokens 2, 3 before the window, 5 from its first event on
    assert gradients[0][5] < 0  # token 6 was the first target, and is masked only after it
    assert (gradients[1][[0, 1, 2, 3]] > 0).all()


def walks(seed: int, count: int, items: int) -> tuple[HistoryBatch, EvaluationSet]:
    """Walks along the even or along the odd items: two places on is always next."""
    rng = np.random.default_rng(seed)
    lists = [
        [int(s + 2 * i) % items for i in range(n + 1)]
        for s, n in zip(rng.integers(0, items, count), rng.integers(4, 9, count), strict=True)
    ]
    training = HistoryBatch.from_lists([walk[:-1] for walk in lists])
    return training, EvaluationSet(training, np.arange(count), np.array([walk[-1] for walk in lists], np.int32))


@pytest.mark.parametrize("repeats", [False, True])
def test_the_checkerboard_is_learnt(repeats: bool) -> None:
    model = CollaborativeFiltering(replace(SMALL, dropout=0.1), DataSpec(items=24, repeats=repeats))
    torch.manual_seed(0)
    network = model.network()
    options = FitOptions.for_model(CollaborativeFiltering, {"lr": 0.03, "min_batches": 20, "epochs": 5})
    result = fit(model, network, *walks(7, 120, 24), options)
    assert max(result.scores) > 0.97
    scores, _ = score_all(model, network, HistoryBatch.from_lists([[1, 3, 5], [18, 20, 22], [19, 21, 23]]))
    assert scores.argmax(1).tolist() == [7, 0, 1]


@pytest.mark.parametrize("items", [2, 3, 7])
def test_a_catalogue_smaller_than_every_option_is_trained(items: int) -> None:
    rng = np.random.default_rng(0)
    training = HistoryBatch.from_lists([rng.integers(0, items, 9).tolist() for _ in range(30)])
    validation = EvaluationSet(training, np.arange(30), rng.integers(0, items, 30).astype(np.int32))
    model = CollaborativeFiltering(Config(dimension=8), DataSpec(items=items, repeats=True))
    trained = train(
        model,
        training,
        validation,
        FitOptions.for_model(CollaborativeFiltering, {"epochs": 1, "final_epochs": 1, "min_batches": 2}),
    )
    assert trained.metrics["retrieve/hr@10"] == 1.0  # ten places hold them all


def test_what_was_observed_before_is_forgotten() -> None:
    _, network = make()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.observe(HistoryBatch.from_lists([[7, 8, 9]]))
    assert not torch.equal(network.ranker.lifts, before["ranker.lifts"])
    network.observe(HistoryBatch.from_lists([[0, 1, 2, 3, 1], [2, 3, 4], [5, 0]]))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_importing_and_encoding_needs_no_torch() -> None:
    program = (
        "import json, sys\n"
        "from honeyguide.models.cf import CollaborativeFiltering as Model\n"
        "from honeyguide.sdk import DataSpec, HistoryBatch\n"
        "model = Model(Model.Config(), DataSpec(items=5, repeats=False))\n"
        "model.encode(HistoryBatch.from_lists([[1, 2]]))\n"
        "print(json.dumps(sorted({'torch', 'onnxruntime', 'faiss'} & set(sys.modules))))\n"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert json.loads(out) == []


def test_options_are_checked_and_come_back_from_json() -> None:
    config = config_from(Config, {"dimension": "32", "dropout": "0.2"})
    assert (config.dimension, config.dropout) == (32, 0.2)
    assert config_from(Config, config_to(config)) == config
    for name, value in {"dimension": 0, "max_length": 40_000, "dropout": 1.0, "events": 0}.items():
        with pytest.raises(ConfigError, match=name):
            config_from(Config, {name: value})
