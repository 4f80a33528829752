import io
import json
import logging
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
    handlers, level = logging.root.handlers, logging.root.level
    logging.root.handlers = []
    yield
    structlog.configure(**before)
    logging.root.handlers, logging.root.level = handlers, level


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


HOSTILE = "[red]x \x1b]0;t\x07 \u202e\n2026-01-01 [info] forged"


def raise_hostile() -> None:
    raise ValueError(HOSTILE)


@pytest.mark.parametrize("form", ["console", "json"])
def test_nothing_that_is_logged_acts_or_forges_a_line(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure_logs(form=form)
    log = structlog.get_logger()
    log.info(HOSTILE, title=HOSTILE, names=[HOSTILE], **{HOSTILE: 1})
    try:
        raise_hostile()
    except ValueError:
        log.exception("failed")
    logging.getLogger("grpc").error("of a library: %s", HOSTILE)
    written = capsys.readouterr().err
    assert written.count("forged") >= 6
    for character in "\x1b\x07\u202e":
        assert character not in written
    assert not any(line.startswith("2026-01-01") for line in written.splitlines())
    if form == "json":
        first, second, third = map(json.loads, written.splitlines())
        assert first["title"] == HOSTILE  # nothing is lost
        assert second["exception"][0]["exc_value"] == HOSTILE
        assert third["library"] == "grpc"


def test_warnings_of_python_are_lines_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form="json")
    warnings.showwarning("plugin 'x' is not used", RuntimeWarning, "a.py", 1)
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["event"]) == ("warning", "plugin 'x' is not used")
