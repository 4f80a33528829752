"""Starts each server that is measured, with the settings its own documentation recommends."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from serving.environments import LENGTH, PEERS, REPOSITORY, Bundle, Python
from serving.processes import Group, clean_environment, free_port, started

__all__ = [
    "Serve",
    "Serving",
    "empty",
    "honeyguide",
    "listens",
    "mlserver",
    "naive",
    "nginx",
    "ray_serve",
    "triton",
    "tritonserver",
]


@dataclass(frozen=True)
class Serving:
    """A server that answers."""

    port: int
    group: Group
    certificate: bytes | None = None
    """Whom to trust where it speaks TLS; None: it does not."""
    header: Mapping[str, str] = field(default_factory=dict)
    """What every call must say besides."""

    @property
    def url(self) -> str:
        """Its address, scheme included."""
        return f"http{'s' * (self.certificate is not None)}://127.0.0.1:{self.port}"


Serve = Callable[[Path, Sequence[int]], AbstractContextManager[Serving]]
"""Starts a server with an empty folder of its own, on these cores (none: on all), until the block ends."""


def honeyguide(python: Python, bundle: Bundle, *, tls: bool = False, users: bool = True, **settings: object) -> Serve:
    """Returns how to start ``honeyguide serve`` with the pipelines r and k; ``settings`` are added to its file.

    Args:
        python: whose honeyguide.
        bundle: what it serves.
        tls: whether it ends TLS itself.
        users: whether it knows the stored users; an older commit cannot read their file.
        settings: of its own.
    """

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        port = free_port()
        if users:
            shutil.copy(bundle.events, folder / "events.db")
        own: dict[str, object] = {"host": "127.0.0.1", "port": port, "metrics_port": -1, "log_level": "warning"}
        own |= {"repository": str(bundle.repository), "events": str(folder / "events.db")}
        own |= {"cold_items": str(folder / "items.db")} | settings
        if tls:
            own |= dict(zip(("tls_certificate", "tls_key"), map(str, _certificate(folder)), strict=True))
        lines = [f"{name} = {json.dumps(value)}" for name, value in own.items()]
        for name, rank, candidates in (("r", "false", 100), ("k", "true", 200)):
            lines += [f'[pipelines.{name}]\nmodel = "transformer"\nrank = {rank}\ncandidates = {candidates}']
        (folder / "serve.toml").write_text("\n".join(lines) + "\n", "utf-8")
        command = python.honeyguide("serve", "--config", folder / "serve.toml")
        address = str(own["host"])
        ready = listens(port) if not address.startswith("unix:") else Path(address[5:]).exists
        if "processes" in own:  # one of them listens before the others
            ready = _says(folder / "log", "processes answer", 1)
        with started([command], ready, folder / "log", cores=cores) as group:
            yield Serving(port, group, (folder / "certificate.pem").read_bytes() if tls else None)

    return serve


def nginx(python: Python, bundle: Bundle) -> Serve:
    """Returns how to start nginx, which ends TLS, in front of Honeyguide's native transport on a Unix socket."""

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        port, socket_path = free_port(), folder / "honeyguide.sock"
        certificate, key = _certificate(folder)
        words = {"folder": folder, "port": port, "socket": socket_path, "certificate": certificate, "key": key}
        words["user"] = getpass.getuser()
        (folder / "nginx.conf").write_text(_filled(PEERS / "nginx" / "nginx.conf", **words))
        behind = honeyguide(python, bundle, transport="native", host=f"unix:{socket_path}")
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-c", folder / "nginx.conf", "-p", folder]
        with (
            behind(folder, cores) as own,
            started([command], listens(port), folder / "nginx.log", cores=cores) as group,
        ):
            yield Serving(port, Group(own.group.pids + group.pids), certificate.read_bytes())

    return serve


def empty(python: Python, kind: str) -> Serve:
    """Returns how to start a handler that does nothing: "aio" or "native"."""

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        port = free_port()
        command = [str(python.path), str(PEERS / "empty" / f"{kind}.py"), str(port)]
        with started([command], listens(port), folder / "log", cores=cores) as group:
            yield Serving(port, group)

    return serve


def naive(python: Python, bundle: Bundle, processes: int) -> Serve:
    """Returns how to start the server of forty lines, once or more on one port."""

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        port = free_port()
        command = [str(python.path), str(PEERS / "naive" / "server.py"), str(port), str(bundle.job)]
        ready = _says(folder / "log", "ready", processes)
        with started([command] * processes, ready, folder / "log", cores=cores) as group:
            yield Serving(port, group)

    return serve


def triton(python: Python, bundle: Bundle, instances: int) -> Serve:
    """Returns how to start Triton with the job as two models of its Python backend."""

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        for name in ("r", "k"):
            model = folder / "models" / name
            (model / "1").mkdir(parents=True)
            shutil.copy(PEERS / "triton" / "model.py", model / "1")
            words = {"name": name, "instances": instances, "folder": bundle.job, "peers": PEERS, "length": LENGTH}
            (model / "config.pbtxt").write_text(_filled(PEERS / "triton" / "config.pbtxt", **words))
        with tritonserver(python, folder, cores) as serving:
            yield serving

    return serve


@contextmanager
def tritonserver(python: Python, folder: Path, cores: Sequence[int] = (), *words: str) -> Iterator[Serving]:
    """Starts Triton over the models in ``folder/models``, all of them of its Python backend, until the block ends."""
    port, home = free_port(), python.packages / "pytriton" / "tritonserver"
    version = python.packages.parent.name.removeprefix("python")
    backends = Path(shutil.copytree(home / "backends", folder / "backends"))
    shutil.copy(home / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    command = [home / "bin" / "tritonserver", "--model-repository", folder / "models"]
    command += ["--backend-directory", backends, "--grpc-address", "127.0.0.1", "--grpc-port", port]
    command += ["--allow-http=false", "--allow-metrics=false", *words]
    # The backend's stub looks for the packages of the first Python on the path.
    environment = clean_environment(
        LD_LIBRARY_PATH=str(python.packages / "nvidia_pytriton.libs"),
        PATH=f"{python.path.parent}:{os.environ['PATH']}",
    )
    with started([command], listens(port), folder / "log", environment=environment, cores=cores) as group:
        yield Serving(port, group)


def ray_serve(python: Python, bundle: Bundle) -> Serve:
    """Returns how to start Ray Serve with its gRPC proxy."""

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        port, log = free_port(), folder / "log"
        stubs = REPOSITORY / "protos"
        command = [python.path, PEERS / "ray" / "server.py", port, free_port(), bundle.job, stubs]
        environment = clean_environment(
            PYTHONPATH=f"{stubs}:{PEERS}", RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled"
        )
        with started([command], _says(log, "ready"), log, environment=environment, cores=cores) as group:
            yield Serving(port, group, header={"application": "recommender"})

    return serve


def mlserver(python: Python, bundle: Bundle) -> Serve:
    """Returns how to start MLServer with the job as a custom runtime, one worker for each core."""

    @contextmanager
    def serve(folder: Path, cores: Sequence[int]) -> Iterator[Serving]:
        port, log = free_port(), folder / "log"
        own = {"host": "127.0.0.1", "http_port": free_port(), "grpc_port": port, "metrics_port": free_port()}
        (folder / "settings.json").write_text(json.dumps(own | {"parallel_workers": 2, "debug": False}))
        for name in ("r", "k"):
            (folder / name).mkdir()
            extra = {"folder": str(bundle.job), "peers": str(PEERS)}
            settings: dict[str, object] = {
                "name": name,
                "implementation": "runtime.Recommender",
                "parameters": {"extra": extra},
            }
            settings |= {"max_batch_size": 32, "max_batch_time": 0.001}
            (folder / name / "model-settings.json").write_text(json.dumps(settings))
        command = [str(python.path.with_name("mlserver")), "start", str(folder)]
        environment = clean_environment(PYTHONPATH=str(PEERS / "mlserver"))
        with started([command], listens(port), log, environment=environment, cores=cores) as group:
            yield Serving(port, group)

    return serve


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Makes a certificate for 127.0.0.1 that signs itself; returns it and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def _filled(template: Path, **words: object) -> str:
    """Returns a template with every @word@ replaced."""
    text = template.read_text("utf-8")
    for word, value in words.items():
        text = text.replace(f"@{word}@", str(value))
    return text


def _says(log: Path, word: str, times: int = 1) -> Callable[[], bool]:
    return lambda: log.read_text("utf-8", "replace").count(word) >= times


def listens(port: int) -> Callable[[], bool]:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return listens
