"""Generates the Python stubs of every .proto beside it: ``python protos/generate.py OUT``."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def generate(out: Path) -> None:
    """Writes ``*_pb2.py`` and ``.pyi`` for each file, and gRPC stubs for each file with a service."""
    protos = sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*.proto"))
    services = [name for name in protos if name.endswith("_service.proto")]
    # The mypy plugin is a script beside this interpreter.
    environment = os.environ | {"PATH": str(Path(sys.executable).parent) + os.pathsep + os.environ.get("PATH", "")}
    for flags, names in (
        ((f"--python_out={out}", f"--pyi_out={out}"), protos),
        ((f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}"), services),
    ):
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", *flags, *names]
        subprocess.run(command, check=True, env=environment)  # noqa: S603  # our own interpreter, our own files


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
