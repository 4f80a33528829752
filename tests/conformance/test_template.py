"""Takes an author's project the whole way: written, installed into a fresh environment, tested, trained and served."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honeyguide.client import Client, Recommendations, UnavailableError
from honeyguide.conformance.project import write_project

pytestmark = [pytest.mark.slow(30), pytest.mark.tutorial]

ITEMS = 24
RECURRENT = """
from torch import nn
from torch.nn.functional import cross_entropy


class TrailMixNetwork(nn.Module):
    def __init__(self, options, data):
        super().__init__()
        self.table = nn.Embedding(data.items + 1, options.dimension)
        self.gru = nn.GRU(options.dimension, options.dimension, batch_first=True)
        self.out = nn.Linear(options.dimension, data.items, bias=False)

    def positions(self, batch):
        return self.gru(self.table(batch["tokens"]))[0]

    def user(self, batch):
        return self.positions(batch)[:, -1]

    def items(self):
        return self.out.weight

    def loss(self, batch):
        return cross_entropy(self.out(self.positions(batch)).flatten(0, 1), batch["targets"].flatten() - 1)
"""
"""What an author might write in the place of the template's network: nothing of it is there any more."""


class Author:
    """Works in an environment with nothing of its own but the project; what Honeyguide needs is lent to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv")
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.python = str(scripts / "python")
        packages = sysconfig.get_path("purelib", vars={"base": str(folder / "venv")})
        # A line that begins with import runs, so what is editable there is found too.
        lent = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
        (Path(packages) / "lent.pth").write_text(lent)

    def run(self, *words: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            [self.python, "-m", *words], cwd=cwd or self.folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def install(self, project: Path) -> None:
        self.run("pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", str(project))

    @contextmanager
    def serving(self, *words: str) -> Iterator[Client]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [self.python, "-m", "honeyguide.cli", "serve", "--port", str(port), "--metrics-port", "-1", *words]
        server = subprocess.Popen(command, cwd=self.folder)
        try:
            with Client(f"127.0.0.1:{port}") as client:
                yield client
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=30) == 0


def ask(client: Client, history: list[str]) -> Recommendations:
    """Asks as soon as the server answers."""
    end = time.monotonic() + 60
    while True:
        try:
            return client.recommend(history=history, k=3)
        except UnavailableError:
            assert time.monotonic() < end
            time.sleep(0.1)


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    author = Author(tmp_path_factory.mktemp("author"))
    author.install(write_project("trail-mix", author.folder))
    return author


def test_the_project_is_installed_trained_and_served(author: Author) -> None:
    walks = [(start, (start + 2 * step) % ITEMS) for start in range(ITEMS) for step in range(8)]
    lines = [f"user-{user},item-{item}\n" for user, item in walks]
    (author.folder / "events.csv").write_text("user_id,item_id\n" + "".join(lines))
    assert "trail_mix" in author.run("honeyguide.cli", "plugins")
    author.run("honeyguide.cli", "prepare", "events.csv", "--out", "data")
    learning = ("--lr", "0.03", "--epochs", "12", "--batch-tokens", "64", "--option", "dimension=16")
    author.run("honeyguide.cli", "train", "trail_mix", "data", "--out", "run", *learning)
    author.run("honeyguide.cli", "export", "run", "data", "--repository", "models")
    with author.serving("--repository", "models", "--events", "events.db") as client:
        answer = ask(client, ["item-1", "item-3", "item-5"])
        assert answer.items[0].item_id == "item-7"
        assert [(model.name, model.version) for model in answer.models] == [("trail_mix", 1)]
        assert len(answer.items) == 3


def test_the_projects_own_tests_pass_and_the_kit_runs_with_them(author: Author) -> None:
    done = author.run("pytest", "-q", "-rA", cwd=author.folder / "honeyguide-trail-mix")
    assert "PASSED tests/test_trail_mix.py::test_it_learns_that_the_next_item_follows" in done
    assert "PASSED --honeyguide-plugins=trail_mix::served_answers_are_right" in done


def test_the_template_is_short_enough_to_read(author: Author) -> None:
    files = list((author.folder / "honeyguide-trail-mix").glob("*.py"))
    assert [path.name for path in sorted(files)] == ["honeyguide_trail_mix.py", "honeyguide_trail_mix_network.py"]
    assert all(len(path.read_text().splitlines()) < 80 for path in files)


def test_the_projects_own_tests_survive_another_network(tmp_path: Path) -> None:
    folder = write_project("trail-mix", tmp_path)
    (folder / "honeyguide_trail_mix_network.py").write_text(RECURRENT)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider"],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
