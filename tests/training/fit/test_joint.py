import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkerboard import checkerboard_host

from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable, Model
from honeyguide.sdk.config import config_to
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.evaluation.stages import rank_targets
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.recipe import Trained, fit_model
from honeyguide.training.runs.checkpoint import Checkpoint, copy_run, load_checkpoint, save_checkpoint
from honeyguide.training.runs.retrievers import RetrieverRun, read_retrievers, sources_of
from honeyguide.training.scoring.candidates import retrieve

Board = tuple[DataSpec, HistoryBatch, EvaluationSet]
SMALL = {"dimension": 8, "max_length": 8, "neighbours": 6, "events": 3, "ranker_hidden": 8}
QUICK = {"epochs": 2, "final_epochs": 1, "min_batches": 4, "candidates": 6, "ranker_tail": 3, "ranker_epochs": 1}


def options(host: PluginHost, model: str, **more: object) -> FitOptions:
    return FitOptions.for_model(host.model(model), QUICK | more)


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return PluginHost.load()


@pytest.fixture(scope="module")
def runs(host: PluginHost, checkerboard: Board, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Trains a good retriever and one that has hardly learnt."""
    folder = tmp_path_factory.mktemp("runs")
    learning = [options(host, "cf", lr=lr) for lr in (0.03, 1e-6)]
    return [run(host, checkerboard, folder / f"cf-{n}", "cf", own, **SMALL) for n, own in enumerate(learning)]


def run(host: PluginHost, board: Board, folder: Path, name: str, wanted: FitOptions, **config: object) -> Path:
    """Trains a model, and saves it."""
    spec, training, validation = board
    cls = host.model(name)
    model = cls(cls.Config(**config), spec)
    trained = fit_model(model, training, validation, wanted)
    checkpoint = Checkpoint(
        model=name,
        config=config_to(model.config),
        plugin="honeyguide 0",
        spec=spec,
        dataset="board",
        seed=0,
        candidates=trained.candidates,
        epochs=trained.epochs,
        metrics=trained.metrics,
        options=dataclasses.asdict(wanted),
    )
    save_checkpoint(folder, checkpoint, trained.network, trained.first)
    return folder


def fit_joint(model: Model, read: Sequence[RetrieverRun], *arguments: Any, **keywords: Any) -> Trained:
    return fit_model(model, *arguments, retrievers=read, **keywords)


def joint(host: PluginHost, spec: DataSpec, sources: int = 2) -> Model:
    cls = host.model("joint")
    return cls(cls.Config(sources=sources, max_length=8, neighbours=6, events=3, ranker_hidden=8), spec)


def test_candidates_are_the_union_and_every_source_scores_all_of_them(
    host: PluginHost, checkerboard: Board, runs: list[Path]
) -> None:
    spec, _, validation = checkerboard
    sources = [run.source for run in read_retrievers(runs, host, spec.fingerprint)]
    rows, scores = retrieve(sources, validation.histories, 4)
    alone = [retrieve([source], validation.histories, 4)[0] for source in sources]
    whole = [retrieve([source], validation.histories, spec.items) for source in sources]
    for user in range(len(validation)):
        found = [row for row in rows[user].tolist() if row >= 0]
        assert found[:4] == alone[0][user].tolist()
        assert set(found) == {*alone[0][user].tolist(), *alone[1][user].tolist()}
        for place, row in enumerate(found):
            for source, (all_rows, all_scores) in enumerate(whole):
                expected = all_scores[user, np.flatnonzero(all_rows[user] == row)[0], 0]
                assert scores[user, place, source] == pytest.approx(expected, rel=1e-5)


def test_a_joint_ranker_is_fitted_on_the_first_retrievers_and_judged_on_the_final_ones(
    host: PluginHost, checkerboard: Board, runs: list[Path]
) -> None:
    spec, training, validation = checkerboard
    torch.manual_seed(1)
    read = read_retrievers(runs, host, spec.fingerprint)
    trained = fit_joint(joint(host, spec), read, training, validation, options(host, "joint"))
    assert trained.report["ranker_fit"]["lists"] > 50
    metrics = [run.checkpoint.metrics for run in read]
    retrieved = max(values["retrieve/ndcg@10"] for values in metrics)
    alone = max(values.get("rank/ndcg@10", values["retrieve/ndcg@10"]) for values in metrics)
    after = rank_targets(
        joint(host, spec), trained.network, validation, candidates=6, sources=[run.source for run in read]
    )["rank"].ndcg(validation)
    assert trained.report["gate"]["ndcg10_gain"] == pytest.approx(after.mean() - retrieved, abs=1e-6)
    assert trained.report["alone"]["ndcg10_gain"] == pytest.approx(after.mean() - alone, abs=1e-6)
    assert trained.candidates == (6 if trained.report["gate"]["kept"] else 0)
    assert "against cf of --retriever 1" in trained.report["ranker"]  # the other has hardly learnt


def test_a_joint_ranker_that_observes_is_shown_the_items(
    host: PluginHost, checkerboard: Board, runs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, training, validation = checkerboard
    shown: list[tuple[HistoryBatch, ItemTable]] = []
    cls = type(joint(host, spec).network())
    monkeypatch.setattr(cls, "observe", lambda _, histories, items: shown.append((histories, items)))
    items = ItemTable.from_lists([f"sku-{row}" for row in range(spec.items)])
    given = (
        joint(host, spec),
        read_retrievers(runs, host, spec.fingerprint),
        training,
        validation,
        options(host, "joint"),
    )
    fit_joint(*given, items=items)
    assert {id(table) for _, table in shown} == {id(items)}
    assert shown[-1][0] is training  # what serves has seen all


def test_a_stopped_joint_training_goes_on_to_the_same_ranker(
    host: PluginHost, checkerboard: Board, runs: list[Path], tmp_path: Path
) -> None:
    spec, training, validation = checkerboard
    read = read_retrievers(runs, host, spec.fingerprint)
    given = (joint(host, spec), read, training, validation, options(host, "joint", ranker_epochs=2))
    whole = fit_joint(*given)
    stopped = 0

    def stop(_moment: object) -> None:
        nonlocal stopped
        stopped += 1
        if stopped == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_joint(*given, state=tmp_path, progress=stop)
    resumed = fit_joint(*given, state=tmp_path)
    assert resumed.report["resumed"]
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, msg=name)
    with pytest.raises(ConfigError, match="another retrievers"):
        fit_joint(given[0], read[::-1], *given[2:], state=tmp_path)


@pytest.mark.parametrize("wrong", [{"candidates": 0}, {"target_weight": "dwell_seconds"}])
def test_an_option_that_would_do_nothing_is_refused_before_anything_is_written(
    host: PluginHost, checkerboard: Board, runs: list[Path], tmp_path: Path, wrong: dict[str, object]
) -> None:
    spec, training, validation = checkerboard
    read = read_retrievers(runs, host, spec.fingerprint)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        fit_joint(
            joint(host, spec),
            read,
            training,
            validation,
            options(host, "joint", **wrong),
            state=tmp_path / "progress",
        )
    assert not (tmp_path / "progress").exists()


def test_whatever_was_trained_as_it_comes_may_retrieve_for_joint(host: PluginHost) -> None:
    builtin = {name: cls for name, cls in host.models.items() if cls.__module__.startswith("honeyguide.models.")}
    held = {name: FitOptions.for_model(cls, {}).ranker_tail for name, cls in builtin.items()}
    assert len(held) > 10
    assert set(held.values()) == {held["joint"]}


def test_what_only_counts_retrieves_too_by_counting_what_was_not_held_back(
    host: PluginHost, checkerboard: Board, runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, training, validation = checkerboard
    folder = run(host, checkerboard, tmp_path / "knn", "item_knn", FitOptions.for_model(host.model("item_knn"), {}))
    read = read_retrievers([runs[0], folder], host, spec.fingerprint)
    counted: list[HistoryBatch] = []
    cls = type(read[1].network)
    observed = cls.observe

    def observe(network: Any, histories: HistoryBatch, items: ItemTable) -> None:
        counted.append(histories)
        observed(network, histories, items)

    monkeypatch.setattr(cls, "observe", observe)
    trained = fit_joint(joint(host, spec), read, training, validation, options(host, "joint"))
    assert trained.report["ranker_fit"]["lists"] > 50
    (part,) = counted
    assert len(part.items) < len(training.items)


def test_too_few_lists_are_no_ranker(host: PluginHost, checkerboard: Board, runs: list[Path]) -> None:
    spec, training, validation = checkerboard
    read = read_retrievers(runs, host, spec.fingerprint)
    with pytest.raises(DataError, match="a ranker learns from 50 or more"):
        fit_joint(joint(host, spec), read, training, validation, options(host, "joint", ranker_lists=49))


def test_a_run_carries_its_retrievers_along(
    host: PluginHost, checkerboard: Board, runs: list[Path], tmp_path: Path
) -> None:
    spec, _, _ = checkerboard
    model = joint(host, spec)
    for place, folder in enumerate(runs):
        copy_run(folder, tmp_path / f"{place}")
    described = Checkpoint(
        "joint", config_to(model.config), "honeyguide 0", spec, "board", 0, 6, 0, {}, retrievers=("0", "1")
    )
    save_checkpoint(tmp_path, described, model.network())
    checkpoint, _, _ = load_checkpoint(tmp_path, host)
    for (_, network), folder in zip(sources_of(tmp_path, checkpoint, host), runs, strict=True):
        _, _, own = load_checkpoint(folder, host)
        assert all(torch.equal(a, b) for a, b in zip(network.parameters(), own.parameters(), strict=True))
    with pytest.raises(DataError, match="retrieves nothing"):
        read_retrievers([tmp_path], host, spec.fingerprint)


def test_a_retriever_of_other_data_is_refused(host: PluginHost, runs: list[Path]) -> None:
    with pytest.raises(DataError, match="another data set"):
        read_retrievers(runs, host, "f" * 64)


def test_a_retriever_is_refused_that_is_the_same_as_another(
    host: PluginHost, runs: list[Path], checkerboard: Board, tmp_path: Path
) -> None:
    copy_run(runs[0], tmp_path / "copy")
    for again in (runs[0], tmp_path / "copy"):
        with pytest.raises(DataError, match=r"the same as .*cf-0, to the last weight") as told:
            read_retrievers([*runs, again], host, checkerboard[0].fingerprint)
        assert "another --seed" in str(told.value)


def test_a_retriever_that_saw_the_held_back_steps_is_refused(
    host: PluginHost, checkerboard: Board, runs: list[Path]
) -> None:
    spec, training, validation = checkerboard
    read = read_retrievers(runs, host, spec.fingerprint)
    with pytest.raises(ConfigError, match=r"held 3 baskets back, .* learn from 4: give --fit ranker_tail=3"):
        fit_joint(joint(host, spec), read, training, validation, options(host, "joint", ranker_tail=4))


def test_a_retriever_without_its_first_state_is_refused(
    host: PluginHost, checkerboard: Board, runs: list[Path], tmp_path: Path
) -> None:
    spec, training, validation = checkerboard
    copy_run(runs[0], tmp_path)
    raw = json.loads((tmp_path / "checkpoint.json").read_text())
    (tmp_path / "checkpoint.json").write_text(json.dumps(raw | {"first": ""}))
    read = [RetrieverRun(tmp_path, *load_checkpoint(tmp_path, host))]
    with pytest.raises(DataError, match="the data has too few baskets"):
        fit_joint(joint(host, spec, 1), read, training, validation, options(host, "joint"))
    (tmp_path / "checkpoint.json").write_text(
        json.dumps(raw | {"first": "", "options": raw["options"] | {"candidates": 0}})
    )
    read = [RetrieverRun(tmp_path, *load_checkpoint(tmp_path, host))]
    with pytest.raises(DataError, match="without holding baskets back"):
        fit_joint(joint(host, spec, 1), read, training, validation, options(host, "joint"))
    own = checkerboard_host()
    folder = run(own, checkerboard, tmp_path / "tiny", "tiny", options(own, "tiny"))
    read = read_retrievers([folder], own, spec.fingerprint)
    with pytest.raises(DataError, match=r"the model has no ranker, and held nothing back for a ranker to learn from"):
        fit_joint(joint(host, spec, 1), read, training, validation, options(host, "joint"))
