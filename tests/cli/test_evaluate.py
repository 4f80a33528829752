"""Shows what rules do to a trained model, by the verb alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.sdk.errors import ConfigError, InvalidArgument, PluginError
from honeyguide.sdk.host import PluginHost

pytestmark = pytest.mark.slow(7)


def run(*words: object) -> Any:
    return CliRunner().invoke(build(), [str(word) for word in words])


@pytest.fixture(autouse=True)
def with_tiny_plugin(monkeypatch: pytest.MonkeyPatch, host: PluginHost) -> None:
    monkeypatch.setattr(PluginHost, "load", classmethod(lambda cls, **options: host))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, host: PluginHost) -> Path:
    """Holds the data set "shop", whose 20 items are in categories "even" or "odd", and the run "tiny_gru" on it."""
    home = tmp_path_factory.mktemp("home")
    random = np.random.default_rng(0)
    events = [f"u{user},i{item},{time}" for user in range(30) for time, item in enumerate(random.permutation(20)[:8])]
    (home / "events.csv").write_text("user_id,item_id,time\n" + "\n".join(events) + "\n")
    (home / "items.csv").write_text("item_id,kind\n" + "\n".join(f"i{i},{('even', 'odd')[i % 2]}" for i in range(20)))
    raw, items = home / "events.csv", home / "items.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PluginHost, "load", classmethod(lambda cls, **options: host))
        for words in (
            ("prepare", raw, "--time", "time", "--items", items, "--categories", "kind", "--out", home / "shop"),
            ("train", "tiny_gru", home / "shop", "--out", home / "run", "--epochs", 1),
        ):
            done = run(*words)
            assert done.exit_code == 0, (done.output, done.exception)
    return home


def test_each_rule_alone_becomes_a_stage_under_the_text_that_asked_for_it(home: Path) -> None:
    rules = ("diversity:trade_off=0.2,pool=12", "category_cap:cap=1", "seen")
    words = [word for rule in rules for word in ("--rule", rule)]
    plain = json.loads(run("evaluate", home / "run", home / "shop", "--k", "2,4", "--json").stdout)["stages"]
    done = run("evaluate", home / "run", home / "shop", "--k", "2,4", "--json", *words)
    assert done.exit_code == 0, (done.output, done.exception)
    stages = json.loads(done.stdout)["stages"]
    assert list(stages) == ["popularity", "transitions", "retrieve", *(f"retrieve + {rule}" for rule in rules)]
    assert {name: stages[name] for name in plain} == plain
    assert stages["retrieve + diversity:trade_off=0.2,pool=12"]["diversity@4"] > stages["retrieve"]["diversity@4"]
    assert stages["retrieve"]["categories@2"] < stages["retrieve + category_cap:cap=1"]["categories@2"] == 2.0
    # Nothing seen is retrieved here, so there is nothing to drop.
    same = {name: value for name, value in stages["retrieve"].items() if name != "auc"}
    assert stages["retrieve + seen"] == pytest.approx(same)


def test_targets_are_refused_by_the_flag_s_name(home: Path) -> None:
    done = run("evaluate", home / "run", home / "shop", "--targets", "last")
    assert "only a global-time split has 'last' targets" in str(done.exception)


def test_the_table_has_a_column_for_each_rule(home: Path) -> None:
    shown = run("evaluate", home / "run", home / "shop", "--k", "4", "--rule", "seen")
    for word in ("seen", "diversity@4", "categories@4", "novelty@4", "–"):
        assert word in shown.stdout


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        ("tidy", PluginError, "offers rule 'tidy'; there are: category_cap, diversity, seen"),
        ("seen:newest=few", ConfigError, "rule 'seen': option 'newest' is 'few'; it must be a whole number"),
        ("seen:oldest=1", ConfigError, "rule 'seen': unknown option 'oldest'; there are: newest"),
        ("category_cap:cap=2,3", ConfigError, "option 'cap' is '2,3'"),
        ("seen:newest=1,", ConfigError, "option 'newest' is '1,'"),
    ],
)
def test_a_rule_that_cannot_be_built_is_refused(home: Path, rule: str, error: type[Exception], message: str) -> None:
    refused = run("evaluate", home / "run", home / "shop", "--rule", rule)
    assert isinstance(refused.exception, error)
    assert message in str(refused.exception)


@pytest.mark.parametrize("rule", ["seen:", "seen:newest"])
def test_options_that_are_no_pairs_are_refused(home: Path, rule: str) -> None:
    refused = run("evaluate", home / "run", home / "shop", "--rule", rule)
    assert isinstance(refused.exception, InvalidArgument)
    assert f"rule is {rule!r}; allowed: NAME or NAME:KEY=VALUE" in str(refused.exception)


@pytest.mark.parametrize(("cuts", "code"), [("ten", 2), ("0,5", 1)])
def test_cuts_are_whole_numbers_from_1(home: Path, cuts: str, code: int) -> None:
    refused = run("evaluate", home / "run", home / "shop", "--k", cuts)
    assert refused.exit_code == code
    assert "whole numbers" in (refused.stderr or str(refused.exception))


def test_a_joint_run_is_measured_over_the_retrievers_beneath_it(home: Path) -> None:
    retrievers, joint = [home / "tiny_ranker-0", home / "tiny_ranker-1"], home / "joint"
    over = [word for retriever in retrievers for word in ("--retriever", retriever)]
    for words in (
        *(
            ("train", "tiny_ranker", home / "shop", "--out", retriever, "--epochs", 1, "--seed", seed)
            for seed, retriever in enumerate(retrievers)
        ),
        ("train", "tiny_joint", home / "shop", "--out", joint, "--epochs", 1, *over),
    ):
        done = run(*words)
        assert done.exit_code == 0, (done.output, done.exception)
    # As if it had earned its place, which one trained on chance cannot.
    checkpoint = json.loads((joint / "checkpoint.json").read_text()) | {"candidates": 5}
    (joint / "checkpoint.json").write_text(json.dumps(checkpoint))
    done = run("evaluate", joint, home / "shop", "--k", "2", "--rule", "category_cap:cap=1", "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    stages = json.loads(done.stdout)["stages"]
    assert list(stages) == ["popularity", "transitions", "retrieve", "rank", "rank + category_cap:cap=1"]
    assert stages["rank + category_cap:cap=1"]["categories@2"] > stages["rank"]["categories@2"]
