"""What verbs print: tables as wide as the terminal, data that is no markup, commands that a shell takes as they are."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path

import pytest

from honeyguide.cli import output
from honeyguide.cli.output import (
    command_line,
    print_json,
    print_line,
    print_metrics,
    print_next,
    print_note,
    print_table,
    progress,
    working,
)

HOSTILE = "[/x] boom [red]x :smile: \x1b]0;t\x07 \x9b2J \u202eabc \r\udcff"
WRITTEN = r"[/x] boom [red]x :smile: \x1b]0;t\x07 \x9b2J \u202eabc \r\udcff"

ROWS = [(1, "B0000AXB12-very-long-id-of-an-item-8713", "A [/x] title of [red] many words, all whole", 0.5)]
COLUMNS = ("rank", "item", "title", "score")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.stdout, "_width", 60)


@pytest.mark.usefixtures("narrow")
def test_a_table_that_fits_sixty_columns_stays_a_table_and_no_word_of_it_is_broken(capsys: Captured) -> None:
    print_table("", COLUMNS, [(1, "B0000AXB12", "A [/x] title of [red] many words, all of them whole", 0.5)])
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 60
    assert "│ rank │ item       │" in text.replace("┃", "│")
    words = text.replace("│", " ").split()
    for word in ("rank", "title", "score", "B0000AXB12", "[/x]", "[red]", "words,", "whole", "0.5000"):
        assert word in words


@pytest.mark.usefixtures("narrow")
def test_a_table_whose_words_would_be_broken_becomes_lines(capsys: Captured) -> None:
    print_table("Of user", COLUMNS, [*ROWS, (2, "b", "–", 0.25)])
    assert capsys.readouterr().out.splitlines() == [
        "Of user",
        "rank: 1",
        "item: B0000AXB12-very-long-id-of-an-item-8713",
        "title: A [/x] title of [red] many words, all whole",
        "score: 0.5000",
        "",
        "rank: 2",
        "item: b",
        "score: 0.2500",
        "",
    ]


@pytest.mark.usefixtures("narrow")
def test_a_table_of_names_and_values_becomes_a_line_for_each(capsys: Captured) -> None:
    print_table("", ("field", "value"), [("name", "cf"), ("fingerprint", "a" * 64)])
    assert capsys.readouterr().out.splitlines() == ["name: cf", f"fingerprint: {'a' * 64}", ""]


def test_the_same_table_is_one_where_there_is_room(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.stdout, "_width", 110)
    print_table("", COLUMNS, ROWS)
    assert "A [/x] title of [red] many words, all whole" in capsys.readouterr().out


@pytest.mark.usefixtures("narrow")
def test_a_long_word_is_kept_whole_beside_a_longer_text(capsys: Captured) -> None:
    print_table("", ("a", "b"), [("0123456789 " * 9, "x" * 38)])
    assert "x" * 38 in capsys.readouterr().out


def test_a_table_without_rows_or_words_is_printed(capsys: Captured) -> None:
    print_table("", ("", "b"), [])
    print_table("", ("", "b"), [("", "two\nlines")])
    assert "│ lines │" in capsys.readouterr().out


def test_metrics_get_a_column_for_each_stage(capsys: Captured) -> None:
    print_metrics("[/x]", {"retrieve": {"hr@10": 0.5, "auc": 0.25}, "rank": {"hr@10": 0.75}})
    text = capsys.readouterr().out
    assert text.startswith("[/x]\n")
    assert "│ auc    │   0.2500 │      – │" in text


def test_json_keeps_letters_and_brackets(capsys: Captured) -> None:
    print_json({"title": "Öl [/x]"})
    assert json.loads(capsys.readouterr().out) == {"title": "Öl [/x]"}


def test_notes_and_what_is_under_way_are_no_markup(capsys: Captured) -> None:
    print_note("note", "the pipeline [/x] has [red]no[/red] ranker")
    print_next("honeyguide recommend '[/x]'")
    with working("[/x]") as change:
        change("[red] [/y]")
    text = capsys.readouterr().err
    assert "note: the pipeline [/x] has [red]no[/red] ranker\n" in text
    assert "next: honeyguide recommend '[/x]'\n" in text


@pytest.mark.parametrize("word", ["a b", "it's", "$HOME", "[/x]", "a;b", "", "ö"])
def test_a_command_comes_back_from_the_shell_as_it_was(word: str) -> None:
    line = command_line("train", "cf", word, out=word, server=None)
    assert shlex.split(line) == ["honeyguide", "train", "cf", word, "--out", word]


def test_an_id_that_looks_like_an_option_stands_behind_two_dashes() -> None:
    line = command_line("record", "-1", "item", server="host:1")
    assert line == "honeyguide record --server host:1 -- -1 item"


@pytest.mark.parametrize(("width", "whole"), [(60, 2), (200, 4)])  # a narrow table's cells are broken into lines
def test_nothing_from_outside_acts_on_a_terminal(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, width: int, whole: int
) -> None:
    monkeypatch.setattr(output.stdout, "_width", width)
    print_table(HOSTILE, ("rank", HOSTILE), [(1, HOSTILE)])
    print_line(HOSTILE)
    print_note(HOSTILE, HOSTILE)
    print_next(HOSTILE)
    print_json({HOSTILE: HOSTILE})
    with working(HOSTILE) as change, progress(HOSTILE) as bar:
        change(HOSTILE)
        bar.add_task(HOSTILE, total=1, rate=HOSTILE)
    written = capsys.readouterr()
    assert written.out.count(WRITTEN) == whole
    assert written.err.count(WRITTEN) == 3
    for character in "\x1b\x07\x9b\u202e\r\udcff":
        assert character not in written.out + written.err


@pytest.mark.usefixtures("narrow")
def test_a_line_break_from_outside_makes_no_line_of_ours(capsys: Captured) -> None:
    print_note("warning", "bad title x\nerror: forged\n  remedy: ours")
    print_table("", ("rank", "item", "title", "score"), [(1, "a" * 50, "x\nscore: 9", 0.5)])
    written = capsys.readouterr()
    assert written.err == "warning: bad title x\n  error: forged\n  remedy: ours\n"
    assert "\nscore: 9" not in written.out


def test_verbs_print_by_this_module_alone() -> None:
    """What prints otherwise is not escaped; ``typer.echo`` of the version is ours."""
    for path in Path(output.__file__).parent.glob("*.py"):
        if path.name == "output.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                words = ast.unparse(node.func)
                assert words not in ("print", "Console", "traceback.print_exc", "typer.secho"), f"{path.name}: {words}"
                assert words != "typer.echo" or "version" in ast.unparse(node), path.name
                assert not any(k.arg == "markup" and ast.unparse(k.value) == "True" for k in node.keywords), path.name
