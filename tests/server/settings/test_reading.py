"""Tests of the settings: where they come from, and what is said of wrong ones.

`declared.py` and its subjects, `network.py`, `load.py`, `exposures.py`, `trust.py`, `traffic.py`,
`cold_items.py` and `pipelines.py`, are read with it.
"""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings import (
    PipelineSettings,
    RuleSettings,
    Settings,
    describe_settings,
    load_settings,
    make_settings,
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("HONEYGUIDE_")]:
        monkeypatch.delenv(name)


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "server.toml"
    path.write_text(text, "utf-8")
    return path


def test_without_file_and_variables_the_defaults_hold() -> None:
    found = load_settings()
    assert found.model_dump() == Settings.model_construct().model_dump()
    assert (found.host, found.port, found.repository, found.pipelines) == ("127.0.0.1", 50051, Path("models"), {})


def test_flags_stand_above_variables_above_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config(tmp_path, 'host = "0.0.0.0"\nport = 1\nthreads = 1\nmax_batch_rows = 1\n')
    monkeypatch.setenv("HONEYGUIDE_THREADS", "2")
    monkeypatch.setenv("HONEYGUIDE_MAX_BATCH_ROWS", "2")
    found = load_settings(file, {"max_batch_rows": 3, "port": None})
    assert (found.host, found.port, found.threads, found.max_batch_rows) == ("0.0.0.0", 1, 2, 3)


def test_a_file_may_be_a_pipe_which_is_read_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = 'port = 7\n[callers.shop]\nroles = ["recommend"]\nsha256 = "' + "0" * 64 + '"\n'
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    found = load_settings(pipe)
    writer.join()
    assert (found.port, list(found.callers)) == (7, ["shop"])


def test_a_variable_can_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_CONFIG", str(config(tmp_path, "port = 7")))
    assert load_settings().port == 7


def test_a_pipeline_is_read_from_file_and_variables_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = config(
        tmp_path,
        """
        default_pipeline = "home"
        [pipelines.home]
        model = "cf"
        drop_seen = false
        rules = [{ name = "diversity", options = { weight = 0.3 } }]
        """,
    )
    monkeypatch.setenv("HONEYGUIDE_PIPELINES__HOME__CANDIDATES", "50")
    monkeypatch.setenv("HONEYGUIDE_PIPELINES__OTHER__MODEL", "gru")
    assert load_settings(file).pipelines == {
        "home": PipelineSettings(
            model="cf", drop_seen=False, candidates=50, rules=(RuleSettings(name="diversity", options={"weight": 0.3}),)
        ),
        "other": PipelineSettings(model="gru"),
    }


WRONG = [
    ("prt = 1", r"server\.toml: unknown key 'prt'; there are: host, port, "),
    ("port = 70000", r"server\.toml: port is 70000; .*Allowed: gRPC port, 0–65,535"),
    ('port = "x"', r"server\.toml: port is 'x'; .*integer.*Allowed: gRPC port"),
    ("metrics_port = -2", r"metrics_port is -2; .*-1–65,535"),
    ("max_batch_rows = 0", r"max_batch_rows is 0; .*1–4,096"),
    ("drain_seconds = inf", r"drain_seconds is inf; .*0–3,600"),
    ("drain_seconds = nan", r"drain_seconds is nan; .*0–3,600"),
    ('log_format = "xml"', r"log_format is 'xml'; .*console for people, json for programs"),
    ("strict_plugins = 3", r"strict_plugins is 3; .*stops the start"),
    ("pipelines = 3", r"pipelines is 3; .*Allowed: Pipelines by name"),
    ("[pipelines.home]", r"server\.toml: pipelines\.home\.model is missing: The model"),
    (
        '[pipelines.home]\nmodl = "cf"',
        r"unknown key 'pipelines\.home\.modl'; there are: model, version, rank, candidates",
    ),
    ('[pipelines.home]\nmodel = "cf"\ncandidates = -1', r"pipelines\.home\.candidates is -1; .*0–10,000"),
    ('[pipelines.home]\nmodel = "cf"\nrules = [{}]', r"pipelines\.home\.rules\.0\.name is missing"),
    ('[pipelines.Home]\nmodel = "cf"', r"pipelines\.Home is 'Home'; .*lower-case letters"),
    ("port =", r"server\.toml is not TOML: .*line 1|server\.toml is not TOML"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_refused_with_key_value_and_range(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_settings(config(tmp_path, text))


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(config(tmp_path, "port = -1\nthreads = -1\nfoo = 1"))
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == [
        "port is -1; input should be greater than or equal to 0. Allowed",
        "threads is -1; input should be greater than or equal to 0. Allowed",
        "unknown key 'foo'; there are",
    ]


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml cannot be read: No such file"):
        load_settings(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HONEYGUIDE_PORT", "x", "environment variable HONEYGUIDE_PORT: port is 'x'"),
        ("HONEYGUIDE_PORT", "tcp://10.0.0.1:50051", "enableServiceLinks: false"),
        ("HONEYGUIDE_PIPELINES", "{", 'error parsing value for field "pipelines".*written as JSON'),
        ("HONEYGUIDE_PIPELINES__HOME__MODL", "cf", "PIPELINES__HOME__MODL: unknown key 'pipelines.home.modl'"),
        ("HONEYGUIDE_MAX_BATCH_ROW", "3", "HONEYGUIDE_MAX_BATCH_ROW is no setting; .*HONEYGUIDE_MAX_BATCH_ROWS"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message):
        load_settings()


def test_a_wrong_flag_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="--max-batch-rows: max_batch_rows is 0; "):
        load_settings(overrides={"max_batch_rows": 0})


def test_variables_that_kubernetes_sets_are_let_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HONEYGUIDE_SERVICE_HOST", "HONEYGUIDE_SERVICE_PORT", "HONEYGUIDE_PORT_50051_TCP_ADDR"):
        monkeypatch.setenv(name, "10.0.0.1")
    assert load_settings().port == 50051


def test_every_setting_is_described_and_its_variable_works(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row.name: row for row in describe_settings()}
    assert set(Settings.model_fields) | {f"pipelines.<name>.{f}" for f in PipelineSettings.model_fields} <= set(rows)
    assert all(row.description.endswith(".") and row.default for row in rows.values())
    values: dict[str, Any] = {"port": 1, "strict_plugins": True, "drain_seconds": 1.5, "log_level": "debug"}
    for name, value in values.items():
        monkeypatch.setenv(rows[name].variable, str(value))
    found = load_settings()
    assert {name: getattr(found, name) for name in values} == values


def test_keywords_alone_make_settings_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEYGUIDE_THREADS", "2")
    settings = make_settings(default_pipeline="p", pipelines={"p": {"model": "cf", "rank": False}})
    assert (settings.threads, settings.default_pipeline) == (0, "p")
    assert settings.pipelines == {"p": PipelineSettings(model="cf", rank=False)}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"threads": -1}, "^keyword threads: threads is -1; .* Allowed: Threads"),
        ({"pipelines": {"p": {}}}, "^keyword pipelines: pipelines.p.model is missing"),
        ({"size": 1}, "^keyword size: unknown key 'size'; there are: host, "),
    ],
)
def test_a_wrong_keyword_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make_settings(**given)
