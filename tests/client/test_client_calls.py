"""The calls (`calls.py`, `item_calls.py`): what is sent, what comes back, and that both clients do the same."""

from __future__ import annotations

import inspect

import pytest
from client_calls import CALLS, HISTORY, NOW, methods

from honeyguide.answers.arguments import as_event
from honeyguide.client import (
    AsyncClient,
    BecauseItem,
    Client,
    Event,
    InputError,
    InvalidArgumentError,
    OverCapacityError,
    calls,
)


def test_every_method_has_an_example_here():
    assert methods(Client) == methods(AsyncClient) == {name for name, _, _ in CALLS}


@pytest.mark.parametrize("name", sorted(methods(Client)))
def test_both_clients_take_the_same_parameters_and_explain_them(name):
    sync, asynchronous = getattr(Client, name), getattr(AsyncClient, name)
    assert [str(p).partition(":")[0] for p in inspect.signature(sync).parameters.values()] == [
        str(p).partition(":")[0] for p in inspect.signature(asynchronous).parameters.values()
    ]
    assert sync.__doc__
    assert asynchronous.__doc__
    assert sync.__name__ == asynchronous.__name__ == name


@pytest.mark.parametrize(("name", "args", "kwargs"), CALLS)
async def test_sync_equals_async(fake, name, args, kwargs):
    fake.events = [
        calls.messages.event_message(as_event("", Event("u", f"i{n}", event_id=f"old{n}"))) for n in range(5)
    ]
    start = list(fake.events)
    with Client(fake.address) as client:
        answer = getattr(client, name)(*args, **kwargs)
        sync = list(answer) if inspect.isgenerator(answer) else answer
    sent, fake.requests, fake.events = fake.requests, [], start
    async with AsyncClient(fake.address) as client:
        answer = getattr(client, name)(*args, **kwargs)
        asynchronous = [part async for part in answer] if inspect.isasyncgen(answer) else await answer
    assert asynchronous == sync
    assert fake.requests == sent
    assert len(sent) >= 1


def test_recommend_sends_every_parameter_and_reads_every_field(fake):
    with Client(fake.address) as client:
        answer = client.recommend(
            "u", history=HISTORY, k=3, pipeline="shop", drop_seen=False, exclude=["x"], allow=["y"],
            any_categories=["tea"], request_time_ms=NOW, explain=True,
        )  # fmt: skip
    request = fake.requests[0][1]
    assert (request.user_id, request.k, request.pipeline, request.explain) == ("u", 3, "shop", True)
    assert request.HasField("drop_seen")
    assert request.drop_seen is False
    assert (list(request.history.item_ids), list(request.history.times_ms)) == (["a", "b"], [1, 2])
    assert list(request.history.dwell_seconds) == [1.5, float("inf")]
    limits = request.filter
    assert [*limits.exclude_item_ids, *limits.allow_item_ids, *limits.any_categories] == ["x", "y", "tea"]
    assert request.request_time_ms == NOW
    item = answer.items[0]
    assert (item.item_id, item.score, item.source, item.source_model, item.title) == (
        "i-u",
        0.5,
        "RETRIEVED",
        "cf",
        "Honig",
    )
    assert item.because_items == (BecauseItem("a", "Title a"), BecauseItem("b", "Title b"))
    assert answer.user_state == "STORED"
    assert (answer.shortfall, answer.unknown_history_items, answer.degraded, answer.degraded_reasons) == (
        2,
        2,
        True,
        ("RANK_FAILED",),
    )
    assert [str(model) for model in answer.models] == ["cf 1"]
    assert list(answer) == [item]
    assert answer.item_ids == ("i-u",)
    assert len(answer) == 1


def test_every_answer_of_items_gives_them_and_their_ids(fake):
    with Client(fake.address) as client:
        for answer in (client.recommend("u"), client.rank(["a", "b"]), client.similar_items("a")):
            assert tuple(answer) == answer.items
            assert answer.item_ids == tuple(item.item_id for item in answer.items)
            assert len(answer) == len(answer.items) > 0


def test_what_is_not_given_stays_unset(fake):
    with Client(fake.address) as client:
        client.recommend(history=["a"])
    request = fake.requests[0][1]
    assert not any(request.HasField(field) for field in ("user_id", "drop_seen"))
    assert request.request_time_ms == 0
    assert request.k == 10


def test_events_go_through_all_pages_newest_first_and_asks_only_for_those_reached(fake):
    with Client(fake.address) as client:
        recorded = client.record([Event("u", f"i{n}", time_ms=NOW + n, value=0.0) for n in range(5)])
        assert recorded.accepted == 5
        events = client.events("u", page_size=2)
        first = next(events)
        assert fake.count("ListEvents") == 1
        assert [first.item_id, *(event.item_id for event in events)] == ["i4", "i3", "i2", "i1", "i0"]
        assert fake.count("ListEvents") == 3
    assert (first.time_ms, first.value, first.clicks) == (NOW + 4, 0.0, None)


def test_models_gives_all_pages_as_a_list(fake):
    with Client(fake.address) as client:
        models = client.models()
    assert [(model.version, model.state, model.metrics) for model in models] == [
        (2, "SERVING", {"ndcg@10": 0.25}),
        (1, "SERVING", {"ndcg@10": 0.25}),
    ]
    assert (models[0].create_time_ms, models[0].item_count, models[0].has_ranker) == (1_700_000_000_000, 3, True)


def test_events_without_an_id_get_different_ones_and_an_empty_id_stays_empty(fake):
    with Client(fake.address) as client:
        client.record([Event("u", "a"), Event("u", "a"), Event("u", "a", event_id="")])
    sent = [event.event_id for event in fake.requests[0][1].events]
    assert len(sent[0]) == len(sent[1]) == 32
    assert sent[0] != sent[1]
    assert sent[2] == ""


def test_record_tells_duplicates_and_rejections(fake):
    with Client(fake.address) as client:
        client.record_event("u", "a", event_id="e")
        recorded = client.record([Event("u", "a", event_id="e"), Event("u", "b", dwell_seconds=-1), Event("u", "c")])
        assert client.record_event("u", "a", event_id="e") is False
        assert client.record_event("u", "a", event_id="f") is True
        with pytest.raises(InvalidArgumentError, match="dwell < 0") as caught:
            client.record_event("u", "a", dwell_seconds=-1)
        with pytest.raises(OverCapacityError, match="no more today") as full:
            client.record_event("u", "too-many")
    assert full.value.reason == "RATE_EXCEEDED"
    assert (recorded.accepted, recorded.duplicates) == (1, 1)
    assert [(one.index, one.error.field) for one in recorded.rejected] == [(1, "dwell_seconds")]
    assert caught.value.field == "dwell_seconds"


def test_a_string_is_not_taken_for_a_list_of_letters(fake):
    with Client(fake.address) as client:
        for arguments in ({"history": "abc"}, {"exclude": "abc"}, {"allow": "abc"}, {"any_categories": "abc"}):
            with pytest.raises(InputError, match=r"'abc'; allowed: a (list of ids|History, or a list of item ids)"):
                client.recommend(**arguments)
        with pytest.raises(InputError, match="allowed: a list of users"):
            list(client.recommend_stream(["abc"]))
    assert fake.requests == [("RecommendStream", request) for _, request in fake.requests]


def test_an_enum_value_newer_than_the_client_stays_a_number():
    from honeyguide.client import messages
    from honeyguide.v1 import recommender_service_pb2

    assert messages.item(recommender_service_pb2.Item(item_id="a", source=99)).source == "99"
