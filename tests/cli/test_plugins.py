import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.cli.app import build
from honeyguide.conformance import kit
from honeyguide.conformance.kit import Check
from honeyguide.sdk.errors import ConfigError, ConformanceError, PluginError
from honeyguide.sdk.host import ENTRY_POINT_GROUP, PluginHost

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


def passes(subject: Any) -> str:
    return ""


def does_not_apply(subject: Any) -> str:
    return "its network does not step"


def fails(subject: Any) -> str:
    raise ConformanceError(f"{subject.name} is wrong; mend it")


def use(monkeypatch: pytest.MonkeyPatch, *functions: Any) -> None:
    """Puts quick checks in the place of the real ones, which tests/conformance runs."""
    found = tuple(Check(function.__name__, f"It {function.__name__}.", function) for function in functions)
    monkeypatch.setattr(kit, "checks", lambda: found)


def test_check_shows_every_check_and_ends_with_0_where_none_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, passes, does_not_apply)
    done = run("check", "cf")
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "✓ │ passes │ It passes." in text
    assert "– │ does_not_apply │ its network does not step" in text
    assert "cf keeps the plugin contract." in text


def test_check_ends_with_1_where_one_fails_and_goes_on_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, fails, passes)
    done = run("check", "cf")
    assert done.exit_code == 1
    assert "✗ │ fails │ cf is wrong; mend it" in " ".join(done.stdout.split())
    assert "1 of 2 checks failed" in done.stderr
    done = run("check", "cf", "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [(row["check"], row["passed"], row["message"]) for row in found] == [
        ("fails", False, "cf is wrong; mend it"),
        ("passes", True, ""),
    ]


@pytest.mark.usefixtures("one_is_broken")
def test_check_of_a_broken_plugin_says_why_it_did_not_load() -> None:
    done = run("check", "lost")
    assert isinstance(done.exception, PluginError)
    assert "plugin 'lost' did not load: ModuleNotFoundError" in str(done.exception)


def test_new_writes_the_template_under_another_name(tmp_path: Path) -> None:
    done = run("new", "very-good_model", "--into", str(tmp_path))
    assert done.exit_code == 0, done.output
    folder = tmp_path / "honeyguide-very-good-model"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "honeyguide_very_good_model.py",
        "honeyguide_very_good_model_network.py",
        "pyproject.toml",
        "tests/test_very_good_model.py",
    }
    text = "".join((folder / name).read_text() for name in names)
    assert 'name = "very_good_model"' in text
    assert "class VeryGoodModel(Model):" in text
    assert 'very_good_model = "honeyguide_very_good_model"' in text
    assert "emplate" not in text
    assert "pip install -e" in done.stderr


@pytest.mark.parametrize("name", ["My-Model", "1st", "a b", "", "x" * 41, "class", "../up", "a--b"])
def test_new_refuses_a_name_that_cannot_be(name: str, tmp_path: Path) -> None:
    done = run("new", name, "--into", str(tmp_path))
    assert isinstance(done.exception, ConfigError)
    assert "such as my_model" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_new_never_writes_over_a_folder_or_a_model(tmp_path: Path) -> None:
    (tmp_path / "honeyguide-mine").mkdir()
    done = run("new", "mine", "--into", str(tmp_path))
    assert "choose another name, or another folder with --into" in str(done.exception)
    done = run("new", "cf", "--into", str(tmp_path))
    assert "a model 'cf' is installed already" in str(done.exception)
