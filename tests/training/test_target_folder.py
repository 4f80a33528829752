from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import check_makeable


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
