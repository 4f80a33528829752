"""The page of plain HTML recommends, records and recommends otherwise in a Chromium, and takes titles for text.

Where HONEYGUIDE_PICTURE names a file, what the browser shows is written there: `docs/web/page.png` was made so.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import bundles
import polars as pl
import pytest
from chromium import Chromium, find_chromium

from honeyguide.sdk.host import PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import make_settings

ROOT = Path(__file__).parents[2]
HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
GOODS = ("tea pot", "tea cups", "honey spoon", "linen napkins", "beeswax candle", "bread board")
COLOURS = ("Green", "Blue", "White", "Yellow", "Red", "Grey", "Black", "Brown", "Pink", "Plain")
NAMES = [f"{colour} {good}" for colour in COLOURS for good in GOODS]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    browser = Chromium(program, tmp_path / "profile")
    yield browser
    browser.close()


@pytest.fixture
def page_at() -> Iterator[str]:
    """Where the page is served, as any web server would."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT / "docs" / "web")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def visit(chromium: Chromium, page: str, web_port: int) -> None:
    """Does what somebody does who opens the page."""
    items = "[...document.querySelectorAll('#items li')]"
    ids = f"{items}.map(item => item.querySelector('small').textContent).join()"
    chromium.open(f"{page}/index.html")
    chromium.run(f"document.getElementById('server').value = 'http://127.0.0.1:{web_port}'")
    chromium.run("document.querySelector('form button').click()")
    chromium.wait_for(f"{items}.length === 5")
    assert chromium.run("document.getElementById('state').textContent").startswith("Nothing is known of this user")
    first = chromium.run(ids)
    shown = chromium.run(f"{items}.map(item => item.firstChild.data)")
    assert f"{HOSTILE} " in shown, "a title is text"
    assert chromium.run("document.title") == "Honeyguide from a page"
    assert chromium.run("document.querySelectorAll('#items script, #items img').length") == 0

    chromium.run(f"{items}[1].querySelector('button').click()")
    chromium.wait_for("document.getElementById('state').textContent.startsWith('What this user did')")
    assert chromium.run(ids) != first, "what was recorded counts in the next answer"
    assert chromium.run("document.getElementById('problem').textContent") == ""
    assert chromium.problems == []
    if picture := os.environ.get("HONEYGUIDE_PICTURE"):
        Path(picture).write_bytes(chromium.picture())

    chromium.run("document.getElementById('user').value = 'u'.repeat(300)")
    chromium.run("document.querySelector('form button').click()")
    chromium.wait_for("document.getElementById('problem').textContent.includes('INVALID_FIELD')")


async def test_a_page_recommends_records_and_recommends_otherwise(
    chromium: Chromium, page_at: str, host: PluginHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = bundles.items_table

    def named(items: int) -> pl.DataFrame:
        return plain(items).with_columns(title=pl.Series([HOSTILE, *NAMES[1:items]]))

    monkeypatch.setattr(bundles, "items_table", named)
    bundles.make_bundle(tmp_path / "models", "tiny", model="tiny_gru")
    settings = {"port": 0, "metrics_port": -1, "events": str(tmp_path / "e.db"), "web_port": 0}
    allowed = make_settings(repository=tmp_path / "models", web_origins=[page_at], **settings)
    async with Server(allowed, host) as server:
        await asyncio.to_thread(visit, chromium, page_at, server.web_port)

    foreign = make_settings(repository=tmp_path / "models", web_origins=["https://shop.example"], **settings)
    async with Server(foreign, host) as server:
        with pytest.raises(AssertionError, match="late"):
            await asyncio.to_thread(visit, chromium, page_at, server.web_port)
        assert "Failed to fetch" in await asyncio.to_thread(
            chromium.run, "document.getElementById('problem').textContent"
        )
    assert any("blocked by CORS policy" in problem for problem in chromium.problems)
