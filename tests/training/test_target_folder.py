from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import check_makeable, is_full_disk, writing


def test_what_lies_beneath_a_file_cannot_be_made(tmp_path: Path) -> None:
    check_makeable(tmp_path)
    check_makeable(tmp_path / "deep" / "er")
    (tmp_path / "notes").touch()
    for folder in (tmp_path / "notes", tmp_path / "notes" / "deep" / "er"):
        with pytest.raises(DataError, match="notes is no folder"):
            check_makeable(folder)


def test_a_read_only_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)  # root may write everywhere
    with pytest.raises(DataError, match=f"{tmp_path} cannot be written to"):
        check_makeable(tmp_path / "deep")


def test_what_a_disk_refuses_names_the_file_and_what_was_written_and_leaves_no_draft(tmp_path: Path) -> None:
    draft = tmp_path / "table.part"
    draft.write_text("half")
    with (
        pytest.raises(DataError, match=r"table\.csv: the table cannot be written: Is a directory\n  remedy: make room"),
        writing(tmp_path / "table.csv", "the table", draft=draft),
    ):
        tmp_path.write_text("")
    assert not draft.exists()


def test_a_library_s_own_name_for_a_full_disk_is_known_and_a_fault_is_not_taken_for_one(tmp_path: Path) -> None:
    with (
        pytest.raises(DataError, match="the table cannot be written: no room left") as raised,
        writing(tmp_path, "the table", LookupError),
    ):
        raise LookupError("no room\n left")
    assert isinstance(raised.value.__cause__, LookupError)
    with pytest.raises(LookupError), writing(tmp_path, "the table"):
        raise LookupError


def test_a_full_disk_is_found_behind_another_error() -> None:
    error = ValueError("half a file")
    assert not is_full_disk(error)
    error.__context__ = OSError(28, "No space left on device")
    assert is_full_disk(error)
    assert not is_full_disk(OSError(2, "No such file or directory"))


def test_a_ring_of_links_a_name_too_long_and_a_zero_byte_are_told(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    for name, reason in (
        ("one", "(Symlink loop|Too many levels)"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null"),
    ):
        with pytest.raises(DataError, match=rf"(?s){reason}.*name another folder"):
            check_makeable(tmp_path / name)
