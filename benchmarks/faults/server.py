"""A real server of the command line, in a process of its own, and what can be seen and done from outside."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.processes import children, clean_environment, free_port, memory_mib

__all__ = ["FaultServer"]

_START_SECONDS = 60.0
_PIPELINES = '[pipelines.near]\nmodel = "near"\n[pipelines.both]\nmodel = "both"\n'


def _obey_modes() -> None:
    """Gives up root's right to open any file: what is started next cannot have it."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


class FaultServer:
    """Server with a folder of its own: ``with`` starts it and, in the end, kills what is left of it."""

    def __init__(self, folder: Path, settings: Mapping[str, object]) -> None:
        """Starts nothing yet; the folder may be one that an earlier server used."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, self.metrics_port = free_port(), free_port()
        self.events = folder / "events.db"
        self.log = folder / "log"
        self.settings: dict[str, object] = {
            "host": "127.0.0.1",
            "port": self.port,
            "metrics_port": self.metrics_port,
            "log_format": "json",
            "events": str(self.events),
            "default_pipeline": "near",
            "drain_seconds": 3.0,
        } | dict(settings)
        self.environment: dict[str, str] = {}
        self.powerless = False
        """Whether it is held to the modes of files even where it runs as root."""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> FaultServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def launch(self) -> None:
        """Starts the process and does not wait until it serves."""
        file = self.folder / "serve.toml"
        lines = [f"{name} = {json.dumps(value)}" for name, value in self.settings.items()]
        file.write_text("\n".join(lines) + "\n" + _PIPELINES, "utf-8")
        command = [Path(sys.executable).with_name("honeyguide"), "serve", "--config", file]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=clean_environment(**self.environment),
                start_new_session=True,
                cwd=self.folder,
                preexec_fn=_obey_modes if self.powerless else None,
            )

    def start(self) -> None:
        """Starts it and waits until it answers; raises `RuntimeError` with the end of its log where it does not."""
        self.launch()
        until = time.monotonic() + _START_SECONDS
        while not self.serves():
            if not self.alive or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"the server does not start: {self.said()[-1500:]}")
            time.sleep(0.05)

    def serves(self, service: str = "") -> bool:
        """Whether health says SERVING of a service."""
        return self.health(service) == "SERVING"

    def health(self, service: str = "") -> str:
        """Returns what health says of a service, or the code of the failed call."""
        with grpc.insecure_channel(self.address) as channel:
            try:
                stub = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # generated without types
                status = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=2).status
                return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
            except grpc.RpcError as error:
                return str(error.code().name)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that was started; others may be below it."""
        assert self._process is not None, "started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process."""
        os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Waits for its end; returns the exit code, negative for a signal, None where it goes on."""
        assert self._process is not None, "started"
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """Kills it and all that it started."""
        if self._process is None:
            return
        for pid in children(self.pid) if self.alive else []:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()

    def said(self) -> str:
        """Returns its log."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def logged(self, level: str = "") -> Iterator[dict[str, Any]]:
        """Yields the lines of its log, of one level where it is given."""
        for line in self.said().splitlines():
            if line.startswith("{"):
                entry = json.loads(line)
                if not level or entry.get("level") == level:
                    yield entry

    def metrics(self) -> dict[str, float]:
        """Returns its metrics by name and labels; of several processes, their sum."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            text = page.read().decode()
        found: dict[str, float] = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = re.sub(r',?process="\d+"', "", name).replace("{}", "").replace("{,", "{")
                found[name] = found.get(name, 0.0) + float(value)
        return found

    def memory(self) -> float:
        """Returns MiB of its processes that are in memory."""
        return sum(memory_mib(pid) for pid in children(self.pid))

    def descriptors(self) -> int:
        """Returns how many files and sockets its processes hold open."""
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in children(self.pid))
