from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.runs.history import Epoch, read_history, record

START, FIRST, SECOND = Epoch(0, None, 0.1, 0.5), Epoch(1, 2.5, 0.2, 1.5), Epoch(2, 2.25, 0.15, 1.25)


def test_a_phase_is_recorded_in_place_of_what_stood_there(tmp_path: Path) -> None:
    record(tmp_path, "first", [START, FIRST])
    record(tmp_path, "ranker", [START])
    record(tmp_path, "ranker", [START, FIRST, SECOND])
    assert read_history(tmp_path).rows() == [
        ("first", 0, None, 0.1, 0.5),
        ("first", 1, 2.5, 0.2, 1.5),
        ("ranker", 0, None, 0.1, 0.5),
        ("ranker", 1, 2.5, 0.2, 1.5),
        ("ranker", 2, 2.25, 0.15, 1.25),
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_the_name_of_a_run_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "run [a-z]*"
    folder.mkdir()
    record(folder, "first", [START])
    assert len(read_history(folder)) == 1


def test_a_folder_without_history_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"history\.csv: there is no such file"):
        read_history(tmp_path)


@pytest.mark.parametrize("text", ["", "phase,epo", "phase,epoch,loss,ndcg@10,seconds\nfirst,one,,,\n"])
def test_a_broken_history_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(DataError, match=r"history\.csv: cannot be read"):
        read_history(tmp_path)


def test_a_blank_line_is_no_epoch(tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_text("phase,epoch,loss,ndcg@10,seconds\n\n")
    record(tmp_path, "first", [START])
    assert read_history(tmp_path).rows() == [("first", 0, None, 0.1, 0.5)]
