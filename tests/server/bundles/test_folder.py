"""A repository is looked at before anything of it is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.bundles.folder import check_folder, list_versions


def test_versions_are_listed_newest_first_and_what_is_none_is_passed_over(tmp_path: Path) -> None:
    for name in ("b/1", "b/10", "b/2", "b/007", "b/notes", "a/3", "empty", ".hidden/1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "file").touch()
    assert list_versions(tmp_path) == {"a": [3], "b": [10, 2, 1]}
    check_folder(tmp_path)


def test_what_is_no_repository_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist; `honeyguide demo`"):
        check_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="holds no bundle; `honeyguide demo`"):
        check_folder(tmp_path)
