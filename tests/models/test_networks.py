"""Walks every model of the package that retrieves.

Those of `cf.py`, `mlp.py`, `gru.py`, `attention_lstm.py` and `transformer.py`, by the options they share.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from small_models import DAY, MODELS, PLAIN, RICH, SEQUENCE, SPECS, histories, pad, small, walks, weighty
from torch import Tensor
from torch.nn import functional

from honeyguide.conformance.checks.network import (
    no_position_sees_the_future,
    user_is_the_last_position,
    what_is_masked_stays_masked,
)
from honeyguide.conformance.subject import Subject
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.config import config_from, config_to
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.recipe import fit_model
from honeyguide.training.fit.retriever import fit
from honeyguide.training.scoring.candidates import score_all
from honeyguide.training.scoring.device import tensors

every_model = pytest.mark.parametrize("name", MODELS)
every_sequence_model = pytest.mark.parametrize("name", SEQUENCE)
all_data = pytest.mark.parametrize("data", SPECS.values(), ids=SPECS.keys())

CLOCKLESS: Mapping[str, Mapping[str, bool]] = {
    "attention_lstm": {"gap_to_now": False},
    "transformer": {"gap_to_now": False, "time_bias": False},
}
"""Options with which user vectors do not read the clock, of the models where they may."""
USERS = [[3], [9, 4], [5, 6, 7, 8, 9, 10, 11, 0, 1, 2], [2, 7, 1, 8]]


def learning(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Adds what a loss asks for: the next token, and one event before the window."""
    real = batch["tokens"] > 0
    targets = (batch["tokens"] + 4) % 12 + 1
    return {**batch, "targets": targets * real, "earlier": torch.tensor([[0, 2]]).expand(len(real), 2)}


@pytest.fixture
def whole_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has losses computed in float32 where the processor is fast in bfloat16."""
    monkeypatch.setattr("honeyguide.models.sequence.softmax.fast_bfloat16", lambda device: False)


def test_the_walk_passes_by_every_model() -> None:
    host = PluginHost.load()
    own = {name for name, cls in host.models.items() if cls.__module__.startswith("honeyguide.models.")}
    # Those that count have neither vectors nor anything to learn, those of content alone no table of items: each has
    # tests of its own.
    elsewhere = {"content", "ease", "item_knn", "text", "user_knn"}
    assert set(MODELS) == {name for name in own if host.models[name].retrieves} - elsewhere


@every_model
@all_data
def test_user_is_the_last_position(name: str, data: DataSpec) -> None:
    model = small(name, data)
    network = weighty(model)
    for length in (1, 2, 5, 8):
        batch = tensors(model, histories(data, USERS).newest(length))
        torch.testing.assert_close(network.user(batch), network.positions(batch)[:, -1])


@every_model
@all_data
def test_a_position_knows_what_came_before_and_when_the_next_event_came(name: str, data: DataSpec) -> None:
    model = small(name, data)
    network = weighty(model)
    one = histories(data, [[3, 9, 4, 7, 0]])
    whole = network.positions(tensors(model, one))
    for length in range(1, 5):
        known = one.cut(np.array([0]), np.array([length]))
        if one.times_ms is not None:
            known = replace(known, request_times_ms=one.times_ms[[length]])
        torch.testing.assert_close(network.user(tensors(model, known)), whole[:, length - 1])


@every_model
@all_data
def test_padding_changes_nothing(name: str, data: DataSpec) -> None:
    model = small(name, data)
    network = weighty(model)
    short = tensors(model, histories(data, USERS).newest(3))
    padded = pad(model, short, 4)
    candidates = torch.tensor([[1, 4, 7, 12]] * len(USERS))
    scores = torch.randn(len(USERS), 4, 1)
    torch.testing.assert_close(network.user(short), network.user(padded))
    real = short["tokens"] > 0
    torch.testing.assert_close(network.positions(short)[real], network.positions(padded)[:, 4:][real])
    torch.testing.assert_close(network.rank(short, candidates, scores), network.rank(padded, candidates, scores))
    lesson = learning(short)
    torch.testing.assert_close(
        network.loss(lesson), network.loss({**pad(model, lesson, 4), "earlier": lesson["earlier"]})
    )
    if capabilities_of(network).explains:
        explained = network.explain(padded, candidates)
        torch.testing.assert_close(network.explain(short, candidates), explained[:, :, 4:])
        assert (explained[:, :, :4] == 0).all()


@every_model
@all_data
def test_batch_equals_singles(name: str, data: DataSpec) -> None:
    model = small(name, data)
    network = weighty(model)
    batch = histories(data, USERS)
    together, _ = score_all(model, network, batch)
    for row in range(len(USERS)):
        alone, _ = score_all(model, network, batch.take(np.array([row])))
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-5, atol=1e-5)


@every_model
def test_ranking_begins_as_retrieval(name: str) -> None:
    model = small(name, RICH)
    network = model.network().eval()
    scores = torch.tensor([[[3.0], [1.0], [2.5]]])
    ranked = network.rank(tensors(model, histories(RICH, [[3, 4, 1]])), torch.tensor([[2, 5, 4]]), scores)  # type: ignore[operator]  # nn.Module types every attribute Tensor | Module
    torch.testing.assert_close(ranked, scores[:, :, 0] - 3.0)


@every_model
@all_data
def test_the_loss_is_the_weighed_cross_entropy_of_what_the_user_has_not_seen(
    name: str, data: DataSpec, whole_floats: None
) -> None:
    model = small(name, data)
    network = weighty(model)
    batch = learning(tensors(model, histories(data, USERS)))
    tokens, targets = batch["tokens"], batch["targets"]
    real = tokens > 0
    scores = network.positions(batch) @ network.items().T  # [B, L, N]
    for row, column in real.nonzero().tolist():
        seen = set() if data.repeats else {2, *tokens[row, : column + 1].tolist()} - {0, int(targets[row, column])}
        scores[row, column, [token - 1 for token in seen]] = float("-inf")
    losses = functional.cross_entropy(scores[real], targets[real] - 1, reduction="none")
    torch.testing.assert_close(network.loss(batch), losses.mean())
    weights = torch.rand(real.shape) * 2
    torch.testing.assert_close(network.loss({**batch, "weights": weights}), (losses * weights[real]).mean())


@every_model
def test_an_item_seen_is_not_pushed_down(name: str) -> None:
    plain = replace(PLAIN, repeats=False)
    batch = {
        "tokens": torch.tensor([[0, 5, 6]]),
        "targets": torch.tensor([[0, 6, 7]]),
        "earlier": torch.tensor([[2, 3]]),
    }
    network = weighty(small(name, plain))
    head = getattr(network, "head", network)
    network.loss(batch).backward()
    assert head.bias.grad[[1, 2, 4]].tolist() == [0.0, 0.0, 0.0]  # tokens 2 and 3 before the window, 5 from there on
    assert head.bias.grad[5] < 0  # token 6 is the first target, and seen only after it


@every_sequence_model
@pytest.mark.parametrize("column", ["dwell_seconds", "clicks", "event_types", "times_ms"])
def test_what_is_known_of_an_event_reaches_the_user_vector(name: str, column: str) -> None:
    one = histories(RICH, [[3, 9, 4]])
    assert one.times_ms is not None
    assert one.event_types is not None
    if column == "times_ms":
        other = replace(one, times_ms=one.times_ms - np.array([5 * DAY, 0, 0]))
    elif column == "event_types":
        other = replace(one, event_types=(one.event_types + 1) % 3)
    else:
        other = replace(one, features={**one.features, column: one.features[column] + 1})
    for features in (True, False):
        model = small(name, RICH, features=features, **CLOCKLESS.get(name, {}))
        network = weighty(model)
        vectors = [network.user(tensors(model, batch)) for batch in (one, other)]
        assert bool((vectors[0] - vectors[1]).abs().max() > 1e-3) is features


@every_model
def test_data_without_columns_asks_for_none(name: str) -> None:
    assert [spec.name for spec in small(name, PLAIN).inputs()] == ["tokens"]
    rich = small(name, RICH)
    expected = {"tokens"} | ({"numbers", "types"} if name in SEQUENCE else set())
    expected |= {"ages"} if name != "mlp" else set()
    expected |= {"waits"} if name in CLOCKLESS else set()
    assert {spec.name for spec in rich.inputs()} == expected == set(rich.encode(histories(RICH, USERS)))


@pytest.mark.parametrize("name", CLOCKLESS)
def test_with_a_clock_a_position_knows_the_moment_of_its_target_and_nothing_later(name: str) -> None:
    with Subject(name, PluginHost.load()) as subject:
        subject.config = replace(subject.config, **dict.fromkeys(CLOCKLESS[name], True))
        for check in (no_position_sees_the_future, what_is_masked_stays_masked, user_is_the_last_position):
            assert not check(subject)


@every_sequence_model
def test_a_history_that_lacks_the_columns_is_read_all_the_same(name: str) -> None:
    model = small(name, RICH)
    network = weighty(model)
    bare = HistoryBatch.from_lists(USERS)
    assert torch.isfinite(network.user(tensors(model, bare))).all()


@every_sequence_model
def test_tied_tables_are_one(name: str) -> None:
    tied, apart = (weighty(small(name, PLAIN, tied=tied)) for tied in (True, False))
    assert torch.equal(tied.items()[:, :-1], tied.events.table[1:])
    assert not torch.equal(apart.items()[:, :-1], apart.events.table[1:])
    sizes = [sum(p.numel() for p in network.parameters()) for network in (tied, apart)]
    assert sizes[1] - sizes[0] == 12 * 16
    tied.loss(learning({"tokens": torch.tensor([[1, 2]])})).backward()
    assert (tied.events.table.grad[1:].abs().sum(1) > 0).all()  # items that nobody met are pushed down
    assert (tied.events.table.grad[0] == 0).all()


@every_model
@all_data
def test_users_of_one_event_or_two_have_vectors_of_their_own(name: str, data: DataSpec) -> None:
    model = small(name, data)
    network = weighty(model)
    lists = [[i] for i in range(12)] + [[i, j] for i in range(12) for j in range(12) if i != j]
    vectors = network.user(tensors(model, HistoryBatch.from_lists(lists)))
    assert torch.isfinite(vectors).all()
    apart = torch.cdist(vectors, vectors) + 9.0 * torch.eye(len(lists))
    assert apart.min() > 1e-2


@every_model
def test_what_was_observed_before_is_forgotten(name: str) -> None:
    network = weighty(small(name, PLAIN))
    if capabilities_of(network).observes is None:
        assert name == "mlp"
        return
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.observe(HistoryBatch.from_lists([[7, 8, 9]]), ItemTable.of_rows(PLAIN.items))
    assert not torch.equal(network.ranker.lifts, before["ranker.lifts"])
    network.observe(HistoryBatch.from_lists([[0, 1, 2, 3, 1], [2, 3, 4], [5, 0]]), ItemTable.of_rows(PLAIN.items))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in MODELS), ("gru", {"negatives": 24})])
def test_the_checkerboard_is_learnt(name: str, options: dict[str, int]) -> None:
    model = small(name, DataSpec(items=24, repeats=False), dropout=0.1, **options)
    torch.manual_seed(0)
    network = model.network()
    board = walks(7, 120, 24)
    given = {"lr": 0.05, "min_batches": 12, "epochs": 6}
    result = fit(model, network, board.histories, board, FitOptions.for_model(type(model), given))
    assert max(result.scores) > 0.97
    few = HistoryBatch.from_lists([[1, 3, 5], [19, 21, 23], [20, 22], [1, 3], [5], [22]])
    scores, _ = score_all(model, network, few)
    assert scores.argmax(1).tolist() == [7, 1, 0, 5, 7, 0]


@pytest.mark.parametrize(("name", "items"), [("cf", 2), *((name, 3) for name in MODELS)])
def test_a_catalogue_smaller_than_every_option_is_trained(name: str, items: int) -> None:
    rng = np.random.default_rng(0)
    training = HistoryBatch.from_lists([rng.integers(0, items, 9).tolist() for _ in range(30)])
    validation = EvaluationSet(training, np.arange(30), rng.integers(0, items, 30).astype(np.int32))
    counts = {} if name == "mlp" else {"neighbours": 200, "events": 10}
    model = small(name, DataSpec(items=items, repeats=True), **counts)
    given = {"epochs": 1, "final_epochs": 1, "min_batches": 2, "ranker_epochs": 1}
    trained = fit_model(model, training, validation, FitOptions.for_model(type(model), given))
    assert trained.metrics["retrieve/hr@10"] == 1.0  # ten places hold them all
    assert "ranker_fit" in trained.report


def test_importing_and_encoding_needs_no_torch() -> None:
    program = (
        "import json, sys\n"
        "from honeyguide.sdk import DataSpec, HistoryBatch\n"
        "from honeyguide.sdk.host import PluginHost\n"
        f"for name in {list(MODELS)}:\n"
        "    cls = PluginHost.load().model(name)\n"
        "    cls(cls.Config(), DataSpec(items=5, repeats=False)).encode(HistoryBatch.from_lists([[1, 2]]))\n"
        "print(json.dumps(sorted({'torch', 'onnxruntime', 'faiss'} & set(sys.modules))))\n"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert json.loads(out) == []


@every_model
def test_options_are_checked_and_come_back_from_json(name: str) -> None:
    kind = MODELS[name].Config
    config = config_from(kind, {"dimension": "32", "dropout": "0.2"})
    assert (config.dimension, config.dropout) == (32, 0.2)
    assert config_from(kind, config_to(config)) == config
    wrong = {"dimension": 0, "max_length": 40_000, "dropout": 1.0, "events": 0, "ranker_dropout": -0.1}
    wrong |= {
        "attention_lstm": {"window": 0, "attended": 0, "negatives": -2},
        "gru": {"hidden": 0},
        "mlp": {"hidden": 1, "poolings": 0},
        "transformer": {"heads": 3},
    }.get(name, {})
    names = {field.name for field in fields(kind)}
    for option, value in ((option, value) for option, value in wrong.items() if option in names):
        with pytest.raises(ConfigError, match=option):
            config_from(kind, {option: value})
