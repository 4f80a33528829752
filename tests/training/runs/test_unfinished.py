from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.runs.unfinished import check_unclaimed, claim, discard, discard_empty, is_under_way, set_aside


def test_the_same_training_goes_on_and_another_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "progress"
    assert claim(folder, {"model": "cf", "data": "a"}) is False
    assert claim(folder, {"model": "cf", "data": "a"}) is True
    (folder / "retriever.safetensors").touch()
    with pytest.raises(ConfigError, match=r"another data lies in .*--force"):
        claim(folder, {"model": "cf", "data": "b"})
    check_unclaimed(folder)


def test_a_training_that_has_nothing_to_lose_gives_way(tmp_path: Path) -> None:
    claim(tmp_path, {"data": "a"})
    assert claim(tmp_path, {"data": "b"}) is False
    assert claim(tmp_path, {"data": "b"}) is True


def test_what_is_set_aside_leaves_the_folder_free_and_replaces_what_was_set_aside_before(tmp_path: Path) -> None:
    folder = tmp_path / "progress"
    for name in ("a", "b"):
        claim(folder, {"data": name})
        assert set_aside(folder) == tmp_path / "progress.failed"
        assert not folder.exists()
    assert '"b"' in (tmp_path / "progress.failed" / "training.json").read_text()
    discard(folder)
    assert list(tmp_path.iterdir()) == []


def test_only_a_training_with_an_epoch_done_stays(tmp_path: Path) -> None:
    folder = tmp_path / "progress"
    claim(folder, {"data": "a"})
    (folder / "retriever.safetensors").touch()
    discard_empty(folder)
    assert is_under_way(folder)
    (folder / "retriever.safetensors").unlink()
    discard_empty(folder)
    assert not folder.exists()
    discard_empty(folder)


def test_what_is_somebodys_is_neither_replaced_nor_removed(tmp_path: Path) -> None:
    notes = tmp_path / "progress.failed" / "notes.txt"
    notes.parent.mkdir()
    notes.touch()
    claim(tmp_path / "progress", {"data": "a"})
    assert set_aside(tmp_path / "progress") is None
    discard(tmp_path / "progress")
    assert [*tmp_path.rglob("*.txt")] == [notes]
    assert not (tmp_path / "progress").exists()


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


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\x00", b"[" * 100_000])
def test_a_broken_claim_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "training.json").write_bytes(content)
    with pytest.raises(DataError, match=r"training\.json: cannot be read .*\n.*begin anew with --force"):
        claim(tmp_path, {"model": "cf"})
