import numpy as np
import pytest
import torch

from honeyguide.models.cf import CollaborativeFiltering
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.progress import Progress
from honeyguide.training.fit.ranker import first_baskets, fit_ranker, hold_back, make_lists
from honeyguide.training.fit.recipe import fit_model

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]


def test_held_back_steps_are_predicted_from_all_before_them() -> None:
    histories = HistoryBatch.from_lists([[1, 2, 3, 4, 5, 6, 7], [8, 9], [], [10, 11, 12]])
    part, examples = hold_back(histories, tail=8, seed=0)
    assert part.items.tolist() == [1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert part.offsets.tolist() == [0, 5, 7, 7, 9]
    assert examples.users.tolist() == [0, 0, 3]
    assert examples.targets.tolist() == [6, 7, 12]
    known = histories.cut(examples.starts, examples.stops)
    assert known.items.tolist() == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 10, 11]


def test_examples_beyond_the_limit_are_drawn_in_order() -> None:
    _, examples = hold_back(HistoryBatch.from_lists([list(range(30))] * 9), tail=4, seed=0)
    drawn = examples.sample(10, seed=1)
    assert len(drawn) == 10
    assert (np.diff(drawn.users) >= 0).all()
    assert len(set(zip(drawn.users.tolist(), drawn.targets.tolist(), strict=True))) == 10
    assert examples.sample(36, seed=1) is examples


def test_no_more_than_the_tail_is_held_back() -> None:
    part, examples = hold_back(HistoryBatch.from_lists([list(range(30))]), tail=4, seed=0)
    assert part.items.tolist() == list(range(26))
    assert examples.targets.tolist() == [26, 27, 28, 29]


def test_a_step_is_never_split() -> None:
    histories = HistoryBatch(
        items=np.arange(8, dtype=np.int32),
        offsets=np.array([0, 8]),
        times_ms=np.array([1, 1, 2, 3, 3, 3, 3, 3], np.int64),
    )
    part, examples = hold_back(histories, tail=8, seed=0)
    assert part.items.tolist() == [0, 1, 2]
    assert examples.stops.tolist() == [3]
    drawn = {int(hold_back(histories, tail=8, seed=seed)[1].targets[0]) for seed in range(60)}
    assert drawn == {3, 4, 5, 6, 7}


def test_the_first_retriever_is_watched_on_each_users_first_held_back_step() -> None:
    histories = HistoryBatch.from_lists([list(range(6)), [7], list(range(10, 19))])
    part, examples = hold_back(histories, tail=8, seed=0)
    first = first_baskets(histories, examples)
    assert first.target_items.tolist() == [4, 16]
    assert first.histories.items.tolist() == [0, 1, 2, 3, 10, 11, 12, 13, 14, 15]
    assert part.lengths.tolist() == [4, 1, 6]


def test_lists_hold_their_target_and_nothing_seen(host: PluginHost, checkerboard: Board) -> None:
    spec, training, _ = checkerboard
    cls = host.model("tiny_ranking")
    model = cls(cls.Config(), spec)
    torch.manual_seed(0)
    network = model.network()
    _, examples = hold_back(training, 8, seed=0)
    lists = make_lists([(model, network)], training, examples, 10)
    assert 0 < len(lists) < len(examples)
    assert (lists.rows[np.arange(len(lists)), lists.places] == lists.examples.targets).all()
    assert (np.diff(lists.scores[:, :, 0], axis=1) <= 0).all()
    for rows, start, stop in zip(lists.rows, lists.examples.starts, lists.examples.stops, strict=True):
        assert not set(rows.tolist()) & set(training.items[start:stop].tolist())


def test_fitting_the_ranker_leaves_the_rest_as_it_was(host: PluginHost, checkerboard: Board) -> None:
    spec, training, _ = checkerboard
    cls = host.model("tiny_ranking")
    model = cls(cls.Config(), spec)
    torch.manual_seed(0)
    network = model.network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    _, examples = hold_back(training, 8, seed=0)
    lists = make_lists([(model, network)], training, examples, 12)
    result = fit_ranker(model, network, training, lists, FitOptions.for_model(cls, {}))
    assert result.scores[result.epochs] > result.scores[0] + 0.3
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"follows.weight"}  # what ranking_module returns, whatever it is called
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_what_the_few_watched_lists_say_of_the_start_does_not_undo_the_ranker(
    host: PluginHost, checkerboard: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([0.9, 0.5, 0.6])
    monkeypatch.setattr("honeyguide.training.fit.ranker._list_ndcg", lambda *_: next(told))
    cls = host.model("tiny_ranking")
    model = cls(cls.Config(width=1), checkerboard[0])
    trained = fit_model(model, *checkerboard[1:], FitOptions.for_model(cls, {"candidates": 24, "ranker_epochs": 2}))
    assert trained.report["ranker_fit"]["epochs"] == 2
    assert trained.report["ranker"].startswith("kept: NDCG@10 +")


def test_a_useful_ranker_is_kept(host: PluginHost, checkerboard: Board) -> None:
    cls = host.model("tiny_ranking")
    model = cls(cls.Config(width=1), checkerboard[0])  # one dimension cannot hold the ring, so there is much to gain
    trained = fit_model(model, *checkerboard[1:], FitOptions.for_model(cls, {"candidates": 24}))
    assert trained.candidates == 24
    assert trained.metrics["rank/ndcg@10"] > trained.metrics["retrieve/ndcg@10"] + 0.1
    assert trained.report["gate"]["p"] < 0.05
    assert trained.report["ranker"].startswith("kept: NDCG@10 +")


def test_a_useless_ranker_is_left_out(host: PluginHost, checkerboard: Board) -> None:
    cls = host.model("tiny_shuffling")
    model = cls(cls.Config(), checkerboard[0])
    trained = fit_model(model, *checkerboard[1:], FitOptions.for_model(cls, {}))
    assert trained.candidates == 0
    assert trained.metrics["retrieve/ndcg@10"] == 1.0
    assert not any(name.startswith("rank/") for name in trained.metrics)
    assert trained.report["ranker"].startswith("left out: NDCG@10 -")


def test_no_ranker_is_fitted_on_too_few_lists(host: PluginHost) -> None:
    training = HistoryBatch.from_lists([[0, 2, 4, 6], [1, 3, 5, 7]])
    validation = EvaluationSet(training, np.arange(2), np.array([8, 9], np.int32))
    cls = host.model("tiny_ranking")
    trained = fit_model(cls(cls.Config(), DataSpec(10, repeats=False)), training, validation, FitOptions(epochs=1))
    assert trained.candidates == 0
    assert "fewer than 50" in trained.report["ranker"]


def test_lists_of_one_user_or_of_one_candidate_fit_nothing_and_break_nothing(
    host: PluginHost, checkerboard: Board
) -> None:
    cf = CollaborativeFiltering
    config = cf.Config(dimension=2, max_length=8, neighbours=5, events=2, ranker_hidden=4)
    given = {"epochs": 1, "final_epochs": 1, "ranker_epochs": 1, "candidates": 2, "min_batches": 400}
    spec, training, validation = checkerboard
    report = fit_model(cf(config, spec), training, validation, FitOptions.for_model(cf, given)).report
    assert "ranker_fit" in report  # in batches of one list
    one = HistoryBatch.from_lists([list(range(24)) * 20])
    data = DataSpec(24, repeats=True)
    watched = EvaluationSet(one, np.array([0]), np.array([0], np.int32))
    options = FitOptions.for_model(cf, given | {"ranker_tail": 160, "candidates": 24})
    assert "one user's" in fit_model(cf(config, data), one, watched, options).report["ranker"]
    alone = HistoryBatch.from_lists([[0] * 6] * 60)
    watched = EvaluationSet(alone.take(np.arange(2)), np.arange(2), np.zeros(2, np.int32))
    trained = fit_model(cf(config, DataSpec(1, repeats=True)), alone, watched, FitOptions.for_model(cf, given))
    assert trained.candidates == 0


def test_a_ranker_switched_off_is_not_fitted(host: PluginHost, checkerboard: Board) -> None:
    cls = host.model("tiny_ranking")
    options = FitOptions.for_model(cls, {"candidates": 0, "epochs": 1})
    trained = fit_model(cls(cls.Config(), checkerboard[0]), *checkerboard[1:], options)
    assert (trained.candidates, trained.report["ranker"]) == (0, "switched off")


@pytest.mark.parametrize("phase", ["first", "ranker", "retriever"])
def test_training_killed_in_any_phase_ends_the_same(
    host: PluginHost, checkerboard: Board, tmp_path_factory: pytest.TempPathFactory, phase: str
) -> None:
    cls = host.model("tiny_ranking")
    options = FitOptions.for_model(cls, {"epochs": 3, "ranker_epochs": 3, "candidates": 24})
    model = cls(cls.Config(width=1), checkerboard[0])

    def kill(now: Progress) -> None:
        if (now.phase, now.epoch) == (phase, 2):
            raise InterruptedError

    folder = tmp_path_factory.mktemp(phase)
    with pytest.raises(InterruptedError):
        fit_model(model, *checkerboard[1:], options, state=folder, progress=kill)
    resumed = fit_model(model, *checkerboard[1:], options, state=folder)
    whole = fit_model(model, *checkerboard[1:], options)
    assert resumed.metrics == whole.metrics
    for one, two in zip(resumed.network.state_dict().values(), whole.network.state_dict().values(), strict=True):
        assert torch.equal(one, two)
