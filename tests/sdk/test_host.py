"""Breaks plugins in every way an author can; each is listed with its reason, and the others still load.

What plugins implement are the specifications in `hooks.py`.
"""

from __future__ import annotations

import re
import sys
import types
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata

import pytest

from honeyguide.sdk import API_VERSION, DataSpec, Model, Rule, hookimpl
from honeyguide.sdk.errors import ConfigError, PluginError
from honeyguide.sdk.host import ENTRY_POINT_GROUP, PluginHost, installed_plugins

GOOD = metadata.EntryPoint("tiny_gru", "tiny_gru", ENTRY_POINT_GROUP)


@dataclass(frozen=True)
class Options:
    size: int = 1


def model(**members) -> type[Model]:
    return type("Made", (Model,), {"name": "made", "Config": Options, "network": lambda self: None} | members)


def rule(**members) -> type[Rule]:
    return type("Made", (Rule,), {"name": "made", "Config": Options, "apply": lambda self, ranking, k: None} | members)


@pytest.fixture
def plugin(monkeypatch):
    """Makes an importable module from a dict of its members, or from source, and its entry point."""

    def make(members: dict | str, name: str = "broken") -> metadata.EntryPoint:
        module = types.ModuleType(f"plugin_{name}")
        if isinstance(members, str):
            finder = type(
                "Finder", (), {"find_spec": staticmethod(lambda *args: _spec(module.__name__, members, *args))}
            )
            monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
        else:
            module.__dict__.update(members)
            monkeypatch.setitem(sys.modules, module.__name__, module)
        return metadata.EntryPoint(name, module.__name__, ENTRY_POINT_GROUP)

    return make


def _spec(name, source, wanted, path=None, target=None):
    from importlib.machinery import ModuleSpec

    class Loader:
        def create_module(self, spec):
            return None

        def exec_module(self, module):
            exec(source, module.__dict__)

    return ModuleSpec(name, Loader()) if wanted == name else None


def registers(*models, rules=()) -> dict:
    def register_models(register):
        for cls in models:
            register(cls)

    def register_rules(register):
        for cls in rules:
            register(cls)

    return {"register_models": hookimpl(register_models), "register_rules": hookimpl(register_rules)}


@dataclass
class Thawed:
    size: int = 1


@dataclass(frozen=True)
class Demanding:
    size: int


BROKEN = {
    "import fails": ("import no_such_thing", "ModuleNotFoundError", "No module named 'no_such_thing'"),
    "syntax is wrong": ("def", "SyntaxError", "invalid syntax"),
    "import exits": ("import sys; sys.exit('bye')", "SystemExit", "bye"),
    "import raises anything": ("1 / 0", "ZeroDivisionError", "division by zero"),
    "an older API": (
        registers(model(api_version=API_VERSION - 1)),
        "PluginError",
        f"model 'made' needs plugin API {API_VERSION - 1}; this honeyguide has {API_VERSION}: upgrade the plugin",
    ),
    "a newer API": (
        registers(model(api_version=API_VERSION + 1)),
        "PluginError",
        f"model 'made' needs plugin API {API_VERSION + 1}; this honeyguide has {API_VERSION}: upgrade honeyguide",
    ),
    "no class": (registers("text"), "PluginError", "register('text'): it must be a subclass of honeyguide.sdk.Model"),
    "a foreign class": (registers(int), "PluginError", "it must be a subclass of honeyguide.sdk.Model"),
    "a rule among the models": (registers(rule()), "PluginError", "it must be a subclass of honeyguide.sdk.Model"),
    "no name": (registers(model(name=None)), "PluginError", "model class Made has name None; it must match"),
    "a bad name": (registers(model(name="Bad Name")), "PluginError", "model class Made has name 'Bad Name'"),
    "a name twice": (registers(model(), model()), "PluginError", "model 'made' is registered already"),
    "a name of another plugin": (
        registers(model(name="tiny_gru")),
        "PluginError",
        "model 'tiny_gru' is registered already; choose another name",
    ),
    "no network": (
        registers(type("Made", (Model,), {"name": "made", "Config": Options})),
        "PluginError",
        "model 'made' does not define network",
    ),
    "no apply": (
        registers(rules=[type("Made", (Rule,), {"name": "made", "Config": Options})]),
        "PluginError",
        "rule 'made' does not define apply",
    ),
    "no Config": (
        registers(type("Made", (Model,), {"name": "made", "network": lambda self: None})),
        "PluginError",
        "model 'made' needs a nested frozen dataclass Config",
    ),
    "Config that thaws": (registers(model(Config=Thawed)), "PluginError", "needs a nested frozen dataclass Config"),
    "Config without defaults": (
        registers(model(Config=Demanding)),
        "PluginError",
        "model 'made': every field of Config needs a default",
    ),
    "a hook that does not exist": (
        {"register_nonsense": hookimpl(lambda register: None)},
        "PluginValidationError",
        "unknown hook 'register_nonsense'",
    ),
    "registration raises": (
        {"register_models": hookimpl(lambda register: {}["key"])},
        "KeyError",
        "'key'",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason_and_the_others_load(name, plugin):
    members, error_class, message = BROKEN[name]
    # "zz" sorts behind tiny_gru, so that it is the second to claim a name.
    taken = pytest.warns(RuntimeWarning, match="plugin 'zz' is not used: model 'tiny_gru' is registered already")
    with taken if name == "a name of another plugin" else nullcontext():
        host = PluginHost.load([plugin(members, "zz"), GOOD])
    good, broken = host.plugins
    assert (good.name, good.error, good.models) == ("tiny_gru", None, ("tiny_gru", "tiny_ranker"))
    assert (broken.name, broken.error_class, broken.models, broken.rules) == ("zz", error_class, (), ())
    assert message in broken.error_message
    assert error_class in broken.error_traceback
    assert sorted(host.models) == ["tiny_gru", "tiny_ranker"]
    assert not host.rules


@pytest.mark.parametrize("name", BROKEN)
def test_strict_makes_a_broken_plugin_fatal(name, plugin):
    members, error_class, _ = BROKEN[name]
    with pytest.raises(
        PluginError, match=rf"plugin 'zz' of .* did not load: {error_class}: .*strict-plugins"
    ) as raised:
        PluginHost.load([plugin(members, "zz"), GOOD], strict=True)
    assert type(raised.value.__cause__).__name__ == error_class


def packages(folder, monkeypatch, **files):
    """Installs packages by their metadata alone; each file is the package's entry_points.txt."""
    for name, text in files.items():
        info = folder / f"{name}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_bytes(text.encode("latin-1"))
    monkeypatch.syspath_prepend(folder)


def test_a_foreign_plugin_never_takes_the_place_of_a_built_in(plugin, tmp_path, monkeypatch):
    point = plugin(registers(model(name="cf")), "aaa")  # before "cf", in the order of names
    packages(tmp_path, monkeypatch, thief=f"[{ENTRY_POINT_GROUP}]\naaa = {point.value}\n")
    with pytest.warns(RuntimeWarning, match="plugin 'aaa' of thief is not used: model 'cf' is registered already"):
        host = PluginHost.load()
    assert host.model("cf").__module__ == "honeyguide.models.cf"
    assert host.owner("cf").distribution == "honeyguide"
    (thief,) = (p for p in host.plugins if p.name == "aaa")
    assert (thief.distribution, thief.version, thief.models) == ("thief", "1.2", ())
    assert "'cf' is registered already; choose another name" in thief.error_message
    assert [p.name for p in host.plugins] == sorted(p.name for p in host.plugins)
    with pytest.raises(PluginError, match="plugin 'aaa' of thief did not load"):
        PluginHost.load(strict=True)


@pytest.mark.parametrize(
    "text", ["[honeyguide.plugins]\nno pair\n", "[console_scripts]\nno pair\n", "[x]\na = b\xe9\n"]
)
def test_a_package_whose_entry_points_cannot_be_read_is_named_and_harms_no_other(text, tmp_path, monkeypatch):
    packages(tmp_path, monkeypatch, torn=text, lost=f"[{ENTRY_POINT_GROUP}]\nlost = ???\n")
    host = PluginHost.load()
    assert "cf" in host.models
    broken = {p.name: p for p in host.plugins if p.error}
    assert set(broken) == {"lost", "torn"}
    assert (broken["torn"].distribution, broken["torn"].version) == ("torn", "1.2")
    assert "package 'torn' has metadata that cannot be read, in its entry_points.txt" in broken["torn"].error_message
    assert "install it anew or uninstall it" in broken["torn"].error_message
    assert [p.name for p in installed_plugins()[1]] == ["torn"]
    with pytest.raises(PluginError, match=r"of (torn|lost) did not load"):
        PluginHost.load(strict=True)


def test_the_first_package_of_a_name_hides_its_like_behind_it(plugin, tmp_path, monkeypatch):
    point = plugin(registers(model()), "mine")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        packages(tmp_path / folder, monkeypatch, twice=f"[{ENTRY_POINT_GROUP}]\nmine = {point.value}\n")
    assert [p.error for p in PluginHost.load().plugins if p.name == "mine"] == [None]


def test_what_a_plugin_registered_before_it_failed_goes_with_it(plugin):
    host = PluginHost.load([plugin(registers(model(), model(name="Bad Name"))), GOOD])
    assert "made" not in host.models


def test_a_sound_plugin_registers_models_and_rules(plugin):
    made, rules = model(), [rule(name="a"), rule(name="b")]
    host = PluginHost.load([plugin(registers(made, rules=rules), "mine")], strict=True)
    assert host.model("made") is made
    assert host.rule("b") is rules[1]
    assert host.plugins[0].rules == ("a", "b")
    assert host.owner("made").name == "mine"
    assert (host.plugins[0].error_class, host.plugins[0].error_message, host.plugins[0].error_traceback) == ("", "", "")


def test_a_model_is_built_from_its_options_and_says_what_it_refuses(plugin):
    def refuses(self, config, data):
        raise ValueError("no items")

    picky = model(name="picky", __init__=refuses)
    host = PluginHost.load([plugin(registers(model(), picky), "sound")])
    data = DataSpec(items=3, repeats=True)
    built = host.build("made", {"size": 4}, data)
    assert (built.config, built.data) == (Options(size=4), data)
    for name, options, error, message in (
        ("made", {"sise": 4}, ConfigError, "unknown option 'sise'"),
        ("picky", {}, ConfigError, "model 'picky' refuses its options or its data .ValueError: no items"),
        ("absent", {}, PluginError, "no installed plugin offers model 'absent'"),
    ):
        with pytest.raises(error, match=message):
            host.build(name, options, data)


def test_an_unknown_name_is_answered_with_those_that_exist(plugin):
    host = PluginHost.load([GOOD, plugin("import no_such_thing", "lost")])
    told = re.escape(
        "no installed plugin offers model 'cf2'; there are: tiny_gru, tiny_ranker; plugins that did not load: lost"
    )
    with pytest.raises(PluginError, match=told):
        host.model("cf2")
    with pytest.raises(PluginError, match="no installed plugin offers rule 'x'; there are: none"):
        host.rule("x")


@pytest.mark.parametrize(
    "path",
    [
        "/home/ann/weights.bin",
        r"C:\Users\ann\weights.bin",
        r"C:\Program Files\x",
        r"\\box\share",
        "/opt/my models/x",
        "/root",
    ],
)
def test_the_message_for_clients_holds_no_path(path, plugin):
    info = PluginHost.load([plugin(f"raise OSError({f'cannot open {path}: gone'!r})")]).plugins[0]
    assert info.error_message == "cannot open <path>: gone"
    assert path in str(info.error)  # the operator's log has it


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("'/a/b c/d.so' needs /lib/x and then /opt/y (/z)", "'<path>' needs <path> and then <path> (<path>)"),
        ("and/or 1 / 2, n/a: option '\\n'", "and/or 1 / 2, n/a: option '\\n'"),
        ("no such file:/etc/x, line 3", "no such file:<path>, line 3"),
    ],
)
def test_text_around_paths_stays(said, told, plugin):
    assert PluginHost.load([plugin(f"raise OSError({said!r})")]).plugins[0].error_message == told


def test_what_a_plugin_prints_or_skips_harms_nobody(plugin, capsys):
    loud = "import builtins; print('hello')\nclass Odd(BaseException): pass\nraise Odd('odd')"
    host = PluginHost.load([GOOD, plugin(loud, "loud")])
    assert [(p.name, p.error_class) for p in host.plugins] == [("loud", "Odd"), ("tiny_gru", "")]
    assert capsys.readouterr().out == ""  # it is the command's result, and may be JSON


def test_ctrl_c_during_an_import_is_not_swallowed(plugin):
    with pytest.raises(KeyboardInterrupt):
        PluginHost.load([plugin("raise KeyboardInterrupt")])


def test_the_built_in_plugins_load():
    assert [(p.name, p.error_message) for p in PluginHost.load().plugins if p.error] == []
