"""Takes columns of an items file the whole way: kept by prepare, observed by a model, exported and served."""

from importlib import metadata
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.client import AsyncClient
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import ENTRY_POINT_GROUP, PluginHost
from honeyguide.server.app import Server
from honeyguide.server.settings import Settings
from honeyguide.training.dataset import Dataset

BRANDS = ("acme", "bolt", "crow")
ITEMS = 24
"""Item i is of brand i % 3; the first twelve are cheap."""


@pytest.fixture
def host() -> PluginHost:
    return PluginHost.load([metadata.EntryPoint("tiny_content", "tiny_content", ENTRY_POINT_GROUP)], strict=True)


@pytest.fixture
def run(tmp_path: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch):
    """Types a command in a folder with a log in which every user stays with one brand, and a file of the items."""
    walks = [[user % 3 + 3 * ((user // 3 + 3 * step) % 8) for step in range(5)] for user in range(60)]
    rows = [f"user-{user},item-{item}\n" for user, walk in enumerate(walks) for item in walk]
    (tmp_path / "events.csv").write_text("user_id,item_id\n" + "".join(rows))
    items = [f"item-{i},{BRANDS[i % 3]},{1 + i // 12 * 9},note {i}\n" for i in range(ITEMS)]
    (tmp_path / "items.csv").write_text("item_id,brand,price,note\n" + "".join(items))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PluginHost, "load", lambda **_: host)

    def call(line: str) -> str:
        done = CliRunner().invoke(build(), line.split())
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.output

    return call


async def test_columns_that_prepare_keeps_make_the_vectors_that_are_served(run, tmp_path: Path, host: PluginHost):
    shown = run("prepare events.csv --items items.csv --item-columns brand,price --repeats yes --out data")
    assert "item columns" in shown
    table = Dataset.open("data").item_table()
    assert (sorted(table.texts), sorted(table.numbers)) == (["brand"], ["price"])
    run("train tiny_content data --out run --epochs 1")
    run("export run data --repository models --name content")
    assert pl.read_parquet("models/content/1/items.parquet").columns == ["item_id", "title", "categories", "popularity"]
    settings = Settings(port=0, metrics_port=-1, repository=tmp_path / "models", events=tmp_path / "events.db")
    async with Server(settings, host) as server, AsyncClient(f"127.0.0.1:{server.port}") as client:
        answer = await client.recommend(history=["item-1"], k=8, drop_seen=False)
    rows = [int(item.item_id.partition("-")[2]) for item in answer]
    assert {row % 3 for row in rows} == {1}  # all eight of the brand, and no other
    assert {row < 12 for row in rows[:4]} == {True}  # the cheap ones first


def test_a_model_that_needs_a_column_says_which_and_what_there_is(run):
    run("prepare events.csv --items items.csv --item-columns note,price --out data")
    with pytest.raises(ConfigError, match=r"no text column 'brand' of its items; it keeps: note; .*--item-columns"):
        run("train tiny_content data --out run")
    assert not Path("run").exists()
