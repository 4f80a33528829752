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

FUNCTIONS = {
    "prepare": training.prepare,
    "train": training.train,
    "evaluate": training.evaluate,
    "export": exporters.export,
}
WRONG = {
    "prepare": (("{none}/log.csv", "--out", "{out}"), "nowhere/log.csv: there is no such file"),
    "train": (("cf", "{none}", "--out", "{out}"), "nowhere: this is not a data set: dataset.json is missing"),
    "evaluate": (("{none}", "{out}"), "nowhere: there is no such folder"),
    "export": (("{none}", "{out}"), "nowhere: there is no such folder"),
}
"""By verb: arguments that name what is not there, and what the verb says of it."""
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
def test_what_is_not_there_is_refused_before_anything_heavy_is_loaded(verb: str, tmp_path: Path) -> None:
    words, message = WRONG[verb]
    arguments = [verb, *(word.format(none=tmp_path / "nowhere", out=tmp_path / "out") for word in words)]
    program = (
        "import sys; from honeyguide.cli import main\n"
        f"sys.argv = ['honeyguide', *{arguments!r}]\n"
        "try: main()\n"
        "finally: print(*{'torch', 'lightning', 'faiss', 'onnxruntime', 'polars'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "\n")
    assert message in done.stderr
    assert not (tmp_path / "out").exists()
