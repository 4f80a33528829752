"""Runs the whole command as a terminal does, to see what becomes of errors."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from honeyguide.cli import main
from honeyguide.cli.app import run


def test_a_place_that_cannot_be_written_is_named_without_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "notes").touch()
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # `run` would set it for all later tests
    monkeypatch.setattr(sys, "argv", ["honeyguide", "demo", "--folder", str(tmp_path / "notes" / "demo")])
    with pytest.raises(SystemExit) as stop:
        run()
    assert stop.value.code == 1
    assert capsys.readouterr().err == f"error: {tmp_path / 'notes' / 'demo'}: Not a directory\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told_without_traceback() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "honeyguide.cli", "plugins", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "error: standard output: No space left on device\n")


def test_an_interrupt_while_libraries_are_loaded_is_told_without_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "honeyguide.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "honeyguide.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 130


def test_the_version_is_told_without_a_verb() -> None:
    command = [sys.executable, "-m", "honeyguide.cli", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"honeyguide {metadata.version('honeyguide')}\n"
