"""Reads the tutorial as an author would: saves its files, types its commands, and checks every model it grows."""

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from honeyguide.client import Client, UnavailableError
from honeyguide.conformance.kit import checks, run_checks
from honeyguide.conformance.subject import Subject
from honeyguide.sdk import (
    Explains,
    HistoryBatch,
    ItemTable,
    Network,
    Observes,
    PlacesItems,
    Ranks,
    Relates,
    Scores,
    Steps,
)
from honeyguide.sdk.host import PluginHost

pytestmark = pytest.mark.slow(40)

PAGE = Path(__file__).parents[2] / "docs" / "write-a-model.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
ITEMS = 40
GROWN = ("noticing", "fading", "described", "followed", "picky")


class Author:
    """Works in one folder; what `pip install` would do there is done without touching the environment."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder, self.address, self.server = folder, f"127.0.0.1:{port}", None
        self.printed = {}
        self.environment = os.environ | {
            "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            "PYTHONPATH": str(folder),
            "HONEYGUIDE_PORT": str(port),
            "HONEYGUIDE_METRICS_PORT": "-1",
            "HONEYGUIDE_SERVER": self.address,
        }

    def save(self):
        """Saves every block that names its file, and the plugin's metadata."""
        for kind, text in BLOCKS:
            if kind == "python":
                (self.folder / re.match(r"# (\w+\.py)\n", text)[1]).write_text(text)
        (project,) = (tomllib.loads(text)["project"] for kind, text in BLOCKS if kind == "toml")
        info = self.folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        points = project["entry-points"]["honeyguide.plugins"]
        lines = "".join(f"{name} = {module}\n" for name, module in points.items())
        (info / "entry_points.txt").write_text(f"[honeyguide.plugins]\n{lines}")

    def type(self, line):
        if line.startswith("honeyguide serve "):
            self.server = subprocess.Popen(line.split(), cwd=self.folder, env=self.environment)
            self.wait()
        elif line != "pip install -e .":
            done = subprocess.run(
                line.split(), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
            )
            assert done.returncode == 0, f"{line}:\n{done.stdout}\n{done.stderr}"
            self.printed[line] = done.stdout

    def wait(self):
        end = time.monotonic() + 60
        while True:
            try:
                with Client(self.address) as client:
                    assert list(client.models())
                    return
            except UnavailableError:
                assert time.monotonic() < end
                assert self.server.poll() is None
                time.sleep(0.1)

    def stop(self):
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            assert self.server.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def author(tmp_path_factory):
    author = Author(tmp_path_factory.mktemp("author"))
    author.save()
    # After item i always comes i + 1: the last item alone says what follows.
    rows = [f"user-{user},item-{(user + n) % ITEMS}\n" for user in range(4 * ITEMS) for n in range(8)]
    (author.folder / "events.csv").write_text("user_id,item_id\n" + "".join(rows))
    described = [f"item-{row},Item {row},item number {row},brand-{row % 3},{row}.5\n" for row in range(ITEMS)]
    (author.folder / "items.csv").write_text("item_id,name,text,brand,price\n" + "".join(described))
    yield author
    author.stop()


@pytest.mark.tutorial
def test_every_command_of_the_page_does_what_it_says(author):
    lines = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]
    for line in lines:
        author.type(line)
    assert "last_item keeps the plugin contract." in author.printed["honeyguide plugins check last_item"]
    assert all(name in author.printed["honeyguide plugins"] for name in GROWN)
    assert "item-4" in author.printed["honeyguide recommend --history item-1 --history item-3 -k 3"]


@pytest.mark.tutorial
def test_what_it_grows_into_keeps_the_contract(author, monkeypatch):
    monkeypatch.syspath_prepend(author.folder)
    host = PluginHost.load(strict=True)
    *inner, last = GROWN
    for name in inner:
        with Subject(name, host) as subject:
            for check in checks():
                if check.name == "axes_are_free":
                    break  # what these export, the last one exports too
                check(subject)
    results = {result.check.name: result for result in run_checks(last, host)}
    assert {name: result.message for name, result in results.items() if not result.passed} == {
        # One of the inner ones does.
        "observing_starts_anew": "its network does not observe",
        "neighbours_are_others": "its network has no neighbours of items",
        "items_are_placed": "its model has no item_inputs",
    }


@pytest.mark.parametrize("cls", [HistoryBatch, ItemTable])
def test_every_field_is_documented(cls):
    fields = [field.name for field in dataclasses.fields(cls) if not field.name.startswith("_")]
    missing = [name for name in fields if f"\n| `{name}` |" not in PAGE.read_text()]
    assert missing == []


@pytest.mark.parametrize("protocol", [Network, Observes, Ranks, Scores, Relates, Steps, Explains, PlacesItems])
def test_every_method_of_a_network_is_documented(protocol):
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    assert methods
    assert [name for name in methods if f"    def {name}(self" not in PAGE.read_text()] == []


def test_the_pages_plugin_loads_without_torch(author):
    program = "import described, picky, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env=author.environment).returncode == 0
