"""Added items are shown by every way to an answer: rpc, stream, JSON, batch scoring, this process, the log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import polars as pl
import pytest

from honeyguide.answers import UserRow
from honeyguide.client import AsyncClient, Client, NewItem, NotFoundError
from honeyguide.client.scoring import ScoreOptions, score
from honeyguide.sdk.host import PluginHost
from honeyguide.server import open_repository

NEW = 'n "0"\\ü/\n'  # escaped wherever it can be
HISTORY = ["item-3"]
PIPELINES = {"half": {"model": "placed", "explore": 0.5}}


@pytest.fixture
def settings(placing_repository: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "key").write_text("0123456789abcdef")
    return {
        "repository": placing_repository,
        "pipelines": PIPELINES,
        "web_port": 0,
        "exposures": tmp_path / "shown",
        "exposures_key": tmp_path / "key",
        "exposures_seconds": 1,
    }


def ask_as_page(port: int, asked: dict[str, Any]) -> Any:
    url = f"http://127.0.0.1:{port}/honeyguide.v1.RecommenderService/Recommend"
    request = Request(url, json.dumps(asked).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)


async def test_every_way_to_an_answer_shows_added_items(
    start: Any, settings: dict[str, Any], tmp_path: Path, host: PluginHost
) -> None:
    users, scored = tmp_path / "users.jsonl", tmp_path / "recs.parquet"
    users.write_text('{"history": ["item-3"]}\n{"user_id": "stranger"}\n')
    async with start(**settings) as running, AsyncClient(f"127.0.0.1:{running.server.port}") as client:
        await client.upsert_items([NewItem(NEW, "A [red] “lamp”", ["fresh"], vectors={"image": [1.0] * 8})])
        unary = await client.recommend(history=HISTORY, k=2, explain=True)
        first, new = unary.items
        assert (new.item_id, new.title, new.source, new.because_items) == (NEW, "A [red] “lamp”", "NEW", ())
        rows = [UserRow(history=HISTORY), UserRow("stranger")]
        (batch,) = [answer async for answer in client.recommend_stream([rows], k=2, titles=True)]
        for row in batch.rows:
            assert (row.item_ids[1], row.sources[1], row.titles[1]) == (NEW, "NEW", "A [red] “lamp”")
        page = await asyncio.to_thread(ask_as_page, running.server.web_port, {"history": {"itemIds": HISTORY}, "k": 2})
        assert page["items"][1] == {
            "itemId": NEW,
            "score": page["items"][0]["score"],
            "source": "SOURCE_NEW",
            "sourceModel": "placed",
            "title": "A [red] “lamp”",
        }
        address = f"127.0.0.1:{running.server.port}"

        def score_all() -> Any:
            with Client(address) as own:
                return score(own, users, scored, ScoreOptions(k=2))

        assert (await asyncio.to_thread(score_all)).users == 2
        with open_repository(
            settings["repository"], cold_items=tmp_path / "items.db", pipelines=PIPELINES, plugins=host
        ) as local:
            assert local.recommend(history=HISTORY, k=2, explain=True).items == unary.items
            local_rows = local.recommend_batch(rows, k=2, titles=True).rows
            assert [row.item_ids for row in local_rows] == [row.item_ids for row in batch.rows]
            assert [row.sources for row in local_rows] == [row.sources for row in batch.rows]
        with open_repository(settings["repository"], plugins=host) as none:  # not of the working directory's file
            assert NEW not in none.recommend(history=HISTORY, k=60).item_ids
    table = pl.read_parquet(scored)
    assert [ids[1] for ids in table["item_ids"].to_list()] == [NEW, NEW]
    assert [sources[1] for sources in table["sources"].to_list()] == ["NEW", "NEW"]
    shown = pl.concat([pl.read_parquet(file) for file in (tmp_path / "shown").glob("*.parquet")])
    (exposed,) = shown.filter(pl.col("request_id") == unary.request_id).to_dicts()
    assert exposed["item_ids"] == [first.item_id, NEW]
    assert exposed["sources"] == ["RETRIEVED", "NEW"]


async def test_an_added_item_has_neighbours_and_no_rank(start: Any, settings: dict[str, Any], tmp_path: Path) -> None:
    async with start(**settings) as running, AsyncClient(f"127.0.0.1:{running.server.port}") as client:
        with pytest.raises(NotFoundError, match="no item 'n-0' in model 'placed', version 1"):
            await client.similar_items("n-0")
        bundle = running.server.repository.get("placed")
        like = [float(number) for number in 2 * bundle.item_vectors[7]]
        await client.upsert_items([NewItem("n-0", vectors={"image": like}), NewItem("n-1", "New")])
        near = await client.similar_items("n-0", k=60)
        assert (near.items[0].item_id, near.shortfall) == ("item-7", 0)
        assert near.items[0].score == pytest.approx(1)
        of_seven = await client.similar_items("item-7", k=59)
        assert near.item_ids[1:] == of_seven.item_ids
        asked = (client.similar_items(each, k=3, any_categories=["odd"]) for each in ("n-0", "item-7"))
        new, known = await asyncio.gather(*asked)
        assert new.item_ids == ("item-7", *known.item_ids[:2])
        ranked = await client.rank(["n-0", "item-1", "nowhere"], history=HISTORY)
        assert (ranked.item_ids, ranked.unknown_item_ids) == (("item-1",), ("n-0", "nowhere"))
