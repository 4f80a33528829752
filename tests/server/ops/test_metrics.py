"""Tests of metrics over HTTP and of the logs."""

import io
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from importlib import metadata

import pytest
import structlog

from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.host import PluginHost
from honeyguide.server.ops.endpoint import MetricsEndpoint
from honeyguide.server.ops.logs import bind_request, configure_logs, log_plugins
from honeyguide.server.ops.metrics import Metrics


def scrape(endpoint: MetricsEndpoint) -> list[str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{endpoint.port}/metrics", timeout=10) as answer:
        return answer.read().decode().splitlines()


@pytest.fixture
def endpoint() -> Iterator[tuple[Metrics, MetricsEndpoint]]:
    metrics = Metrics()
    endpoint = MetricsEndpoint(metrics.registry, "127.0.0.1", 0)
    yield metrics, endpoint
    endpoint.stop()


def test_what_is_counted_is_scraped(endpoint: tuple[Metrics, MetricsEndpoint]) -> None:
    metrics, server = endpoint
    metrics.requests.labels("Recommend").inc(3)
    metrics.errors.labels("Recommend", "OVER_CAPACITY").inc()
    metrics.batch_rows.observe("home", 5)
    metrics.queue_rows.set(7)
    metrics.events.labels("accepted").inc(2)
    metrics.users.labels("gru", "stepped").inc(4)
    metrics.degraded.labels("RANKER_FAILED").inc()
    metrics.serving("cf", 3)
    with metrics.stage("rank"):
        pass
    lines = scrape(server)
    for line in (
        'honeyguide_requests_total{method="Recommend"} 3.0',
        'honeyguide_errors_total{method="Recommend",reason="OVER_CAPACITY"} 1.0',
        'honeyguide_batch_rows_bucket{le="8.0",pipeline="home"} 1.0',
        'honeyguide_batch_rows_bucket{le="4.0",pipeline="home"} 0.0',
        "honeyguide_queue_rows 7.0",
        'honeyguide_events_total{outcome="accepted"} 2.0',
        'honeyguide_users_total{model="gru",outcome="stepped"} 4.0',
        'honeyguide_degraded_total{reason="RANKER_FAILED"} 1.0',
        'honeyguide_model_version{model="cf"} 3.0',
        'honeyguide_stage_seconds_count{stage="rank"} 1.0',
    ):
        assert line in lines


def test_a_model_that_serves_no_more_is_not_scraped(endpoint: tuple[Metrics, MetricsEndpoint]) -> None:
    metrics, server = endpoint
    metrics.serving("cf", 3)
    metrics.serving("cf", 4)
    assert 'honeyguide_model_version{model="cf"} 4.0' in scrape(server)
    metrics.serving("cf", 0)
    metrics.serving("never loaded", 0)
    assert not any(line.startswith("honeyguide_model_version{") for line in scrape(server))


def test_a_stage_that_fails_is_not_counted() -> None:
    metrics = Metrics()
    with pytest.raises(ZeroDivisionError), metrics.stage("rank"):
        _ = 1 / 0
    assert metrics.registry.get_sample_value("honeyguide_stage_seconds_count", {"stage": "rank"}) is None


def test_two_servers_in_one_process_count_apart() -> None:
    one, two = Metrics(), Metrics()
    one.requests.labels("Recommend").inc()
    assert two.registry.get_sample_value("honeyguide_requests_total", {"method": "Recommend"}) is None


def test_a_port_that_is_taken_is_refused_by_name(endpoint: tuple[Metrics, MetricsEndpoint]) -> None:
    taken = endpoint[1].port
    with pytest.raises(ConfigError, match=f"metrics_port is {taken}, which cannot be had on 127.0.0.1"):
        MetricsEndpoint(Metrics().registry, "127.0.0.1", taken)


def test_a_stopped_endpoint_frees_its_port() -> None:
    endpoint = MetricsEndpoint(Metrics().registry, "127.0.0.1", 0)
    port = endpoint.port
    endpoint.stop()
    again = MetricsEndpoint(Metrics().registry, "127.0.0.1", port)
    again.stop()


def test_json_logs_are_one_object_a_line_with_the_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    bind_request("a" * 32, "/Recommend")
    structlog.get_logger().info("served", k=10)
    structlog.get_logger().debug("not shown")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("failed")
    written = capsys.readouterr().err
    first, second = map(json.loads, written.splitlines())
    assert (first["event"], first["k"], first["level"], first["method"]) == ("served", 10, "info", "/Recommend")
    assert first["request_id"] == second["request_id"] == "a" * 32
    assert second["exception"][0]["exc_type"] == "ZeroDivisionError"
    assert "locals" not in second["exception"][0]["frames"][0]


def test_console_logs_are_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning", "console")
    structlog.get_logger().info("not shown")
    structlog.get_logger().warning("slow", seconds=3)
    try:
        secret = ["what a user did"]
        secret[1]
    except IndexError:
        structlog.get_logger().exception("failed")
    written = capsys.readouterr().err
    assert "slow" in written
    assert "seconds=3" in written
    assert "IndexError: list index out of range" in written
    assert "not shown" not in written
    assert "what a user did']" not in written


def test_a_line_that_standard_error_cannot_take_is_lost_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("info", "json")
    log = structlog.get_logger()
    closed = io.StringIO()
    closed.close()
    reader, writer = os.pipe()
    os.close(reader)
    broken = os.fdopen(writer, "w", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", closed)
        log.error("to a closed file")
        patch.setattr(sys, "stderr", broken)
        log.error("to a reader that went away")
    with pytest.raises(BrokenPipeError):
        broken.close()
    log.error("to whoever reads now")
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert line["event"] == "to whoever reads now"


def test_a_plugin_that_did_not_load_is_logged_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("info", "json")
    broken = metadata.EntryPoint("broken", "honeyguide_no_such_module", "honeyguide.plugins")
    log_plugins(PluginHost.load([broken]))
    (line,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert (line["event"], line["plugin"]) == ("plugin did not load", "broken")
    assert line["exception"][0]["exc_type"] == "ModuleNotFoundError"
    assert line["exception"][0]["frames"]
