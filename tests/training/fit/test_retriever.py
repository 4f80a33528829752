import dataclasses
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from honeyguide.models.cf import CollaborativeFiltering
from honeyguide.models.gru import Gru
from honeyguide.models.transformer import Transformer
from honeyguide.sdk import DataSpec, FeatureScaler, HistoryBatch, ItemTable, Model
from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError, PluginError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.progress import OnProgress, Progress
from honeyguide.training.fit.recipe import Trained, fit_model
from honeyguide.training.fit.retriever import check_target_weight, fit
from honeyguide.training.runs.history import read_history
from honeyguide.training.scoring.candidates import score_all
from honeyguide.training.scoring.device import tensors

pytestmark = pytest.mark.slow(5)

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]
SMALL: dict[str, Any] = {"dimension": 16, "max_length": 8, "hidden": 16, "neighbours": 5, "events": 3, "attended": 4}


def make(host: PluginHost, board: Board, name: str = "tiny") -> Model:
    cls = host.model(name)
    return cls(cls.Config(), board[0])


def network_of(model: Model, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return model.network()


def small(cls: type[Model]) -> Any:
    names = {field.name for field in dataclasses.fields(cls.Config)}
    return config_from(cls.Config, {name: value for name, value in SMALL.items() if name in names})


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_checkerboard_is_learnt(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    network = network_of(model)
    result = fit(model, network, *checkerboard[1:], FitOptions.for_model(type(model), {}))
    assert max(result.scores) == 1.0
    assert result.scores[result.epochs] == 1.0
    scores, _ = score_all(model, network, HistoryBatch.from_lists([[3, 5], [22], [23]]))
    assert scores.argmax(1).tolist() == [7, 0, 1]


def test_one_seed_gives_one_network_and_another_another(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    networks = []
    for seed in (0, 0, 1):
        networks.append(network_of(model, seed))
        fit(model, networks[-1], *checkerboard[1:], FitOptions.for_model(type(model), {"epochs": 2, "seed": seed}))
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])


def test_the_best_weights_are_restored(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    network = network_of(model)
    options = FitOptions.for_model(type(model), {"lr": 0.3, "epochs": 30, "patience": 30})
    result = fit(model, network, *checkerboard[1:], options)
    first_best = network_of(model)
    again = fit(
        model, first_best, *checkerboard[1:], FitOptions.for_model(type(model), {"lr": 0.3, "epochs": result.epochs})
    )
    assert again.epochs == result.epochs
    assert result.epochs < 30
    assert same(network, first_best)


def test_a_killed_training_goes_on_and_ends_the_same(host: PluginHost, checkerboard: Board, tmp_path: Path) -> None:
    model = make(host, checkerboard)
    options = FitOptions.for_model(type(model), {"epochs": 8, "patience": 8})
    whole, killed = network_of(model), network_of(model)
    expected = fit(model, whole, *checkerboard[1:], options)

    def kill(now: Progress) -> None:
        if now.epoch == 4 and now.batch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(model, killed, *checkerboard[1:], options, state=tmp_path, progress=kill)
    epochs: list[int] = []
    resumed = network_of(model)
    result = fit(model, resumed, *checkerboard[1:], options, state=tmp_path, progress=lambda m: epochs.append(m.epoch))
    assert min(epochs) == 4
    assert result == expected
    assert same(whole, resumed)


_KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, {here!r})
from test_retriever import transformer_on_walks

def kill(now):
    if (now.phase, now.epoch, now.batch) == ("retriever", 2, 3):
        os.kill(os.getpid(), signal.SIGKILL)

transformer_on_walks(pathlib.Path({folder!r}), kill)
"""


def transformer_on_walks(state: Path | None, progress: OnProgress | None = None) -> Trained:
    """Trains a small transformer with its ranker."""
    rng = np.random.default_rng(7)
    walks = [[int(s + 2 * i) % 24 for i in range(9)] for s in rng.integers(0, 24, 80)]
    training = HistoryBatch.from_lists([walk[:-1] for walk in walks])
    validation = EvaluationSet(training, np.arange(80), np.array([walk[-1] for walk in walks], np.int32))
    model = Transformer(small(Transformer), DataSpec(items=24, repeats=False))
    given = {"epochs": 3, "final_epochs": 3, "ranker_epochs": 1, "min_batches": 6, "candidates": 12}
    options = FitOptions.for_model(Transformer, given)
    return fit_model(model, training, validation, options, state=state, progress=progress)


def test_a_training_ended_by_sigkill_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    program = _KILLED.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    reports: list[Progress] = []
    resumed = transformer_on_walks(tmp_path, reports.append)
    assert (reports[0].phase, reports[0].epoch, reports[0].batch) == ("retriever", 2, 1)
    history = read_history(tmp_path)  # each epoch of each phase once
    phases = {"first": range(4), "ranker": range(2), "retriever": range(4)}
    assert history.select("phase", "epoch").rows() == [(phase, e) for phase, epochs in phases.items() for e in epochs]
    assert history["ndcg@10"].to_list()[-4:] == list(resumed.report["retriever"]["scores"])
    assert history["loss"].is_null().to_list() == [epoch == 0 for epoch in history["epoch"]]
    whole = transformer_on_walks(None)
    assert resumed.metrics == whole.metrics
    assert same(resumed.network, whole.network)


def seen_and_stayed() -> tuple[DataSpec, HistoryBatch]:
    """Returns users of two events: item 2 follows item 0 twice as often as item 1, which is looked at longer."""
    nexts = np.array([1, 2, 2] * 40)
    scaler = FeatureScaler("dwell_seconds", 0.0, 0.0, 9.0, log=False, mean=0.0, std=1.0)
    spec = DataSpec(items=12, repeats=False, event_types=("look", "stay"), features=(scaler,))
    return spec, HistoryBatch(
        items=np.stack([np.zeros_like(nexts), nexts], 1).ravel().astype(np.int32),
        offsets=np.arange(0, 241, 2),
        features={"dwell_seconds": np.stack([0.0 * nexts, 6.0 - 4.0 * nexts], 1).ravel().astype(np.float32)},
        event_types=np.stack([np.ones_like(nexts), 3 - nexts], 1).ravel().astype(np.int32),
    )


@pytest.mark.parametrize("cls", [CollaborativeFiltering, Gru])
@pytest.mark.parametrize(("weight", "wins"), [("", False), ("dwell_seconds", True), ("look:0.2", True)])
def test_of_two_next_items_the_weightier_wins(cls: type[Model], weight: str, wins: bool) -> None:
    spec, training = seen_and_stayed()
    watched = EvaluationSet(training.cut(np.array([0]), np.array([1])), np.array([0]), np.array([1], np.int32))
    model = cls(small(cls), spec)
    options = FitOptions.for_model(cls, {"epochs": 4, "lr": 0.03, "min_batches": 10, "target_weight": weight})
    scores = fit(model, network_of(model), training, watched, options).scores
    assert (scores[-1] == 1.0) is wins


def test_a_wrong_weight_is_refused_before_anything_is_written(
    host: PluginHost, checkerboard: Board, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="'clicks'; the data's features: none"):
        fit_model(make(host, checkerboard), *checkerboard[1:], FitOptions(target_weight="clicks"), state=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("weight", ["dwell_seconds", "look:0.2"])
def test_weights_that_a_model_would_not_read_are_refused(host: PluginHost, tmp_path: Path, weight: str) -> None:
    spec, training = seen_and_stayed()
    watched = EvaluationSet(training.cut(np.array([0]), np.array([1])), np.array([0]), np.array([1], np.int32))
    options = FitOptions(target_weight=weight)
    tiny = host.model("tiny")
    with pytest.raises(ConfigError, match="the loss of tiny takes no weights"):
        fit_model(tiny(tiny.Config(), spec), training, watched, options, state=tmp_path)
    assert list(tmp_path.iterdir()) == []
    for cls in (CollaborativeFiltering, Gru):
        check_target_weight(cls(small(cls), spec), training, options)


def test_ctrl_c_stays_an_interrupt(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(now: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, network_of(model), *checkerboard[1:], FitOptions(), progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_phase_is_not_trained_again(host: PluginHost, checkerboard: Board, tmp_path: Path) -> None:
    model = make(host, checkerboard)
    options = FitOptions.for_model(type(model), {"epochs": 3})
    first, second = network_of(model), network_of(model)
    result = fit(model, first, *checkerboard[1:], options, state=tmp_path)
    reports: list[Progress] = []
    assert fit(model, second, *checkerboard[1:], options, state=tmp_path, progress=reports.append) == result
    assert reports == []
    assert same(first, second)


def test_a_network_that_only_observes_needs_no_epoch(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard, "tiny_counting")
    result = fit(model, model.network(), *checkerboard[1:], FitOptions())
    assert result.epochs == 0
    assert result.scores == (1.0,)


def test_the_loop_leaves_no_litter(
    host: PluginHost,
    checkerboard: Board,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    model = make(host, checkerboard)
    fit(model, network_of(model), *checkerboard[1:], FitOptions.for_model(type(model), {"epochs": 1}))
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_options_of_the_user_win_over_the_models_and_these_over_the_defaults(host: PluginHost) -> None:
    options = FitOptions.for_model(host.model("tiny"), {"lr": "0.5"})
    assert (options.lr, options.patience, options.ranker_tail) == (0.5, 4, 10)


@pytest.mark.parametrize(
    ("name", "value"),
    [("epochs", 0), ("lr", 0.0), ("candidates", -1), ("candidates", 1), ("seed", 1 << 32), ("no_such", 1)],
)
def test_an_option_out_of_range_is_named(host: PluginHost, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        FitOptions.for_model(host.model("tiny"), {name: value})


def test_encoding_one_user_equals_encoding_many(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    network = network_of(model).eval()
    histories = checkerboard[1].take(torch.arange(7).numpy())
    together, _ = score_all(model, network, histories)
    for i in range(7):
        alone, _ = score_all(model, network, histories.take(torch.tensor([i]).numpy()))
        torch.testing.assert_close(torch.from_numpy(alone[0]), torch.from_numpy(together[i]))
    assert tensors(model, histories)["tokens"].dtype == torch.int64


@pytest.mark.parametrize("items", [None, ItemTable.from_lists([f"sku-{row}" for row in range(24)])])
def test_a_network_that_observes_is_shown_histories_and_items(
    host: PluginHost, checkerboard: Board, items: ItemTable | None
) -> None:
    model = make(host, checkerboard)
    network = network_of(model)
    shown: list[tuple[HistoryBatch, ItemTable]] = []
    network.observe = lambda histories, table: shown.append((histories, table))  # type: ignore[assignment]  # any callable
    options = FitOptions.for_model(type(model), {"epochs": 1})
    fit(model, network, *checkerboard[1:], options, items=items)
    assert shown[0][0] is checkerboard[1]
    assert shown[0][1].ids[:2].tolist() == (["0", "1"] if items is None else ["sku-0", "sku-1"])


def test_half_of_a_capability_is_refused_before_anything_is_trained(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    network = network_of(model)
    network.rank = lambda *_: None  # type: ignore[assignment]  # any callable
    with pytest.raises(PluginError, match="has rank and lacks ranking_module"):
        fit(model, network, *checkerboard[1:], FitOptions.for_model(type(model), {"epochs": 1}))
