"""Runs every code block of the README, in its order, as a reader would, in one empty folder.

The demo's log is cut to a few customers, so that its trainings take seconds; `make demo` shows all of it.
"""

import os
import re
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
        if command[0] != "pytest":  # that is this run
            self.run(command)

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


def test_every_block_of_the_readme_runs(tmp_path):
    assert [kind for kind, _ in RUNNABLE].count("python") >= 1
    purchases = pl.read_parquet(demo_sources()[0]).rename({"customer_id": "user_id", "stock_code": "item_id"})
    few = purchases.filter(pl.col("user_id").is_in(purchases["user_id"].unique().sort().head(150).to_list()))
    few.select("user_id", "item_id", ts=pl.col("time").dt.epoch("s")).write_csv(tmp_path / "events.csv")
    reader = Reader(tmp_path)
    try:
        for kind, text in RUNNABLE:
            reader.read(kind, text)
    finally:
        reader.stop()
