"""Each look-alike of a public data set is taken by the one command that stands in `docs/prepare.md`."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from lookalikes import ITEMS, LOOKALIKES, USERS, write
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.training.dataset import Dataset

PAGE = (Path(__file__).parents[2] / "docs" / "prepare.md").read_text("utf-8")
COMMANDS = {line.split()[2]: line for line in re.findall(r"`(honeyguide prepare \S+ --preset [^`]*)`", PAGE)}
FACTS: dict[str, dict[str, Any]] = {
    "Toys_and_Games.txt": {"repeats": False, "types": 0, "titled": False},
    "LastFM.txt": {"repeats": False, "types": 0, "titled": False},
    "steam-200k.csv": {"repeats": False, "types": 2, "titled": False},
    "rating.csv": {"repeats": False, "types": 0, "titled": True},
    "BX-Book-Ratings.csv": {"repeats": False, "types": 0, "titled": True},
    "events.csv": {"repeats": False, "types": 3, "titled": False},
    "ratings.csv": {"repeats": False, "types": 0, "titled": True},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write(folder)
    return folder


@pytest.mark.parametrize("name", LOOKALIKES)
def test_one_command_takes_it(name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    words = shlex.split(COMMANDS[name])[1:]
    words[words.index("--out") + 1] = str(tmp_path / "out")
    done = CliRunner().invoke(build(), words)
    assert done.exit_code == 0, done.exception or done.output
    data = Dataset.open(tmp_path / "out")
    assert data.counts["users"] == USERS
    assert 60 <= data.counts["items"] <= ITEMS
    assert data.counts["validation"] >= 50
    assert data.report["dropped"] == [] or name in ("steam-200k.csv", "events.csv")
    assert {
        "repeats": data.spec.repeats,
        "types": len(data.spec.event_types),
        "titled": bool((data.items["title"] != "").any()),
    } == FACTS[name]


def test_values_that_mean_none_are_none(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    assert (
        CliRunner()
        .invoke(build(), ["prepare", "rating.csv", "--preset", "anime", "--out", str(tmp_path / "a")])
        .exit_code
        == 0
    )
    data = Dataset.open(tmp_path / "a")
    assert data.report["features"]["value"]["missing"] > 0
    assert data.spec.features[0].lower >= 5
