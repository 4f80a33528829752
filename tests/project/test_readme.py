"""Runs every code block of the README, in its order, as a reader would, in one empty folder.

The demo finds a few customers and items of its log there, so that it trains for seconds; all else of it is the same.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from honeyguide.client import Client, UnavailableError
from honeyguide.training.preparation.presets import demo_sources

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
RUNNABLE = [(kind, text) for kind, text in BLOCKS if kind != "text"]
CUSTOMERS, ITEMS = 80, 400  # more items than the demo looks through for one that is new to its visitor
DEMO = """
import sys
from pathlib import Path
from honeyguide.cli import main
from honeyguide.training.preparation import presets
presets.files = lambda package: Path()
sys.argv[0] = "honeyguide"
sys.exit(main())
"""

pytestmark = [pytest.mark.slow(60), pytest.mark.tutorial]


class Reader:
    """Types what stands in the README."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder = folder
        self.address = f"127.0.0.1:{port}"
        self.servers = []
        self.environment = os.environ | {
            "PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"],
            "HONEYGUIDE_PORT": str(port),
            "HONEYGUIDE_METRICS_PORT": "0",
            "HONEYGUIDE_SERVER": self.address,
        }

    def read(self, kind, text):
        if kind == "python":
            self.run([sys.executable, "-c", text.replace("127.0.0.1:50051", self.address)])
        for line in text.splitlines() if kind == "bash" else ():
            if line == ". .venv/bin/activate":
                continue  # PATH above does that
            if line.startswith("make "):
                self.make(line.removeprefix("make "))
            elif line.startswith("honeyguide serve "):
                self.serve(line.split())
            else:
                self.run(line.split())

    def make(self, word):
        """Runs what the Makefile's word runs, in this folder and environment."""
        recipe = re.search(rf"^{word}:.*\n\t(.*)", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
        command = recipe.replace("$(BIN)/", "").split()
        if command == ["honeyguide", "demo"]:
            self.run([sys.executable, "-c", DEMO, "demo"])
        else:
            assert command[0] == "pytest"  # that is this run

    def run(self, command):
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"

    def serve(self, command):
        self.stop()
        self.servers.append(subprocess.Popen(command, cwd=self.folder, env=self.environment))
        end = time.monotonic() + 60
        while time.monotonic() < end and self.servers[-1].poll() is None:
            try:
                with Client(self.address) as client:
                    assert list(client.models())
                    return
            except UnavailableError:
                time.sleep(0.1)
        pytest.fail(f"{command} did not start")

    def stop(self):
        while self.servers:
            server = self.servers.pop()
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=30) == 0


def few_purchases(folder):
    """Writes a part of the demo's log as the demo's own files, and for a reader who has a log of one's own."""
    events, items = demo_sources()
    log = pl.read_parquet(events)
    log = log.filter(pl.col("customer_id").is_in(log["customer_id"].unique().sort().head(CUSTOMERS).to_list()))
    log = log.filter(
        pl.col("stock_code").is_in(log["stock_code"].value_counts(sort=True)["stock_code"][:ITEMS].to_list())
    )
    (folder / "demo_data").mkdir()
    log.write_parquet(folder / "demo_data" / events.name)
    shutil.copy(items, folder / "demo_data")
    own = log.select(user_id="customer_id", item_id="stock_code", ts=pl.col("time").dt.epoch("s"))
    own.write_csv(folder / "events.csv")


def test_every_block_of_the_readme_runs(tmp_path):
    assert [kind for kind, _ in RUNNABLE].count("python") >= 1
    few_purchases(tmp_path)
    reader = Reader(tmp_path)
    try:
        for kind, text in RUNNABLE:
            reader.read(kind, text)
    finally:
        reader.stop()
