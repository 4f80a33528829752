from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from honeyguide.sdk.errors import DataError
from honeyguide.training.fit.loop import LoopResult, Task, run
from honeyguide.training.fit.progress import Progress
from honeyguide.training.runs.history import read_history
from honeyguide.training.runs.tensor_file import load_tree, save_tree


class _TwoBatches:
    """Batches within batches, as a ranker's hold histories."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter([{"history": {"x": torch.ones(1)}, "y": torch.tensor([y])} for y in (1.0, 3.0)])


def line(scores: list[float], **options: Any) -> tuple[torch.nn.Linear, Task]:
    """Returns a line through the origin, to be fitted, whose scores are given beforehand."""
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    told = iter(scores)
    given: dict[str, Any] = {"epochs": 9, "patience": 2, "lr": 0.1, "weight_decay": 0.0, "seed": 0} | options
    task = Task(
        phase="retriever",
        parameters=list(network.parameters()),
        batches=lambda _: _TwoBatches(),
        loss=lambda batch: (network(batch["history"]["x"]) - batch["y"]).abs().sum(),
        score=lambda: next(told),
        train_mode=network.train,
        **given,
    )
    return network, task


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([0.0, 0.1, 0.3, 0.2, 0.3], 2),  # an equal score is no better
        ([0.9, 0.1, 0.2, 0.1, 0.1], 0),  # who starts well is not stopped for it, and keeps its start
        ([0.0, 0.1, 0.1, 0.1 + 1e-12], 3),  # a gain that float32 cannot hold does not extend the patience
    ],
)
def test_it_stops_when_patience_ends_and_keeps_the_best(scores: list[float], best: int) -> None:
    network, task = line(scores)
    assert run(network, task) == LoopResult(epochs=best, scores=tuple(scores))
    assert network.weight.item() == pytest.approx(0.2 * best, abs=1e-4)  # Adam's first updates are the learning rate
    assert not network.training


def test_a_start_that_does_not_count_is_not_kept_however_good() -> None:
    network, task = line([0.9, 0.1, 0.2, 0.1, 0.1], start_counts=False)
    assert run(network, task).epochs == 2
    assert network.weight.item() == pytest.approx(0.4, abs=1e-4)
    network, task = line([0.9], start_counts=False, epochs=0)
    assert run(network, task) == LoopResult(epochs=0, scores=(0.9,))


def test_it_stops_at_the_most_epochs() -> None:
    network, task = line([0.0, 0.1, 0.2, 0.3], epochs=3)
    reports: list[Progress] = []
    assert run(network, task, progress=reports.append).epochs == 3
    assert [(now.epoch, now.batch, now.score) for now in reports] == [
        (1, 1, 0.0),
        (1, 2, 0.0),
        (2, 1, 0.1),
        (2, 2, 0.1),
        (3, 1, 0.2),
        (3, 2, 0.2),
    ]


def test_the_loss_is_the_mean_of_the_batches(tmp_path: Path) -> None:
    network, task = line([0.0, 0.1], epochs=1)
    run(network, task, state=tmp_path)
    assert read_history(tmp_path)["loss"].to_list() == [None, pytest.approx((1.0 + 2.9) / 2)]


def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    network, task = line([0.0, 0.1], epochs=1)
    run(network, task, state=tmp_path)
    file = tmp_path / "retriever.safetensors"
    tree = load_tree(file)
    save_tree(file, tree | {"format": 1})
    with pytest.raises(DataError, match="another version of Honeyguide left this unfinished training"):
        run(*line([0.0]), state=tmp_path)
