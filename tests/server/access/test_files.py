"""Files are looked at once a second at most, and each change is told once: also one of a link above them."""

from __future__ import annotations

from pathlib import Path

from honeyguide.server.access.files import WatchedFiles


def test_each_change_is_told_once(tmp_path: Path) -> None:
    file, other = tmp_path / "a", tmp_path / "b"
    watched = WatchedFiles([file, other], seconds=0.0)
    assert not watched.changed()
    file.write_text("1")
    assert [watched.changed(), watched.changed()] == [True, False]
    other.write_text("1")
    other.replace(file)
    assert [watched.changed(), watched.changed()] == [True, False]
    file.unlink()
    assert [watched.changed(), watched.changed()] == [True, False]


def test_a_link_that_moves_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes mounts secrets: the file is a link through a link to a folder, and that one is replaced."""
    for name in "12":
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens").write_text("same")
    (tmp_path / "data").symlink_to(tmp_path / "1")
    watched = WatchedFiles([tmp_path / "data" / "tokens"], seconds=0.0)
    (tmp_path / "new").symlink_to(tmp_path / "2")
    (tmp_path / "new").replace(tmp_path / "data")
    assert watched.changed()


def test_nothing_is_looked_at_before_its_time(tmp_path: Path) -> None:
    watched = WatchedFiles([tmp_path / "a"], seconds=3600)
    (tmp_path / "a").touch()
    assert not watched.changed()


def test_rights_that_change_are_a_change(tmp_path: Path) -> None:
    """What was refused because everybody could write to it, or nobody read it, is mended so."""
    file = tmp_path / "a"
    file.write_text("1")
    watched = WatchedFiles([file], seconds=0.0)
    file.chmod(0o600)
    assert watched.changed()
