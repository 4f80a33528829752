"""Takes an author's project the whole way: written, installed into a fresh environment, tested, trained and served."""

import os
import signal
import socket
import subprocess
import sysconfig
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from honeyguide.client import Client, Recommendations, UnavailableError
from honeyguide.conformance.project import write_project

ITEMS = 24


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
    assert "PASSED tests/test_trail_mix.py::test_an_open_gate_lets_the_last_item_through" in done
    assert "PASSED --honeyguide-plugins=trail_mix::served_answers_are_right" in done


def test_the_template_is_short_enough_to_read(author: Author) -> None:
    (model,) = (author.folder / "honeyguide-trail-mix").glob("*.py")
    assert len(model.read_text().splitlines()) < 120
