"""What the demo says it runs can be typed as it stands."""

from __future__ import annotations

import pytest

from honeyguide.cli import demo


def test_a_command_is_shown_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    demo._announce("1. Prepare", ["prepare", "--preset", "demo", "--out", "a folder"], " &")
    assert "$ honeyguide prepare --preset demo --out 'a folder' &" in capsys.readouterr().out
