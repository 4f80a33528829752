"""Holds oracle and list of faults against the descriptors: a new rpc needs an oracle, a role, valid messages."""

import random

import pytest

from faults.catalogue import FAULTS
from faults.credentials import NEEDED
from faults.fuzz import methods
from faults.messages import crossed, mutated, valid
from faults.oracle import ORACLES, expected_stream
from faults.registry import Outcome
from honeyguide.v1.event_service_pb2 import Event, ListEventsRequest, RecordEventsRequest, RecordEventsResponse
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import (
    RankRequest,
    RecommendRequest,
    RecommendStreamRequest,
    SimilarItemsRequest,
    StreamOptions,
    UserBatch,
    UserRow,
)

OPTIONS = RecommendStreamRequest(options=StreamOptions(k=100))


def batch(*rows: UserRow) -> RecommendStreamRequest:
    return RecommendStreamRequest(batch=UserBatch(rows=rows))


@pytest.mark.parametrize("name", methods())
def test_every_rpc_has_an_oracle_valid_messages_and_a_role(name):
    service, _, rpc = name.rpartition(".")[2].partition("/")
    assert rpc == "RecommendStream" or f"{service}/{rpc}" in ORACLES
    assert rpc == "RecommendStream" or valid(methods()[name].input_type) is not None
    assert rpc in NEEDED or not name.startswith("honeyguide.")


@pytest.mark.parametrize(
    ("rpc", "message", "code"),
    [
        ("RecommenderService/Recommend", RecommendRequest(), "OK"),
        ("RecommenderService/Recommend", RecommendRequest(k=0), "INVALID_ARGUMENT"),
        ("RecommenderService/Recommend", RecommendRequest(pipeline="other"), "NOT_FOUND"),
        ("RecommenderService/Recommend", RecommendRequest(history=History(clicks=[1.0])), "INVALID_ARGUMENT"),
        ("RecommenderService/Rank", RankRequest(item_ids=["a", "a"]), "INVALID_ARGUMENT"),
        ("RecommenderService/SimilarItems", SimilarItemsRequest(item_id="unknown"), "NOT_FOUND"),
        ("EventService/RecordEvents", RecordEventsRequest(), "INVALID_ARGUMENT"),
        ("EventService/ListEvents", ListEventsRequest(user_id="u", page_size=-1), "INVALID_ARGUMENT"),
    ],
)
def test_what_the_protos_say_is_expected(rpc, message, code):
    assert ORACLES[rpc](message).codes == {code}


def test_one_event_that_breaks_a_rule_is_rejected_alone():
    events = [Event(user_id="u", item_id="i"), Event(user_id="u", item_id="i", clicks=-1.0)]
    expected = ORACLES["EventService/RecordEvents"](RecordEventsRequest(events=events))
    assert expected.codes == {"OK"}
    assert "1" in expected.check(RecordEventsResponse(accepted=2))


def test_a_stream_ends_where_a_message_breaks_its_rules():
    good, bad = UserRow(user_id="u"), UserRow(user_id="")
    assert expected_stream([OPTIONS, batch(good, bad), batch()]) == ({"OK"}, [[True, False], None])
    assert expected_stream([batch(good)])[0] == {"INVALID_ARGUMENT"}
    assert expected_stream([OPTIONS, None, batch(good)]) == ({"INVALID_ARGUMENT"}, [])
    assert expected_stream([OPTIONS, batch(*[good] * 201)]) == ({"OK"}, [None])  # 201 users x k 100


def test_crossed_messages_take_their_fields_from_the_pool():
    pool = [RecommendRequest(user_id="a", k=1), RecommendRequest(user_id="b", pipeline="near")]
    made = list(crossed(pool, 60, random.Random(0)))
    assert {message.user_id for message in made} == {"a", "b"}
    assert any(message.user_id == "b" and message.k == 1 for message in made)
    assert len(set(mutated([message.SerializeToString() for message in made], 50, random.Random(0)))) > 20


def test_names_are_apart_and_the_short_form_tries_most():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.briefly for fault in FAULTS)


def test_an_outcome_counts_every_problem_and_names_the_first_ten():
    outcome = Outcome()
    for number in range(12):
        outcome.expect(False, f"problem {number}")
    outcome.add(calls=2)
    outcome.add(calls=1)
    assert (outcome.count, len(outcome.problems), outcome.happened) == (12, 10, "3 calls")
