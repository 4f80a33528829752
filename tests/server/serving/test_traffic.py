"""Traffic that was set holds over the settings, survives a restart and another process, and goes back in one call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError, FailedPrecondition, InvalidArgument, PipelineNotFound
from honeyguide.server.serving.arms import Shares
from honeyguide.server.serving.traffic import PipelineTraffic

NAMES = ("home", "next", "night")
TENTH, HALF = Shares({"next": 10.0}), Shares({"next": 50.0}, ("night",))


def test_settings_hold_until_something_is_set_and_that_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "state" / "traffic.json"
    traffic = PipelineTraffic(NAMES, {"home": TENTH}, file)
    assert (traffic.shares("home"), traffic.shares("next"), list(traffic.arms)) == (TENTH, Shares(), ["home"])
    assert not file.exists()
    assert traffic.change("home", HALF) == TENTH
    assert traffic.change("night", TENTH) == Shares()
    for held in (traffic, PipelineTraffic(NAMES, {"home": TENTH}, file), PipelineTraffic(NAMES, {}, file)):
        assert held.shares("home") == HALF
        assert held.arms["home"].shadows == ("night",)
        assert sorted(held.arms) == ["home", "night"]
    assert [path.name for path in file.parent.iterdir()] == ["traffic.json"]


def test_going_back_is_one_call_and_twice_is_as_it_was(tmp_path: Path) -> None:
    traffic = PipelineTraffic(NAMES, {"home": TENTH}, tmp_path / "traffic.json")
    with pytest.raises(FailedPrecondition, match="'home' was never set"):
        traffic.roll_back("home")
    traffic.change("home", HALF)
    assert traffic.roll_back("home") == HALF
    assert traffic.shares("home") == PipelineTraffic(NAMES, {}, tmp_path / "traffic.json").shares("home") == TENTH
    assert traffic.roll_back("home") == TENTH
    assert traffic.shares("home") == HALF


def test_another_process_takes_the_state_over(tmp_path: Path) -> None:
    one, other = PipelineTraffic(NAMES, {}, tmp_path / "traffic.json"), PipelineTraffic(NAMES, {}, None)
    one.change("home", HALF)
    other.apply(one.state)
    assert (other.shares("home"), other.state) == (HALF, one.state)
    assert other.roll_back("home") == HALF


@pytest.mark.parametrize(
    ("pipeline", "shares", "error", "says"),
    [
        ("huge", TENTH, PipelineNotFound, "no pipeline 'huge' in the settings; there are: home, next, night"),
        ("home", Shares({"huge": 1.0}), PipelineNotFound, "no pipeline 'huge'"),
        ("home", Shares(shadows=("huge",)), PipelineNotFound, "no pipeline 'huge'"),
        ("home", Shares({"home": 1.0}), InvalidArgument, "other pipelines"),
        ("home", Shares({"next": 0.0}), InvalidArgument, "above 0, together at most 100"),
        ("home", Shares({"next": float("nan")}), InvalidArgument, "above 0"),
        ("home", Shares({"next": 60.0, "night": 41.0}), InvalidArgument, "next 60, night 41"),
        ("home", Shares(shadows=("next", "next")), InvalidArgument, "each once"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    tmp_path: Path, pipeline: str, shares: Shares, error: type[Exception], says: str
) -> None:
    traffic = PipelineTraffic(NAMES, {"home": TENTH}, tmp_path / "traffic.json")
    with pytest.raises(error, match=says):
        traffic.change(pipeline, shares)
    assert traffic.shares("home") == TENTH
    assert not (tmp_path / "traffic.json").exists()
    if pipeline == "home":
        with pytest.raises(ConfigError, match=r"pipelines\.home: "):
            PipelineTraffic(NAMES, {"home": shares}, None)


def test_a_change_that_cannot_be_written_does_not_hold(tmp_path: Path) -> None:
    traffic = PipelineTraffic(NAMES, {"home": TENTH}, tmp_path / "traffic.json")
    (tmp_path / "traffic.json").mkdir()
    with pytest.raises(FailedPrecondition, match=r"cannot be written .* nothing was changed"):
        traffic.change("home", HALF)
    assert traffic.shares("home") == TENTH
    assert [path.name for path in tmp_path.iterdir()] == ["traffic.json"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 2, "pipelines": {}}', '{"format": 1}', "[" * 100_000, b"\xff"]
    + [json.dumps({"format": 1, "pipelines": {"home": now}}) for now in ({}, {"now": {"arms": [1]}, "before": {}})],
)
def test_a_broken_file_stops_the_start_by_name(tmp_path: Path, text: str | bytes) -> None:
    file = tmp_path / "traffic.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=r"traffic.json cannot be read .* put it right, or remove it"):
        PipelineTraffic(NAMES, {}, file)


def test_what_names_a_pipeline_that_is_gone_is_left_out(tmp_path: Path) -> None:
    file: Any = tmp_path / "traffic.json"
    traffic = PipelineTraffic(NAMES, {}, file)
    traffic.change("home", HALF)
    traffic.change("next", Shares({"night": 3.0}))
    left = PipelineTraffic(("home", "next"), {"home": TENTH}, file)
    assert (left.shares("home"), left.arms["home"].propensity("next")) == (Shares({"next": 10.0}), 0.1)
    assert left.shares("next") == Shares()
