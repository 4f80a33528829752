"""Walks the registries: every verb, hook and setting is documented, and every word of the README runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from click.testing import CliRunner

from honeyguide.cli.app import VERBS, build
from honeyguide.sdk import hooks

ROOT = Path(__file__).parents[2]
DOCS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("verb", VERBS)
def test_verb_has_a_line_in_the_page_and_help_with_an_example(verb):
    assert f"`{verb}`" in DOCS["cli.md"]
    command = typer.main.get_command(build())
    found = command.commands[verb]
    leaves = list(found.commands.values()) if hasattr(found, "commands") else [found]
    for leaf in leaves:
        path = [verb] if leaf is found else [verb, leaf.name]
        shown = CliRunner().invoke(command, [*path, "--help"])
        assert shown.exit_code == 0
        assert "Example" in shown.output, leaf.name


@pytest.mark.parametrize("hook", [n for n in dir(hooks) if hasattr(getattr(hooks, n), "honeyguide_spec")])
def test_hook_is_documented(hook):
    assert f"`{hook}" in DOCS["write-a-model.md"]


def test_links_lead_somewhere():
    for name, text in {"README.md": README, "CONTRIBUTING.md": (ROOT / "CONTRIBUTING.md").read_text(), **DOCS}.items():
        base = ROOT if name in ("README.md", "CONTRIBUTING.md") else ROOT / "docs"
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", text):
            assert (base / target).exists(), f"{name} links to {target}"


def test_generated_pages_are_up_to_date(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs" / "generate.py", tmp_path], check=True)
    for page in tmp_path.iterdir():
        assert page.read_text() == (ROOT / "docs" / page.name).read_text(), "run `make docs`"
