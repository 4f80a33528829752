"""What two processes see of it stands in `tests/training/fit/test_training_again.py`."""

from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.folder_lock import sole_use


def test_a_folder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    folder, lock = tmp_path / "run", tmp_path / "run" / ".lock"
    with sole_use(folder, lock, "training"):
        with (
            pytest.raises(DataError, match=rf"{folder}: another training works on this now \(process \d+\)"),
            sole_use(folder, lock, "training"),
        ):
            raise AssertionError
        (folder / "weights").touch()
    with sole_use(folder, lock, "training"):
        pass
    assert [path.name for path in folder.iterdir()] == ["weights"]


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with sole_use(tmp_path / "run", tmp_path / "run" / ".lock", "training"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with (
        pytest.raises(DataError, match=r"run/\.lock: the lock cannot be written: (File exists|Not a directory)"),
        sole_use(tmp_path / "run", tmp_path / "run" / ".lock", "training"),
    ):
        raise AssertionError
