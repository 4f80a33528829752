"""Starts the servers that the examples of all languages call, and sums up what each took; with ``--clients`` alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from bundles import make_bundle, tiny_host
from certificates import Authority
from languages import LANGUAGES

from honeyguide.server.access.tokens import new_token
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings

SUMMARY = pytest.StashKey[list[str]]()


class Servers(NamedTuple):
    """An open server, and a closed one over the same bundle."""

    open_server: Server
    closed_server: Server
    authority: Path
    tokens: Path
    """Folder with the token of each caller, NAME.token."""

    def arguments(self, caller: str) -> tuple[list[str], list[str]]:
        """What an example is called with: for the open server, and for the closed one."""
        secure = [f"localhost:{self.closed_server.port}", str(self.authority), str(self.tokens / f"{caller}.token")]
        return [f"127.0.0.1:{self.open_server.port}"], secure


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:  # pytest's
    """Leaves the folder out of the tests that need Python alone."""
    return None if config.getoption("--clients") else True


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints a line for each language."""
    for line in config.stash.get(SUMMARY, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def summary(request: pytest.FixtureRequest) -> list[str]:
    """Lines to print at the end."""
    return request.config.stash.setdefault(SUMMARY, [])


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, on a thread of their own; the closed one takes 10 requests a second of a caller."""
    folder = tmp_path_factory.mktemp("servers")
    make_bundle(folder / "models", "cf", ids=("22423", "22727"))  # as the pages call what the demo has
    authority, callers = Authority(folder), {}
    certificate, key = authority.sign("server")
    # Each has a bucket of its own, which its stream of 1,000 users empties: what follows has to wait.
    roles = ["recommend", "record", "history"]
    for name in ("shop", *(language.name for language in LANGUAGES)):
        token = new_token()
        (folder / f"{name}.token").write_text(token.token + "\n", "utf-8")
        callers[name] = {"roles": roles, "sha256": token.sha256, "requests_per_second": 10, "burst": 1000}
    common: dict[str, Any] = {"repository": folder / "models", "port": 0, "metrics_port": -1, "drain_seconds": 1.0}
    closed = {"tls_certificate": certificate, "tls_key": key, "callers": callers}
    ready, stop = threading.Event(), asyncio.Event()
    running: list[Server] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for name, settings in (("open", {}), ("closed", closed)):
                files = {"events": folder / f"{name}.db", "traffic": folder / f"{name}.json"}
                server = Server(Settings(**common, **files, **settings), tiny_host())
                running.append(await stack.enter_async_context(server))
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    while thread.is_alive() and not ready.wait(0.1):
        pass
    assert ready.is_set(), "the servers did not start"
    yield Servers(running[0], running[1], authority.certificate, folder)
    loop.call_soon_threadsafe(stop.set)
    thread.join(30)
    loop.close()
