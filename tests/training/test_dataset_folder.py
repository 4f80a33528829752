import json
from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset_folder import HEADER, TABLE_FILES, check_source, check_target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like a data set, as far as can be told without reading tables."""
    (tmp_path / HEADER).write_text(json.dumps({"format_version": 1, "spec": {}, "split": "leave-one-out"}))
    for name in TABLE_FILES:
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize("name", [HEADER, *TABLE_FILES])
def test_a_data_set_without_one_of_its_files_is_none(folder: Path, name: str) -> None:
    check_source(folder)
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"this is not a data set: {name} is missing"):
        check_source(folder)


def test_only_a_data_set_alone_in_its_folder_is_replaced_and_only_by_force(folder: Path) -> None:
    check_target(folder / "absent", force=False)
    check_target(folder, force=True)
    with pytest.raises(DataError, match="a data set is there already"):
        check_target(folder, force=False)
    (folder / "notes.txt").touch()
    with pytest.raises(DataError, match=r"beside the data set this holds notes\.txt"):
        check_target(folder, force=True)
    (folder / HEADER).write_text("{}")  # another program's
    with pytest.raises(DataError, match="this exists and is no data set"):
        check_target(folder, force=True)
