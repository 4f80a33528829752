"""Added items over the wire: recommended at once, filtered, never twice, gone when they are taken out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from honeyguide.v1 import model_service_pb2 as pb
from honeyguide.v1.event_service_pb2 import Event, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import SOURCE_NEW, Filter, RecommendRequest

FRESH = pb.NewItem(
    item_id="n-0", title="New [red]one", categories=["odd", "fresh"], vectors={"image": pb.ItemVector(values=[1.0] * 8)}
)
KNOWN = History(item_ids=["item-3"])


async def test_an_added_item_is_recommended_marked_filtered_and_taken_out(
    start: Any, placing_repository: Path, tmp_path: Path
) -> None:
    settings = {"repository": placing_repository, "cold_items": tmp_path / "items.db"}
    async with start(**settings) as running:
        recommend, models = running.recommender.Recommend, running.models
        before = await recommend(RecommendRequest(history=KNOWN))
        done = await models.UpsertItems(pb.UpsertItemsRequest(items=[FRESH]))
        assert (done.added_count, done.replaced_count, [m.name for m in done.models]) == (1, 0, ["placed"])
        after = await recommend(RecommendRequest(history=KNOWN))
        assert [item.item_id for item in after.items] == [*[item.item_id for item in before.items[:9]], "n-0"]
        assert (after.items[9].source, after.items[9].title) == (SOURCE_NEW, "New [red]one")
        assert after.items[9].score == after.items[8].score
        anonymous = await recommend(RecommendRequest())
        assert anonymous.items[9].item_id == "n-0"
        fresh = await recommend(RecommendRequest(history=KNOWN, filter=Filter(any_categories=["fresh"])))
        assert ([item.item_id for item in fresh.items], fresh.shortfall, fresh.unknown_categories) == (["n-0"], 9, [])
        for unwanted in (
            Filter(any_categories=["even"]),
            Filter(exclude_item_ids=["n-0"]),
            Filter(allow_item_ids=["item-1", "item-2"]),
        ):
            answer = await recommend(RecommendRequest(history=KNOWN, filter=unwanted))
            assert "n-0" not in [item.item_id for item in answer.items]
        seen = await recommend(RecommendRequest(history=History(item_ids=["item-3", "n-0"])))
        assert "n-0" not in [item.item_id for item in seen.items]
        await running.events.RecordEvents(
            RecordEventsRequest(events=[Event(user_id="u", item_id=item) for item in ("item-3", "n-0")])
        )
        stored = await recommend(RecommendRequest(user_id="u"))
        assert "n-0" not in [item.item_id for item in stored.items]
    async with start(**settings) as running:  # durable
        again = await running.recommender.Recommend(RecommendRequest(history=KNOWN))
        assert again.items[9].item_id == "n-0"
        listed = await running.models.ListItems(pb.ListItemsRequest())
        assert list(listed.items) == [FRESH]
        gone = await running.models.DeleteItems(pb.DeleteItemsRequest(item_ids=["n-0", "n-1"]))
        assert (gone.deleted_count, list(gone.missing_item_ids)) == (1, ["n-1"])
        assert (await running.recommender.Recommend(RecommendRequest(history=KNOWN))).items == before.items


WRONG = [
    ([], "items is '0 items'; allowed: 1 to 1,000 items"),
    ([FRESH, pb.NewItem()], r"items\[1\].item_id is ''; allowed: 1 to 256 bytes"),
    ([FRESH, pb.NewItem(item_id="x" * 65_536)], r"items\[1\].item_id is 'xx.* 1 to 256 bytes; this has 65536"),
    ([FRESH, pb.NewItem(item_id="a"), pb.NewItem(item_id="a")], r"items\[2\].item_id is 'a'; allowed: each item once"),
    ([FRESH, pb.NewItem(item_id="a", title=" ", texts={"blurb": ""})], r"items\[1\] is 'a'; allowed: an item of which"),
    ([pb.NewItem(item_id="a", title="x" * 501)], r"items\[0\].title .* 0 to 500 bytes"),
    ([pb.NewItem(item_id="a", numbers={"price": float("nan")})], r"items\[0\].numbers\[price\] is nan"),
    ([pb.NewItem(item_id="a", vectors={"image": pb.ItemVector()})], r"items\[0\].vectors\[image\] is '0 numbers'"),
    ([pb.NewItem(item_id="a", vectors={"image": pb.ItemVector(values=[float("inf")])})], "finite numbers"),
    ([pb.NewItem(item_id="a", vectors={"image": pb.ItemVector(values=[1.0])})], "that model 'placed' can place"),
]


async def test_what_is_wrong_with_an_item_is_named(start: Any, placing_repository: Path, tmp_path: Path) -> None:
    async with start(repository=placing_repository, cold_items=tmp_path / "items.db") as running:
        for items, words in WRONG:
            with pytest.raises(grpc.aio.AioRpcError, match=words) as refused:
                await running.models.UpsertItems(pb.UpsertItemsRequest(items=items))
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert not (tmp_path / "items.db").exists()


async def test_models_that_place_nothing_say_so(start: Any, tmp_path: Path) -> None:
    async with start(cold_items=tmp_path / "items.db") as running:
        with pytest.raises(grpc.aio.AioRpcError, match="no model that serves places new items") as refused:
            await running.models.UpsertItems(pb.UpsertItemsRequest(items=[FRESH]))
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_a_file_that_is_no_use_at_the_start_stops_no_server(
    start: Any, placing_repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "items.db"
    path.write_bytes(b"nonsense" * 1000)
    async with start(repository=placing_repository, cold_items=path) as running:
        models = running.models
        assert len((await running.recommender.Recommend(RecommendRequest(history=KNOWN))).items) == 10
        for call, request in (
            (models.UpsertItems, pb.UpsertItemsRequest(items=[FRESH])),
            (models.ListItems, pb.ListItemsRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=r"\(cold_items\) cannot be .*: file is not a") as refused:
                await call(request)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
            assert str(path) not in str(refused.value.details())
        assert str(path) in capsys.readouterr().out, "the operator is told where it is"
        path.rename(tmp_path / "damaged.db")
        await models.UpsertItems(pb.UpsertItemsRequest(items=[FRESH]))
        assert [item.item_id for item in (await models.ListItems(pb.ListItemsRequest())).items] == ["n-0"]
