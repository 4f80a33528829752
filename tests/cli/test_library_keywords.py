"""Holds verbs and library together: each flag is a keyword, and both refuse at once what no work could mend."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from honeyguide import exporters, training
from honeyguide.cli.app import build

FUNCTIONS = {"evaluate": training.evaluate, "export": exporters.export}
OF_THE_VERB = {"json", "help"}
"""Flags that say how to print."""
OF_THE_LIBRARY = {"progress"}


def flags(verb: str) -> set[str]:
    command: Any = typer.main.get_command(build()).commands[verb]
    return {name for name in (p.name for p in command.params if p.param_type_name == "option") if name}


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_each_flag_is_a_keyword_of_the_same_name(verb: str) -> None:
    parameters = inspect.signature(FUNCTIONS[verb]).parameters.values()
    keywords = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert flags(verb) - OF_THE_VERB == keywords - OF_THE_LIBRARY


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_every_keyword_is_documented(verb: str) -> None:
    text = FUNCTIONS[verb].__doc__ or ""
    assert [name for name in inspect.signature(FUNCTIONS[verb]).parameters if f"        {name}: " not in text] == []


@pytest.mark.parametrize("verb", FUNCTIONS)
def test_a_wrong_folder_is_refused_before_anything_heavy_is_loaded(verb: str, tmp_path: Path) -> None:
    program = (
        "import sys; from honeyguide.cli import main\n"
        f"sys.argv = ['honeyguide', {verb!r}, {str(tmp_path / 'nowhere')!r}, {str(tmp_path)!r}]\n"
        "try: main()\n"
        "finally: print(*{'torch', 'lightning', 'faiss', 'onnxruntime', 'polars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "\n")
    assert "nowhere/checkpoint.json: there is no such file" in done.stderr
