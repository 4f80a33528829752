from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from honeyguide.models.cf import CollaborativeFiltering
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.batches import TrainingBatches
from honeyguide.training.fit.loop import Task, run
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.progress import Progress
from honeyguide.training.fit.recipe import fit_model

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]


class _EightBatches:
    def __len__(self) -> int:
        return 8

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return iter([{"x": torch.zeros(1)}] * 8)


class _Rates:
    """Learns nothing, and notes at which rate it does so."""

    def __init__(self, **options: float | str) -> None:
        self.network = torch.nn.Linear(3, 2)
        torch.nn.init.ones_(self.network.weight)
        torch.nn.init.ones_(self.network.bias)
        task: dict[str, object] = {"epochs": 5, "patience": 5, "lr": 0.1, "weight_decay": 0.5, "seed": 0}
        self.task = Task(
            phase="retriever",
            parameters=list(self.network.parameters()),
            batches=lambda _: _EightBatches(),
            loss=lambda _: 0.0 * sum(p.sum() for p in self.network.parameters()),  # type: ignore[arg-type, return-value]  # sum of tensors
            score=lambda: self.network.weight.detach().mean().item() * -1.0,
            train_mode=self.network.train,
            **(task | options),  # type: ignore[arg-type]  # options of several types
        )


def test_one_cycle_goes_up_and_comes_down(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noting(self: torch.optim.AdamW, *args: object, **kwargs: object) -> object:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *args, **kwargs)  # type: ignore[arg-type]  # handed through

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    cycle = _Rates(schedule="one-cycle")
    run(cycle.network, cycle.task)
    assert len(rates) == 40
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == pytest.approx(0.1, rel=1e-2)
    assert rates.index(max(rates)) in range(2, 5)
    assert rates[-1] < 0.002
    assert all(a > b for a, b in pairwise(rates[5:]))


def test_tables_decay_and_biases_do_not() -> None:
    plain = _Rates()
    run(plain.network, plain.task)
    np.testing.assert_allclose(plain.network.weight.detach(), 0.95**40, rtol=1e-5)
    assert plain.network.bias.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(("name", "value"), [("schedule", "cosine"), ("beta2", 1.0), ("min_batches", 0)])
def test_an_option_out_of_range_is_named(name: str, value: float | str) -> None:
    with pytest.raises(ConfigError, match=name):
        FitOptions.for_model(CollaborativeFiltering, {name: value})


def test_small_data_gets_small_batches(host: PluginHost) -> None:
    cls = host.model("tiny")
    histories = HistoryBatch.from_lists([list(range(5))] * 50)  # 200 positions
    counts = []
    for at_least in (1, 10, 25):
        made = TrainingBatches(
            cls(cls.Config(), DataSpec(10, repeats=False)), histories, tokens=160, seed=0, at_least=at_least
        )
        counts.append(len(made.epoch(0)))
    assert counts == [2, 10, 25]


def test_a_batch_tells_what_came_before_its_windows(host: PluginHost) -> None:
    cls = host.model("tiny")
    model = cls(cls.Config(max_length=3), DataSpec(items=100, repeats=False))
    made = TrainingBatches(model, HistoryBatch.from_lists([list(range(8)), [50, 51]]), tokens=1, seed=0)
    told = {tuple(b["tokens"][0].tolist()): b["earlier"][0].tolist() for b in made.epoch(0)}
    assert told == {(1,): [0], (2, 3, 4): [1], (5, 6, 7): [1, 2, 3, 4], (51,): [0]}


def test_the_final_retriever_may_go_on_for_fewer_epochs(host: PluginHost, checkerboard: Board) -> None:
    cls = host.model("tiny_ranking")
    reports: list[Progress] = []
    options = FitOptions.for_model(cls, {"epochs": 3, "final_epochs": 1, "ranker_epochs": 1, "candidates": 24})
    fit_model(cls(cls.Config(width=1), checkerboard[0]), *checkerboard[1:], options, progress=reports.append)
    assert {(m.phase, m.epochs) for m in reports} == {("first", 3), ("ranker", 1), ("retriever", 1)}


@pytest.mark.parametrize("phase", ["first", "ranker", "retriever"])
def test_cf_killed_in_any_phase_ends_the_same(checkerboard: Board, tmp_path: Path, phase: str) -> None:
    config = CollaborativeFiltering.Config(dimension=2, max_length=8, neighbours=5, events=2, ranker_hidden=4)
    model = CollaborativeFiltering(config, checkerboard[0])
    options = FitOptions.for_model(
        CollaborativeFiltering, {"epochs": 3, "final_epochs": 3, "ranker_epochs": 3, "candidates": 20, "min_batches": 4}
    )

    def kill(now: Progress) -> None:
        if (now.phase, now.epoch) == (phase, 2):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fit_model(model, *checkerboard[1:], options, state=tmp_path, progress=kill)
    resumed = fit_model(model, *checkerboard[1:], options, state=tmp_path)
    whole = fit_model(model, *checkerboard[1:], options)
    assert (resumed.report["resumed"], whole.report["resumed"]) == (True, False)
    assert resumed.metrics == whole.metrics
    for one, two in zip(resumed.network.state_dict().values(), whole.network.state_dict().values(), strict=True):
        assert torch.equal(one, two)
