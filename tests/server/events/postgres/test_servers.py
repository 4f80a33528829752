"""Two servers with one database answer as one (`store.py`)."""

from __future__ import annotations

from typing import Any

from honeyguide.v1.event_service_pb2 import DeleteUserRequest, Event, ListEventsRequest, RecordEventsRequest
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest, UserState


async def test_what_one_server_acknowledged_the_next_answer_of_the_other_knows(start: Any, url: str) -> None:
    async with start(events=url) as one, start(events=url) as two:
        for n in range(10):
            writer, reader = (one, two) if n % 2 else (two, one)
            event = Event(user_id="anna", item_id=f"item-{n}", event_id=f"{n}")
            assert (await writer.events.RecordEvents(RecordEventsRequest(events=[event]))).accepted == 1
            stored = await reader.recommender.Recommend(RecommendRequest(user_id="anna", k=5))
            assert stored.user_state == UserState.USER_STATE_STORED
            history = History(item_ids=[f"item-{i}" for i in range(n + 1)])
            inline = await reader.recommender.Recommend(RecommendRequest(history=history, k=5))
            assert [item.item_id for item in stored.items] == [item.item_id for item in inline.items]
            assert (await reader.events.RecordEvents(RecordEventsRequest(events=[event]))).duplicates == 1
        assert (await two.events.ListEvents(ListEventsRequest(user_id="anna"))).total_size == 10
        assert (await one.events.DeleteUser(DeleteUserRequest(user_id="anna"))).deleted_events == 10
        gone = await two.recommender.Recommend(RecommendRequest(user_id="anna", k=5))
        assert gone.user_state == UserState.USER_STATE_ANONYMOUS
        assert "honeyguide@" not in "".join(one.server.summary())
