from pathlib import Path

import pytest
from checkerboard import checkerboard_data, checkerboard_host

from honeyguide.sdk.errors import DataError
from honeyguide.training.runs.checkpoint import Checkpoint, plugin_of, save_checkpoint
from honeyguide.training.runs.retrievers import read_retrievers, sources_of
from honeyguide.training.runs.run import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished run of the model "tiny" on the checkerboard."""
    host, spec = checkerboard_host(), checkerboard_data()[0]
    cls = host.model("tiny")
    checkpoint = Checkpoint(
        model="tiny",
        config={"width": 4, "dropout": 0.25, "max_length": 7},
        plugin=plugin_of(host, "tiny"),
        spec=spec,
        dataset="board",
        seed=0,
        candidates=0,
        epochs=1,
        metrics={},
        report={},
    )
    save_checkpoint(tmp_path / "run", checkpoint, cls(cls.Config(width=4), spec).network())
    return tmp_path / "run"


def test_a_run_stands_wherever_its_folder_may(folder: Path) -> None:
    run = Run.open(folder)
    assert (Path(run), run.checkpoint.model, run.checkpoint.dataset) == (folder, "tiny", "board")
    with pytest.raises(DataError, match="history"):
        _ = run.history  # nothing was trained here


def test_a_retriever_is_read_with_its_network(folder: Path) -> None:
    (retriever,) = read_retrievers([folder], checkerboard_host(), checkerboard_data()[0].fingerprint)
    assert (retriever.folder, retriever.model.name) == (folder, "tiny")
    assert retriever.source[0] is retriever.model
    assert sources_of(folder, retriever.checkpoint, checkerboard_host()) == []  # nothing lies beneath it


def test_a_retriever_of_other_data_is_refused_with_its_folder(folder: Path) -> None:
    with pytest.raises(DataError, match=r"run: it was trained on 'board' as it was then, which is another data set"):
        read_retrievers([folder], checkerboard_host(), "f" * 64)
