"""Failures: typed errors, deadlines, and tries only where they are safe."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from certificates import Authority
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from honeyguide.client import (
    AsyncClient,
    CancelledError,
    Client,
    DeadlineError,
    Event,
    FailedPreconditionError,
    HoneyguideClientError,
    InputError,
    InternalError,
    InvalidArgumentError,
    ModelChangedError,
    NotFoundError,
    OverCapacityError,
    RetryPolicy,
    Tls,
    UnavailableError,
    UnimplementedError,
    channel,
)

Code = grpc.StatusCode
FAST = RetryPolicy(initial_delay=0.001)


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (Code.INVALID_ARGUMENT, "INVALID_FIELD", InvalidArgumentError),
        (Code.INVALID_ARGUMENT, "TOO_LARGE", InvalidArgumentError),
        (Code.NOT_FOUND, "PIPELINE_NOT_FOUND", NotFoundError),
        (Code.FAILED_PRECONDITION, "CORRUPT_BUNDLE", FailedPreconditionError),
        (Code.FAILED_PRECONDITION, "MODEL_CHANGED", ModelChangedError),
        (Code.RESOURCE_EXHAUSTED, "OVER_CAPACITY", OverCapacityError),
        (Code.UNAVAILABLE, "NOTHING_SERVED", UnavailableError),
        (Code.INTERNAL, "INTERNAL", InternalError),
        (Code.DATA_LOSS, "LOST", InternalError),
    ],
)
async def test_each_code_becomes_its_exception_in_both_clients(fake, code, reason, kind):
    fake.fail("Recommend", code, reason, "what was given", times=8)
    with Client(fake.address, retry=FAST) as client, pytest.raises(HoneyguideClientError) as caught:
        client.recommend("u")
    async with AsyncClient(fake.address, retry=FAST) as client:
        with pytest.raises(HoneyguideClientError) as caught_async:
            await client.recommend("u")
    assert type(caught.value) is type(caught_async.value) is kind
    assert caught.value.reason == caught_async.value.reason == reason
    assert str(caught.value) == str(caught_async.value) == "what was given"


def test_field_and_remedy_come_from_the_details(fake):
    violation = error_details_pb2.BadRequest.FieldViolation(field="k", description="k is 0")
    bad, links = error_details_pb2.BadRequest(field_violations=[violation]), error_details_pb2.Help()
    links.links.add(description="ask for 1 or more")
    fake.fail("Recommend", Code.INVALID_ARGUMENT, "INVALID_FIELD", "k is 0; allowed: 1–1000", bad, links)
    with Client(fake.address) as client, pytest.raises(InvalidArgumentError) as caught:
        client.recommend("u", k=0)
    assert (caught.value.field, caught.value.remedy) == ("k", "ask for 1 or more")
    assert str(caught.value) == "k is 0; allowed: 1–1000\n  remedy: ask for 1 or more"


def test_an_absent_server_is_named_with_a_remedy_and_soon(closed_port):
    started = time.monotonic()
    with Client(f"127.0.0.1:{closed_port}") as client, pytest.raises(UnavailableError) as caught:
        client.recommend("u")
    assert time.monotonic() - started < 3
    assert caught.value.reason == "UNREACHABLE"
    assert f"cannot reach a server at 127.0.0.1:{closed_port} (Connection refused" in caught.value.message
    assert "honeyguide serve" in caught.value.remedy


@pytest.mark.parametrize(
    ("server_asks", "tls", "said", "remedy"),
    [
        (False, None, "", "or it speaks TLS (--tls-ca), or asks for a client certificate"),
        (True, "ours", "", "or it speaks TLS (--tls-ca), or asks for a client certificate"),
        (False, "other", "unable to get local issuer certificate", "check that the server speaks TLS"),
    ],
)
def test_a_handshake_that_fails_is_told_with_its_remedy(tmp_path, server_asks, tls, said, remedy):
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    certificate, key = (path.read_bytes() for path in ours.sign("server"))
    server = grpc.server(ThreadPoolExecutor(1))
    asked = grpc.ssl_server_credentials([(key, certificate)], ours.certificate.read_bytes(), server_asks)
    port = server.add_secure_port("127.0.0.1:0", asked)
    server.start()
    files = {None: None, "ours": Tls(ours.certificate), "other": Tls(other.certificate)}
    with (
        Client(f"127.0.0.1:{port}", tls=files[tls], retry=RetryPolicy(attempts=1)) as client,
        pytest.raises(UnavailableError) as caught,
    ):
        client.recommend("u")
    server.stop(None).wait()
    assert said in caught.value.message
    assert "(OK)" not in caught.value.message
    assert remedy in caught.value.remedy


def test_a_server_without_the_call_is_named():
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as client, pytest.raises(UnimplementedError, match="does not offer") as caught:
        client.load_model("m")
    assert caught.value.remedy.endswith("or ask the server's admin port")
    server.stop(None).wait()


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.CANCELLED])
async def test_reads_are_tried_again_until_they_succeed(fake, code):
    fake.fail("Recommend", code, "BUSY", "later", times=3)
    with Client(fake.address, retry=FAST) as client:
        assert client.recommend("u").item_ids == ("i-u",)
    assert fake.count("Recommend") == 4
    fake.fail("Recommend", code, "BUSY", "later", times=3)
    async with AsyncClient(fake.address, retry=FAST) as client:
        assert (await client.recommend("u")).item_ids == ("i-u",)
    assert fake.count("Recommend") == 8


def test_a_call_under_way_when_the_client_closes_is_cancelled_and_not_tried_again(fake):
    client = Client(fake.address, retry=FAST, timeout=30)
    closing = threading.Timer(0.3, client.close)
    closing.start()
    with pytest.raises(CancelledError):
        client.recommend("slow")
    closing.join()
    fake.slow.set()
    assert fake.count("Recommend") == 1


def test_tries_are_bounded(fake):
    fake.fail("Recommend", Code.UNAVAILABLE, "UNAVAILABLE", "stopping", times=9)
    with Client(fake.address, retry=RetryPolicy(attempts=3, initial_delay=0.001)) as client:
        with pytest.raises(UnavailableError):
            client.recommend("u")
        assert fake.count("Recommend") == 3


@pytest.mark.parametrize("code", [Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.INTERNAL, Code.FAILED_PRECONDITION])
def test_failures_that_do_not_pass_are_not_tried_again(fake, code):
    fake.fail("Recommend", code, "NO", "no")
    with Client(fake.address, retry=FAST) as client, pytest.raises(HoneyguideClientError):
        client.recommend("u")
    assert fake.count("Recommend") == 1


def test_the_delay_the_server_asks_for_is_kept(fake):
    wait = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=300_000_000))
    fake.fail("Recommend", Code.RESOURCE_EXHAUSTED, "OVER_CAPACITY", "full", wait)
    started = time.monotonic()
    with Client(fake.address, retry=FAST) as client:
        client.recommend("u")
    assert 0.3 <= time.monotonic() - started < 2


def test_a_delay_beyond_the_deadline_is_reported_at_once(fake):
    wait = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=60))
    fake.fail("Recommend", Code.RESOURCE_EXHAUSTED, "OVER_CAPACITY", "full", wait)
    started = time.monotonic()
    with Client(fake.address) as client, pytest.raises(OverCapacityError) as caught:
        client.recommend("u")
    assert time.monotonic() - started < 2
    assert caught.value.retry_after == 60


def test_recording_is_tried_again_with_the_same_ids_and_stored_once(fake):
    fake.fail("RecordEvents", Code.UNAVAILABLE, "UNAVAILABLE", "stopping", times=2)
    with Client(fake.address, retry=FAST) as client:
        assert client.record([Event("u", "a"), Event("u", "b")]).accepted == 2
    sent = [[event.event_id for event in request.events] for _, request in fake.requests]
    assert sent[0] == sent[1] == sent[2]
    assert [event.item_id for event in fake.events] == ["a", "b"]


async def test_recording_without_an_id_is_never_tried_again(fake):
    fake.fail("RecordEvents", Code.UNAVAILABLE, "UNAVAILABLE", "stopping", times=2)
    events = [Event("u", "a"), Event("u", "b", event_id="")]
    with Client(fake.address, retry=FAST) as client, pytest.raises(UnavailableError):
        client.record(events)
    async with AsyncClient(fake.address, retry=FAST) as client:
        with pytest.raises(UnavailableError):
            await client.record(events)
    assert fake.count("RecordEvents") == 2


@pytest.mark.parametrize("name", ["load_model", "unload_model"])
def test_changes_of_what_is_served_are_never_tried_again(fake, name):
    rpc = name.title().replace("_", "")
    fake.fail(rpc, Code.UNAVAILABLE, "UNAVAILABLE", "stopping")
    with Client(fake.address, retry=FAST) as client, pytest.raises(UnavailableError):
        getattr(client, name)("cf")
    assert fake.count(rpc) == 1


async def test_every_call_has_a_deadline_that_a_call_may_override(fake):
    with Client(fake.address, timeout=0.2) as client, pytest.raises(DeadlineError, match="did not answer in time"):
        client.recommend("slow")
    started = time.monotonic()
    with Client(fake.address, timeout=60) as client, pytest.raises(DeadlineError):
        client.recommend("slow", timeout=0.05)
    assert time.monotonic() - started < 2
    async with AsyncClient(fake.address, timeout=0.2) as client:
        with pytest.raises(DeadlineError, match="did not answer in time"):
            await client.recommend("slow")


def test_tries_share_one_deadline(fake):
    fake.fail("Recommend", Code.UNAVAILABLE, "UNAVAILABLE", "stopping", times=99)
    patient = RetryPolicy(attempts=99, initial_delay=0.05, maximum_delay=0.05)
    started = time.monotonic()
    with Client(fake.address, timeout=0.4, retry=patient) as client, pytest.raises(UnavailableError):
        client.recommend("u")
    assert time.monotonic() - started < 2
    assert 3 < fake.count("Recommend") < 18


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_deadline_is_above_zero(fake, seconds):
    with Client(fake.address) as client, pytest.raises(InputError, match="allowed: seconds above 0"):
        client.recommend("u", timeout=seconds)


async def test_an_answer_of_five_megabytes_arrives(fake):
    fake.title = "long " * 1_000_000
    with Client(fake.address) as client:
        assert len(client.recommend("u").items[0].title) == 5_000_000
    async with AsyncClient(fake.address) as client:
        assert len((await client.recommend("u")).items[0].title) == 5_000_000


async def test_an_answer_above_the_limit_is_named_with_it_and_never_asked_for_again(fake, monkeypatch):
    monkeypatch.setattr(channel, "_OPTIONS", [("grpc.max_receive_message_length", 1000)])
    fake.title = "long " * 1000
    with Client(fake.address, retry=FAST) as client, pytest.raises(InvalidArgumentError) as caught:
        client.recommend("u")
    async with AsyncClient(fake.address, retry=FAST) as client:
        with pytest.raises(InvalidArgumentError) as caught_async:
            await client.recommend("u")
    for error in (caught.value, caught_async.value):
        assert error.reason == "TOO_LARGE"
        assert re.fullmatch(
            r"an answer of 5,\d\d\d bytes is above the limit of one message \(1,000 bytes\)", error.message
        )
        assert "a smaller k" in error.remedy
    assert fake.count("Recommend") == 2


def test_a_request_above_the_limit_is_named_as_such(fake):
    with Client(fake.address, retry=FAST) as client, pytest.raises(InvalidArgumentError) as caught:
        client.recommend(history=["i" * 5_000_000])  # this server takes gRPC's 4 MiB
    assert caught.value.reason == "TOO_LARGE"
    assert "a request of 5,000," in caught.value.message
    assert "(4,194,304 bytes)" in caught.value.message
    assert "send several smaller ones" in caught.value.remedy


def test_waits_double_up_to_the_maximum_with_jitter():
    policy = RetryPolicy(initial_delay=1, maximum_delay=4)
    for attempt, longest in ((1, 1), (2, 2), (3, 4), (9, 4)):
        waits = [policy.wait(attempt) for _ in range(50)]
        assert longest / 2 <= min(waits) < max(waits) <= longest


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("127.0.0.1:notaport", "a port is a number, 1–65,535, and 'notaport' is none"),
        ("127.0.0.1:99999", "'99999' is none"),
        (":", "'' is none"),
        ("xds:foo", "'foo' is none"),
        ("127.0.0.1:50051/", "leave the slash out: 127.0.0.1:50051"),
        ("[::1]:0", "'0' is none"),
        ("unix:", "unix:/run/honeyguide.sock"),
    ],
)
def test_an_address_that_can_be_none_is_refused_before_any_call(address: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        Client(address)
    assert remedy in caught.value.remedy
