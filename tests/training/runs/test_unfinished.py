from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.runs.unfinished import check_unclaimed, claim


def test_the_same_training_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "progress"
    assert claim(folder, {"model": "cf", "data": "a"}) is False
    assert claim(folder, {"model": "cf", "data": "a"}) is True
    with pytest.raises(ConfigError, match="another data lies in"):
        claim(folder, {"model": "cf", "data": "b"})
    check_unclaimed(folder)


def test_a_folder_of_somebodys_is_not_claimed(tmp_path: Path) -> None:
    check_unclaimed(tmp_path)
    check_unclaimed(tmp_path / "absent")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="no unfinished training"):
        check_unclaimed(tmp_path)


def test_a_kill_while_it_is_claimed_leaves_a_folder_that_is_free(tmp_path: Path) -> None:
    (tmp_path / "training.part").write_text("{")
    check_unclaimed(tmp_path)
    assert claim(tmp_path, {"model": "cf"}) is False
    assert claim(tmp_path, {"model": "cf"}) is True


def test_a_broken_claim_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(DataError, match=r"training\.json: cannot be read .*\n.*remove its folder"):
        claim(tmp_path, {"model": "cf"})
