import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from checkerboard import checkerboard_data, checkerboard_host
from typer.testing import CliRunner, Result

from honeyguide.cli.app import build
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.errors import ConfigError, DataError, InvalidArgument, PluginError
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset import Dataset, fingerprint

pytestmark = pytest.mark.slow(7)

RUN_FILES = {"checkpoint.json", "history.csv", "items.parquet", "weights.safetensors"}
Board = tuple[DataSpec, HistoryBatch, EvaluationSet]
Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls the command with the tiny models installed; an error of Honeyguide's own is raised."""
    monkeypatch.setattr(PluginHost, "load", checkerboard_host)

    def call(*arguments: object) -> Result:
        result = CliRunner().invoke(build(), [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call


def write(board: Board, folder: Path, *, renamed: int = 0) -> Path:
    """Writes the checkerboard as a data set: its last basket is test, the one before it validation.

    The first items, as many as ``renamed``, have other ids.
    """
    histories = board[1]
    users = np.repeat(np.arange(len(histories)), histories.lengths)
    from_end = histories.offsets[1:][users] - np.arange(len(users))
    items = histories.items
    split = np.where(from_end == 1, 2, np.where(from_end == 2, 1, 0)).astype(np.int8)
    events = pl.DataFrame({"user": users.astype(np.int32), "item": items.astype(np.int32), "split": split})
    people = pl.DataFrame({"user_id": [f"u{i}" for i in range(len(histories))]})
    catalogue = pl.DataFrame(
        {
            "item_id": [f"{'new' if i < renamed else 'i'}{i}" for i in range(board[0].items)],
            "title": [""] * board[0].items,
            "categories": [[]] * board[0].items,
            "popularity": np.bincount(items[split == 0], minlength=board[0].items),
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    spec = DataSpec(items=board[0].items, repeats=False, fingerprint=fingerprint(events, people, catalogue))
    Dataset(name="board", spec=spec, split="leave-one-out", events=events, users=people, items=catalogue).write(folder)
    return folder


@pytest.fixture(scope="module")
def checkerboard() -> Board:
    return checkerboard_data()


@pytest.fixture
def dataset(checkerboard: Board, tmp_path: Path) -> Path:
    return write(checkerboard, tmp_path / "data")


def test_train_then_evaluate_finds_the_known_answer(run: Run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = run("train", "tiny", dataset, "--out", out, "--option", "width=12", "--seed", "4", "--json")
    assert trained.exit_code == 0
    told = json.loads(trained.stdout)
    assert told["metrics"]["retrieve/ndcg@10"] == 1.0
    assert f"honeyguide evaluate {out} {dataset}" in trained.stderr
    assert {file.name for file in out.iterdir()} == RUN_FILES
    written = json.loads((out / "checkpoint.json").read_text())
    assert (written["seed"], written["config"]["width"], written["plugin"]) == (4, 12, "tiny-plugin 1.2")
    measured = run("evaluate", out, dataset, "--k", "1,10", "--json")
    assert measured.exit_code == 0
    stages = json.loads(measured.stdout)["stages"]
    assert stages["retrieve"]["hr@1"] == 1.0
    assert stages["popularity"]["hr@1"] < 0.5
    assert set(stages) == {"popularity", "transitions", "retrieve"}


def test_evaluate_shows_one_table_with_a_column_for_each_stage(run: Run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", "tiny_ranking", dataset, "--out", out, "--option", "width=1", "--candidates", "24")
    shown = run("evaluate", out, dataset, "--split", "validation")
    assert shown.exit_code == 0
    for word in ("popularity", "retrieve", "rank", "ndcg@10", "auc", "coverage@20", "validation, 120 users"):
        assert word in shown.stdout
    assert "honeyguide export" in shown.stderr


def test_train_says_whether_the_ranker_stays(run: Run, dataset: Path, tmp_path: Path) -> None:
    shown = run("train", "tiny_shuffling", dataset, "--out", tmp_path / "run")
    assert "ranker: left out: NDCG@10 -" in shown.stdout
    assert "best epoch" in shown.stdout


def test_an_unfinished_training_with_other_arguments_is_not_mixed_in(run: Run, dataset: Path, tmp_path: Path) -> None:
    progress = tmp_path / "run" / "progress"
    progress.mkdir(parents=True)
    (progress / "training.json").write_text(
        '{"model": "tiny", "config": {}, "options": {}, "data": "", "retrievers": []}'
    )
    (progress / "retriever.safetensors").touch()  # there is something to lose
    with pytest.raises(ConfigError, match=r"another config and data and options lies in .*begin anew with --force"):
        run("train", "tiny", dataset, "--out", tmp_path / "run", "--epochs", "1")
    run("train", "tiny", dataset, "--out", tmp_path / "run", "--epochs", "1", "--force")
    assert {file.name for file in (tmp_path / "run").iterdir()} == RUN_FILES


def test_a_trained_model_is_replaced_only_by_force(run: Run, dataset: Path, tmp_path: Path) -> None:
    words = ("train", "tiny", dataset, "--out", tmp_path / "run", "--epochs", "1")
    run(*words, "--seed", "1")
    before = (tmp_path / "run" / "weights.safetensors").read_bytes()
    with pytest.raises(DataError, match="a trained model lies in here"):
        run(*words, "--seed", "2")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == before
    run(*words, "--seed", "2", "--force")
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() != before


def test_a_folder_of_the_users_own_called_progress_stays(run: Run, dataset: Path, tmp_path: Path) -> None:
    notes = tmp_path / "progress" / "notes.txt"
    notes.parent.mkdir()
    notes.touch()
    with pytest.raises(DataError, match="no unfinished training lies in here"):
        run("train", "tiny", dataset, "--out", tmp_path)
    assert notes.exists()


def test_an_unknown_model_is_named_with_those_that_exist(run: Run, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="'grandiose'; there are: tiny, tiny_counting"):
        run("train", "grandiose", dataset, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_that_retrieves_takes_no_retrievers(run: Run, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="none: model 'tiny' retrieves for itself"):
        run("train", "tiny", dataset, "--out", tmp_path / "run", "--retriever", tmp_path)


def test_an_older_run_is_measured_on_new_data_and_says_what_it_knows(
    run: Run, dataset: Path, checkerboard: Board, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run("train", "tiny", dataset, "--out", out)
    new = write(checkerboard, tmp_path / "new", renamed=6)
    same = json.loads(run("evaluate", out, dataset, "--k", "1", "--json").stdout)
    assert "known" not in same
    told = json.loads(run("evaluate", out, new, "--k", "1", "--json").stdout)
    known = told["known"]
    assert (known["items_known"], known["items_total"], known["targets_total"]) == (18, 24, told["users"])
    assert 0 < known["targets_known"] < known["targets_total"]
    # It knows the answer wherever the newest event and the target are items it knows.
    assert 0.5 < told["stages"]["retrieve"]["hr@1"] <= known["targets_known"] / known["targets_total"]
    shown = run("evaluate", out, new)
    missed = 1 - known["targets_known"] / known["targets_total"]
    assert "known by item id: 18 of 24 items, " in shown.stdout
    assert f"{missed:.1%} of the targets cannot be hit, and count as misses" in shown.stdout
    assert f"measured on {new}" in " ".join(shown.stdout.split())
    assert "honeyguide export" not in shown.stderr
    with pytest.raises(DataError, match=r"knows 0 of the 24 items"):
        run("evaluate", out, write(checkerboard, tmp_path / "foreign", renamed=24))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("train", "tiny", "x", "--out", "y", "--option", "width"), "KEY=VALUE"),
        (("evaluate", "x", "y", "--k", "many"), "--k"),
    ],
)
def test_wrong_usage_exits_with_2(run: Run, arguments: tuple[str, ...], word: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr


@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_help_shows_an_example(run: Run, verb: str) -> None:
    assert f"Example: honeyguide {verb} " in run(verb, "--help").stdout
