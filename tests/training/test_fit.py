import signal
from pathlib import Path

import pytest
import torch

from honeyguide.sdk import DataSpec, EvaluationSet, HistoryBatch, Model, PluginHost
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.batches import tensors
from honeyguide.training.evaluate import score_all
from honeyguide.training.fit import FitOptions, fit
from honeyguide.training.loop import Moment
from honeyguide.training.tensor_file import load_tree, save_tree

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]


def make(host: PluginHost, board: Board, name: str = "tiny") -> Model:
    cls = host.model(name)
    return cls(cls.Config(), board[0])


def network_of(model: Model, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return model.network()


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

    def kill(moment: Moment) -> None:
        if moment.epoch == 4 and moment.batch == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit(model, killed, *checkerboard[1:], options, progress=tmp_path, report=kill)
    epochs: list[int] = []
    resumed = network_of(model)
    result = fit(model, resumed, *checkerboard[1:], options, progress=tmp_path, report=lambda m: epochs.append(m.epoch))
    assert min(epochs) == 4
    assert result == expected
    assert same(whole, resumed)


def test_ctrl_c_stays_an_interrupt(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(moment: Moment) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, network_of(model), *checkerboard[1:], FitOptions(), report=interrupt)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_phase_is_not_trained_again(host: PluginHost, checkerboard: Board, tmp_path: Path) -> None:
    model = make(host, checkerboard)
    options = FitOptions.for_model(type(model), {"epochs": 3})
    first, second = network_of(model), network_of(model)
    result = fit(model, first, *checkerboard[1:], options, progress=tmp_path)
    moments: list[Moment] = []
    assert fit(model, second, *checkerboard[1:], options, progress=tmp_path, report=moments.append) == result
    assert moments == []
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
    assert (options.lr, options.patience, options.ranker_tail) == (0.5, 4, 8)


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("lr", 0.0), ("candidates", -1), ("no_such", 1)])
def test_an_option_out_of_range_is_named(host: PluginHost, name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        FitOptions.for_model(host.model("tiny"), {name: value})


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {"a": [1, 2.5, None, True, ("x", {3: torch.arange(4), "y": torch.zeros(0)})], "float": float("inf")}
    save_tree(tmp_path / "t.safetensors", tree)
    back = load_tree(tmp_path / "t.safetensors")
    assert torch.equal(back["a"][4][1][3], torch.arange(4))
    assert back["a"][:4] == [1, 2.5, None, True]
    assert isinstance(back["a"][4], tuple)
    assert back["float"] == float("inf")


def test_a_tree_refuses_what_only_pickle_could_keep(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="/a/0 is a object"):
        save_tree(tmp_path / "t.safetensors", {"a": [object()]})


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(DataError, match="remove it and train again"):
        load_tree(tmp_path / "t.safetensors")


def test_encoding_one_user_equals_encoding_many(host: PluginHost, checkerboard: Board) -> None:
    model = make(host, checkerboard)
    network = network_of(model).eval()
    histories = checkerboard[1].take(torch.arange(7).numpy())
    together, _ = score_all(model, network, histories)
    for i in range(7):
        alone, _ = score_all(model, network, histories.take(torch.tensor([i]).numpy()))
        torch.testing.assert_close(torch.from_numpy(alone[0]), torch.from_numpy(together[i]))
    assert tensors(model, histories)["tokens"].dtype == torch.int64
