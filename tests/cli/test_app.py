"""Runs the whole command as a terminal does, to see what becomes of errors."""

import sys
from pathlib import Path

import pytest

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
