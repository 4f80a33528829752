import io
import json
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog

from honeyguide.server.ops.logs import configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_no_color_turns_the_colours_of_the_log_off(
    monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("NO_COLOR", no_color)
    configure_logs()
    structlog.get_logger().info("hello")
    assert "hello" in terminal.getvalue()
    assert ("\x1b[" in terminal.getvalue()) is coloured


def test_warnings_of_python_are_lines_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form="json")
    warnings.showwarning("plugin 'x' is not used", RuntimeWarning, "a.py", 1)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("warning", "plugin 'x' is not used")
