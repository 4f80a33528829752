"""Holds what a person sees while a model is trained: lines in a pipe, bars on a terminal, and what Ctrl-C leaves."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from honeyguide import training
from honeyguide.cli.training_progress import training_progress
from honeyguide.training.fit.progress import Progress
from honeyguide.training.runs.history import read_history

pytestmark = pytest.mark.slow(13)

PLAN = {"first": 4, "ranker": 2, "retriever": 4}


def report(phase: str, epoch: int, batch: int = 1) -> Progress:
    return Progress(phase, epoch, PLAN[phase], batch, 2, 0.25, PLAN)


def shown(reports: Sequence[tuple[float, Progress]], *, terminal: bool = False) -> str:
    """Returns what is shown of reports, each made at a time in seconds."""
    file, clock = io.StringIO(), [0.0]
    with training_progress(Console(file=file, force_terminal=terminal, width=120), now=lambda: clock[0]) as progress:
        for clock[0], now in reports:
            progress(now)
    return file.getvalue()


def test_in_a_pipe_a_line_comes_at_once_and_then_every_ten_seconds() -> None:
    reports = [(float(second), report("first", 1 + second // 8, 1 + second // 4 % 2)) for second in range(4, 28)]
    lines = shown([*reports, (28.0, report("ranker", 1))]).splitlines()
    figure = "best NDCG@10 0.2500"
    assert lines == [
        f"first (phase 1 of 3): epoch 1 of at most 4, batch 2 of 2, {figure}; 0:00:04 gone",
        f"first (phase 1 of 3): epoch 2 of at most 4, batch 2 of 2, {figure}; 0:00:14 gone, at most 0:01:20 left",
        f"first (phase 1 of 3): epoch 4 of at most 4, batch 1 of 2, {figure}; 0:00:24 gone, at most 0:00:52 left",
        f"ranker (phase 2 of 3): epoch 1 of at most 2, batch 1 of 2, {figure}; 0:00:28 gone",
    ]


def test_a_training_that_goes_on_counts_its_own_time_alone() -> None:
    first, second = shown([(9.0, report("retriever", 3)), (20.0, report("retriever", 4))]).splitlines()
    assert first.endswith("best NDCG@10 0.2500; 0:00:09 gone")  # getting ready took long, an epoch will not
    assert second.endswith("0:00:20 gone, at most 0:00:06 left")


def test_on_a_terminal_there_is_a_bar_for_each_phase_and_the_total() -> None:
    text = re.sub(
        r"\x1b\[[0-9;?]*[A-Za-z]", "", shown([(9.0, report("first", 1)), (9.5, report("ranker", 2, 2))], terminal=True)
    )
    last = text.splitlines()[-4:]
    assert [row.split()[0] for row in last] == ["first", "ranker", "retriever", "total"]
    assert all("100%" in row for row in last)
    assert "epoch 2 of at most 2 · best NDCG@10 0.2500" in last[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data that is trained on in no time, so that it is the number of epochs that takes long."""
    folder = tmp_path_factory.mktemp("data")
    rows = [f"u{user},i{(user + event) % 12}" for user in range(40) for event in range(6)]
    (folder / "log.csv").write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    training.prepare(folder / "log.csv", out=folder / "shop")
    return folder / "shop"


def command(data: Path, out: Path, *more: str) -> list[str]:
    words = ["train", "cf", str(data), "--out", str(out), "--candidates", "0", "--option", "dimension=4", *more]
    return [sys.executable, "-m", "honeyguide.cli", *words]


def test_a_piped_training_says_its_phase_epoch_figure_and_time(data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(data, tmp_path / "run", "--epochs", "2"), capture_output=True, text=True, check=True, timeout=120
    )
    line = done.stderr.splitlines()[0]
    pattern = (
        r"retriever: epoch 1 of at most 2, batch 1 of \d+, best NDCG@10 0\.\d{4}; "
        r"\d:\d\d:\d\d gone"  # what is left is known from the second line on
    )
    assert re.fullmatch(pattern, line)
    assert f"history, an epoch a row: {tmp_path / 'run' / 'history.csv'}" in done.stdout
    assert read_history(tmp_path / "run")["epoch"].to_list() == [0, 1, 2]


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = command(data, out, "--epochs", "100000", "--patience", "100000")
    first_epochs = []
    for _ in range(2):
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"retriever: epoch (\d+) of at most 100000", line)
            assert found, line
            first_epochs.append(int(found[1]))
            while read_history(out / "progress")["epoch"].max() < first_epochs[-1] + 3:  # type: ignore[operator]  # numbers
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
            assert process.wait(timeout=60) == 130
        assert "stopped; give the same command again to go on" in rest
        assert "Traceback" not in rest
    assert first_epochs[0] == 1
    assert first_epochs[1] > 3
    epochs = read_history(out / "progress")["epoch"].to_list()
    assert epochs == list(range(len(epochs)))
