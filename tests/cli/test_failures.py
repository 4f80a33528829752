"""How commands end: the table of exit codes, each error of both trees in it, and errors as JSON."""

from __future__ import annotations

import errno
import inspect
import json
import re
import subprocess
import sys
import types
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from honeyguide.cli import app
from honeyguide.cli.app import build, run
from honeyguide.cli.failures import ExitCode, describe_error, error_code, in_words
from honeyguide.client import errors as client_errors
from honeyguide.sdk import errors
from honeyguide.sdk import host as plugin_host
from honeyguide.sdk.host import ENTRY_POINT_GROUP, PluginInfo

DOCS = Path(__file__).parents[2] / "docs"
SDK = {
    "INVALID_ARGUMENT": ExitCode.USAGE,
    "NOT_FOUND": ExitCode.NOT_FOUND,
    "FAILED_PRECONDITION": ExitCode.DATA,
    "UNAUTHENTICATED": ExitCode.REFUSED,
    "PERMISSION_DENIED": ExitCode.REFUSED,
    "RESOURCE_EXHAUSTED": ExitCode.REFUSED,
    "DEADLINE_EXCEEDED": ExitCode.UNREACHABLE,
    "UNAVAILABLE": ExitCode.REFUSED,
    "UNIMPLEMENTED": ExitCode.REFUSED,
    "INTERNAL": ExitCode.DATA,
}
"""By the gRPC code of an error of the sdk."""
OTHERS = {
    "DataError": ExitCode.DATA,
    "TooLarge": ExitCode.DATA,
    "Malformed": ExitCode.DATA,
    "PluginError": ExitCode.FAILED,
    "ConformanceError": ExitCode.FAILED,
    "ExportError": ExitCode.FAILED,
}
CLIENT = {
    "HoneyguideClientError": ExitCode.REFUSED,
    "InvalidArgumentError": ExitCode.USAGE,
    "InputError": ExitCode.DATA,
    "NotFoundError": ExitCode.NOT_FOUND,
    "FailedPreconditionError": ExitCode.REFUSED,
    "ModelChangedError": ExitCode.REFUSED,
    "ResumeError": ExitCode.DATA,
    "OverCapacityError": ExitCode.REFUSED,
    "UnavailableError": ExitCode.REFUSED,
    "DeadlineError": ExitCode.UNREACHABLE,
    "InternalError": ExitCode.FAILED,
}
Captured = pytest.CaptureFixture[str]


def made(cls: type[Any]) -> Any:
    """Makes an error of a class, whatever it needs."""
    needed = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    return cls(*("text" if p.name != "retry_after" else 1.0 for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD))


def test_the_codes_are_distinct_and_documented_in_the_page_and_in_the_help() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", (DOCS / "cli.md").read_text(), re.MULTILINE)
    assert [(int(number), meaning) for number, meaning in rows] == [(code.value, code.meaning) for code in ExitCode]
    assert len({code.value for code in ExitCode}) == len(ExitCode)
    shown = " ".join(CliRunner().invoke(build(), ["--help"]).stdout.split())
    for code in ExitCode:
        assert f"{code.value}: {code.meaning}" in shown


@pytest.mark.parametrize("name", errors.__all__)
def test_each_error_of_the_sdk_has_its_exit_code_and_words(name: str) -> None:
    error = made(getattr(errors, name))
    code = error_code(error)
    assert code is OTHERS.get(name, SDK[error.code])
    told = describe_error(error, in_words(error, []), code)["error"]
    assert (told["code"], told["exit_code"]) == (error.reason, code)
    assert told["message"]


@pytest.mark.parametrize("name", [n for n in client_errors.__all__ if not n.startswith("from_")])
def test_each_error_of_the_client_has_its_exit_code_and_words(name: str) -> None:
    error = made(getattr(client_errors, name))
    code = error_code(error)
    assert code is CLIENT.get(name, ExitCode.REFUSED)
    assert describe_error(error, in_words(error, []), code)["error"]["code"] == error.reason
    unreachable = client_errors.UnavailableError("gone", reason="UNREACHABLE")
    assert error_code(unreachable) is ExitCode.UNREACHABLE


def test_a_value_that_a_flag_gave_is_usage_and_one_of_a_file_is_data() -> None:
    wrong = client_errors.InputError("batch_size is 0; allowed: 1", field="batch_size")
    assert error_code(wrong, ["score", "a", "b", "--batch-size=0"]) is ExitCode.USAGE
    assert error_code(wrong, ["score", "a", "b", "-k", "3"]) is ExitCode.DATA
    assert error_code(client_errors.InputError("target is ''", field="target")) is ExitCode.USAGE
    unknown = client_errors.NotFoundError("no pipeline 'x'", field="pipeline")
    assert error_code(unknown, ["recommend", "u", "--pipeline", "x"]) is ExitCode.NOT_FOUND


def test_an_error_of_data_is_told_by_its_parts() -> None:
    error = errors.DataError("it is torn", file="a.csv", row=3, column="ts", remedy="mend it")
    assert describe_error(error, in_words(error, []), ExitCode.DATA) == {
        "error": {
            "code": "INVALID_DATA",
            "message": "it is torn",
            "exit_code": 3,
            "file": "a.csv",
            "row": 3,
            "column": "ts",
            "remedy": "mend it",
        }
    }


def test_an_error_of_the_system_names_its_files_or_the_command_that_was_at_work() -> None:
    assert in_words(OSError(errno.ENOSPC, "full", "data/a"), ["x"]) == "data/a: full"
    assert in_words(OSError(errno.EXDEV, "cross", "a", None, "b"), ["x"]) == "a → b: cross"
    words, command = ["prepare", "log.csv", "--out", "data/my shop"], "honeyguide prepare log.csv --out 'data/my shop'"
    assert in_words(OSError(errno.ENOSPC, "full"), words) == f"full, while this was at work: {command}"
    assert in_words(OSError("odd"), words) == f"odd, while this was at work: {command}"
    told = describe_error(OSError(errno.ENOSPC, "full", "data/a"), "data/a: full", ExitCode.FAILED)["error"]
    assert (told["code"], told["file"]) == ("ENOSPC", "data/a")


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "honeyguide.sdk.host", None)  # an install without plugins, too
    missing = ModuleNotFoundError("No module named 'torch'", name="torch")
    text = in_words(missing, ["x"])
    assert text == "this verb needs torch: pip install 'honeyguide[all]'"
    assert describe_error(missing, text, error_code(missing))["error"]["code"] == "MISSING_PACKAGE"
    assert in_words(ModuleNotFoundError("", name="honeyguide.gone"), ["x"]) is None
    assert in_words(MemoryError(), ["x"]) == "not enough memory, while this was at work: honeyguide x"


def fails(error: Exception) -> Any:
    """Makes a command that ends in an error."""

    def command(*_: Any, **__: Any) -> None:
        raise error

    return lambda: command


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> Any:
    """Runs a command that ends in an error; gives exit code, standard output and standard error."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # `run` would set it for all later tests

    def end(error: Exception, *words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(app, "build", fails(error))
        with pytest.raises(SystemExit) as stop:
            run(words)
        said = capsys.readouterr()
        return stop.value.code, said.out, said.err

    return end


def test_with_json_standard_output_is_one_object_and_nothing_else(ending: Any) -> None:
    code, out, err = ending(errors.NotFound("no [/x]", "model", "[/x]", ["cf"]), "models", "show", "[/x]", "--json")
    facts = {"field": "model", "value": "[/x]", "existing": "cf"}
    assert json.loads(out) == {"error": {"code": "NOT_FOUND", "message": "no [/x]", "exit_code": 5, **facts}}
    assert (code, err) == (5, "error: no [/x]\n")
    assert ending(errors.NotFound("no", "model", "x"), "models", "show", "x")[1] == ""


def test_a_fault_of_ours_keeps_its_traceback_and_is_json_too(ending: Any) -> None:
    code, out, err = ending(ZeroDivisionError("division by zero"), "train", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "INTERNAL")
    assert json.loads(out)["error"]["message"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in err
    assert err.endswith("error: this is a fault of Honeyguide: please report it with the lines above\n")


def test_an_unexpected_error_of_a_plugin_is_named_as_the_plugin_s(
    ending: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    module = types.ModuleType("odd_plugin.network")
    exec("def network():\n    return {}['[/x]']", module.__dict__)
    point = metadata.EntryPoint("odd", "odd_plugin", ENTRY_POINT_GROUP)
    monkeypatch.setattr(plugin_host, "installed_plugins", lambda: ([point], []))
    with pytest.raises(KeyError) as raised:
        module.network()
    code, out, err = ending(raised.value, "train", "odd", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "PLUGIN_ERROR")
    assert err.startswith("error: plugin 'odd' failed (odd_plugin.network, line 2): KeyError: '[/x]'\n  remedy: ")
    (file,) = tmp_path.iterdir()
    assert err.endswith(f"\n  traceback: {file}\n")
    assert "in network" in file.read_text()


def test_where_a_plugin_failed_in_our_hands_is_written_for_its_author(
    ending: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = errors.PluginError("model 'odd' failed in loss")
    error.__cause__ = KeyError("dwell")
    code, _, err = ending(error, "train", "odd")
    (file,) = tmp_path.iterdir()
    assert (code, err) == (1, f"error: model 'odd' failed in loss\n  traceback: {file}\n")
    assert "KeyError: 'dwell'" in file.read_text()
    error.__cause__ = errors.PluginError("ours")  # nothing that an author would look for
    assert ending(error, "train", "odd")[2] == "error: model 'odd' failed in loss\n"
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "full"))
    error.__cause__ = KeyError("dwell")
    assert ending(error, "train", "odd")[2] == "error: model 'odd' failed in loss\n"


def test_a_disk_that_refuses_is_a_failure_of_this_machine_not_of_the_data() -> None:
    assert error_code(errors.DataError("no room").with_facts(cause="disk")) is ExitCode.FAILED


def test_a_library_that_trips_over_a_broken_package_is_answered_with_the_package(
    ending: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = PluginInfo("torn", "torn", "1", error=errors.PluginError("package 'torn' cannot be read"))
    monkeypatch.setattr(plugin_host, "installed_plugins", lambda: ([], [torn]))
    with pytest.raises(ValueError, match="no pair") as raised:
        exec("raise ValueError('no pair')", {"__name__": "importlib.metadata"})
    assert ending(raised.value, "train") == (1, "", "error: package 'torn' cannot be read\n")


def test_a_warning_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")

    def warns(*_: Any, **__: Any) -> None:
        warnings.showwarning("plugin [/x] is not used", RuntimeWarning, "a.py", 1)

    monkeypatch.setattr(app, "build", lambda: warns)
    with pytest.raises(SystemExit) as stop:
        run(["plugins"])
    assert stop.value.code == 0
    assert capsys.readouterr().err == "warning: plugin [/x] is not used\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ("recommend", "u", "-k", "99999999999999999999"),
            2,
            "-k is '99999999999999999999'; allowed: whole numbers from 1 to 1,000",
        ),
        (("recommend", "u", "--k=0"), 2, "--k is '0'; allowed: whole numbers from 1 to 1,000"),
        (("recommend", "u", "-k", "many"), 2, "-k is 'many'; allowed"),
        (
            ("models", "show", "m", "--version", "99999999999999999999"),
            2,
            "--version is '99999999999999999999'; allowed",
        ),
        (("nosuch",), 2, "No such command 'nosuch'"),
        (("recommend", "--nosuch"), 2, "No such option: --nosuch"),
        (("plugins", "--verbose", "check", "cf"), 2, "`honeyguide plugins check` has no such option"),
        (("serve", "--nosuch"), 2, "No such option: --nosuch"),
        (("plugins", "show", "nosuch"), 5, "no installed plugin offers model 'nosuch'; there are: "),
    ],
)
def test_what_is_wrong_is_told_in_a_line_and_a_remedy(
    words: tuple[str, ...], code: int, message: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with pytest.raises(SystemExit) as stop:
        run([*words, "--json"])
    assert stop.value.code == code
    said = capsys.readouterr()
    first, *rest = said.err.splitlines()
    assert first.startswith("error: ")
    assert message in first
    assert all(line.startswith("  remedy: ") for line in rest)
    assert json.loads(said.out)["error"]["exit_code"] == code


def parameters(group: Any, path: str = "") -> Any:
    for parameter in group.params:
        yield f"{path} {parameter.name}", parameter
    for name, verb in getattr(group, "commands", {}).items():
        yield from parameters(verb, f"{path} {name}")


def test_every_flag_that_is_a_whole_number_has_its_range() -> None:
    import typer.main

    numbers = {
        name: (parameter.min, parameter.max)
        for name, parameter in parameters(typer.main.get_command(build()))
        if getattr(parameter.type_descriptor, "annotation", None) is int
    }
    assert len(numbers) >= 13
    assert [name for name, (least, most) in numbers.items() if least is None or most is None or most >= 2**63] == []


def test_a_closed_pipe_ends_with_its_own_code() -> None:
    program = (
        "import os, sys\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
        "from honeyguide.cli.app import run\nrun(['plugins', *sys.argv[1:]])"
    )
    for words in (["show", "cf", "--json"], ["show", "cf"]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (141, "")
