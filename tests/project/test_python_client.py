"""Runs the code blocks of the page about the Python client, as a reader would, against a server over small bundles."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python-client.md").read_text(), re.DOTALL)


async def test_every_block_of_the_page_runs(
    shared_repository: Path, host: PluginHost, tmp_path: Path, capsys: object
) -> None:
    settings = Settings(repository=shared_repository, port=0, metrics_port=-1, events=tmp_path / "events.db")
    assert len(BLOCKS) == 4
    async with Server(settings, host) as server:
        program = "\n".join(BLOCKS).replace("127.0.0.1:50051", f"127.0.0.1:{server.port}")
        names: dict[str, object] = {}
        await asyncio.to_thread(exec, compile(program, "docs/python-client.md", "exec"), names)
    assert len(names["ranking"]) == 2  # type: ignore[arg-type]  # what a program leaves behind has no type
