"""Text from outside is text: nothing of it acts on a terminal, forges a line, or hides."""

from __future__ import annotations

import json

import pytest

from honeyguide.answers.plain_text import plain_json, plain_line, plain_text

HARMLESS = ["", "85123A", "Öl [red] 100 %", "日本\u3000語", "می\u200cخواهم", "👩\u200d🚀", r"C:\x1b", "a\xa0b"]
ACTING = {
    "\x1b]0;t\x07": r"\x1b]0;t\x07",
    "\x9b2J": r"\x9b2J",
    "\u202eabc": r"\u202eabc",
    "a\rb": r"a\rb",
    "a\x7f": r"a\x7f",
    "\u2028x": r"\u2028x",
    "a\u200bb": r"a\u200bb",
    "\udcff": r"\udcff",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize("text", HARMLESS)
def test_what_acts_on_nothing_stays_as_it_is(text: str) -> None:
    assert plain_text(text) == plain_line(text) == text


@pytest.mark.parametrize(("text", "written"), ACTING.items())
def test_what_acts_is_escaped_once(text: str, written: str) -> None:
    assert plain_text(text) == plain_line(text) == written
    assert plain_text(plain_text(text)) == written


def test_lines_stay_lines_unless_one_is_asked_for() -> None:
    assert plain_text("a\n\tb") == "a\n\tb"
    assert plain_line("a\n\tb") == r"a\n\tb"


@pytest.mark.parametrize("text", [*HARMLESS, *ACTING, "a\nb"])
def test_json_means_the_same_and_holds_nothing_that_acts(text: str) -> None:
    written = plain_json({"t": [text]})
    assert json.loads(written) == {"t": [text]}
    assert plain_text(written) == written
    assert plain_json({"t": [text]}, ascii_only=True).isascii()
