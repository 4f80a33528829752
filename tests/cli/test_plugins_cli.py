import json
from importlib import metadata
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.sdk import PluginHost
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.host import ENTRY_POINT_GROUP

LOST = metadata.EntryPoint("lost", "no_such_plugin_module", ENTRY_POINT_GROUP)


def run(*words: str) -> Any:
    return CliRunner().invoke(build(), ["plugins", *words])


@pytest.fixture
def one_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    load = PluginHost.load
    installed = [*metadata.entry_points(group=ENTRY_POINT_GROUP), LOST]
    monkeypatch.setattr(PluginHost, "load", classmethod(lambda cls, **options: load(installed, **options)))


def test_the_installed_plugins_are_listed_with_what_they_offer() -> None:
    done = run("--json")
    assert done.exit_code == 0
    found = {plugin["name"]: plugin for plugin in json.loads(done.stdout)}
    assert found["cf"]["models"] == ["cf"]
    assert found["diversity"]["rules"] == ["diversity"]
    assert found["cf"]["distribution"] == "honeyguide"
    assert found["cf"]["version"] == metadata.version("honeyguide")
    assert found["cf"]["status"] == "loaded"
    assert found["cf"]["error"] is None


@pytest.mark.usefixtures("one_is_broken")
def test_a_broken_plugin_is_listed_and_the_exit_code_is_0() -> None:
    done = run()
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "broken:" in text
    assert "ModuleNotFoundError" in text
    assert "Traceback" not in text
    assert "--verbose" in text
    found = {plugin["name"]: plugin for plugin in json.loads(run("--json").stdout)}
    assert found["lost"]["error"] == {
        "class": "ModuleNotFoundError",
        "message": "No module named 'no_such_plugin_module'",
    }
    assert found["cf"]["status"] == "loaded"


@pytest.mark.usefixtures("one_is_broken")
def test_verbose_shows_the_traceback() -> None:
    assert "Traceback (most recent call last)" in run("--verbose").stdout
    found = {plugin["name"]: plugin for plugin in json.loads(run("--verbose", "--json").stdout)}
    assert "ModuleNotFoundError" in found["lost"]["traceback"]
    assert "traceback" not in found["cf"]


@pytest.mark.usefixtures("one_is_broken")
def test_strict_plugins_makes_a_broken_one_fatal() -> None:
    done = run("--strict-plugins")
    assert done.exit_code != 0
    assert isinstance(done.exception, PluginError)
    assert "plugin 'lost'" in str(done.exception)
