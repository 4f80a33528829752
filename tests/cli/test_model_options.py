import json
import subprocess
import sys
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.cli.model_options import complete_model, complete_offer, describe_offer
from honeyguide.sdk.config import config_to
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.fit.options import FitOptions


def run(*words: str) -> Any:
    return CliRunner().invoke(build(), list(words))


@pytest.mark.parametrize("name", PluginHost.load().models)
def test_show_lists_every_option_of_a_model_and_its_training_with_the_model_s_defaults(name: str) -> None:
    model = PluginHost.load().models[name]
    offer = json.loads(run("plugins", "show", name, "--json").stdout)
    assert (offer["kind"], offer["name"], offer["distribution"]) == ("model", name, "honeyguide")
    assert {row["name"]: row["default"] for row in offer["options"]} == config_to(model.Config())
    assert {row["name"]: row["default"] for row in offer["fit"]} == config_to(FitOptions.for_model(model, {}))
    assert all(row["meaning"] and row["type"] for row in (*offer["options"], *offer["fit"]))


def test_show_prints_what_one_types() -> None:
    done = run("plugins", "show", "gru")
    words = " ".join(done.stdout.split())
    assert "Model gru, of honeyguide" in words
    assert "│ tied │ bool │ false │ Whether the" in words
    assert "--option KEY=VALUE" in words
    assert "`" not in words
    assert done.stderr == "next: honeyguide train gru DATA --out runs/gru\n"


def test_show_knows_rules_and_names_what_there_is() -> None:
    rule = describe_offer("category_cap", PluginHost.load())
    assert (rule["kind"], "fit" in rule) == ("rule", False)
    assert "Options of the rule" in run("plugins", "show", "category_cap").stdout
    wrong = run("plugins", "show", "nosuch").exception
    assert isinstance(wrong, PluginError)
    assert wrong.facts["existing"].startswith("attention_lstm, cf")


def test_the_help_of_train_ends_with_each_model_s_own_defaults() -> None:
    words = " ".join(run("train", "--help").stdout.split())
    assert "honeyguide plugins show MODEL" in words
    for name, model in PluginHost.load().models.items():
        options = FitOptions.for_model(model, {})
        assert f"{name}: --epochs {options.epochs}, --patience {options.patience}, --lr {options.lr}," in words


def test_the_mistake_of_a_plugin_does_not_cost_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    host = PluginHost.load()
    monkeypatch.setattr(host.models["cf"], "fit_defaults", {"[/epoch]": 3})
    monkeypatch.setattr(PluginHost, "load", lambda: host)
    words = " ".join(run("train", "--help").stdout.split())
    assert "cf: unknown option '[/epoch]'" in words
    assert "gru: --epochs" in words


def test_an_install_without_plugins_has_a_help_and_completes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "honeyguide.sdk.host", None)
    assert "honeyguide plugins show MODEL" in " ".join(run("train", "--help").stdout.split())
    assert complete_model("") == []


def test_the_group_of_plugins_hands_its_options_down() -> None:
    assert json.loads(run("plugins", "--json", "show", "cf").stdout)["name"] == "cf"
    assert run("plugins", "--strict-plugins", "show", "cf").exit_code == 2


def test_names_are_completed() -> None:
    assert complete_model("j") == ["joint"]
    assert complete_model("d") == []
    assert complete_offer("") == sorted([*PluginHost.load().models, *PluginHost.load().rules])


def test_a_shell_completes_verbs_and_models() -> None:
    def typed(words: str) -> list[str]:
        asked = {"_HONEYGUIDE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        program = "import os; os.environ.update(%r); from honeyguide.cli import main; main()" % asked  # noqa: UP031
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert typed("honeyguide train g") == ["gru"]
    assert "recommend" in typed("honeyguide rec")
