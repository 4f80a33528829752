from pathlib import Path

import pytest

from honeyguide.sdk.names import NAME_PATTERN, version_number, versions_in


@pytest.mark.parametrize(("name", "version"), [("1", 1), ("10", 10), ("9" * 18, int("9" * 18))])
def test_a_folder_of_a_number_is_a_version(name, version):
    assert version_number(name) == version


@pytest.mark.parametrize("name", ["", "0", "007", "-1", "+1", " 1", "1.0", "²", "٣", "v1", ".1", "9" * 19])
def test_any_other_name_is_none(name):
    assert version_number(name) is None


def test_versions_are_folders_in_ascending_order(tmp_path: Path):
    for name in ("10", "9", "007", "notes", ".3-part"):
        (tmp_path / name).mkdir()
    (tmp_path / "11").touch()
    assert versions_in(tmp_path) == [9, 10]
    assert versions_in(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["a", "item_knn", "cf-2", "a" * 64])
def test_lower_case_words_are_names(name):
    assert NAME_PATTERN.fullmatch(name)


@pytest.mark.parametrize("name", ["", "A", "1a", "_a", "a b", "ä", "a" * 65, "a\n"])
def test_anything_else_is_no_name(name):
    assert not NAME_PATTERN.fullmatch(name)
