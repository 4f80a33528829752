"""`honeyguide serve`: what it refuses before anything heavy is loaded, and where its settings come from."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import serve
from honeyguide.sdk.errors import ConfigError
from honeyguide.server import app as server_app
from honeyguide.server.settings import Settings, describe_settings


@pytest.mark.parametrize("wrong", ["repository", "port", "host"])
def test_verb_refuses_what_is_wrong_before_it_loads_anything_heavy(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "models" / "m" / "1").mkdir(parents=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = [
            "--port",
            str(port),
            "--repository",
            str(tmp_path / ("models" if wrong != "repository" else "nowhere")),
        ]
        arguments += ["--host", "0.0.0.0"] if wrong == "host" else []
        program = f"""
import sys
from honeyguide.cli.app import build
from honeyguide.sdk.errors import ConfigError
try:
    build()(["serve", *{arguments!r}], standalone_mode=False)
except ConfigError as error:
    print(error)
print(sorted({{"grpc", "faiss", "onnxruntime", "polars"}} & set(sys.modules)))
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    says, loaded = done.stdout.splitlines()
    words = {
        "port": f"cannot listen on 127.0.0.1, port {port}",
        "repository": "repository ",
        "host": "host 0.0.0.0: open",
    }
    assert says.startswith(words[wrong])
    assert loaded == "[]"


def test_help_of_the_verb_lists_every_setting(tmp_path: Path) -> None:
    app = typer.Typer()
    serve.add_to(app)
    app.command()(lambda: None)
    result = CliRunner(env={"COLUMNS": "300", "TERMINAL_WIDTH": "300", "NO_COLOR": "1"}).invoke(
        app, ["serve", "--help"]
    )
    assert result.exit_code == 0
    words = " ".join(result.stdout.replace("│", " ").split())  # a long text is wrapped within its column
    for setting in describe_settings():
        is_table = setting.name.startswith(("callers", "pipelines"))
        flag = setting.name if is_table else f"--{setting.name.replace('_', '-')}"
        assert flag in words
        assert setting.description in words
        assert f"default: ({setting.default})" in words or f"(default {setting.default})" in words


def test_verb_passes_flags_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Settings] = []

    async def fake(settings: Settings, say: Any) -> None:
        given.append(settings)

    monkeypatch.setattr(server_app, "serve", fake)
    monkeypatch.setenv("HONEYGUIDE_THREADS", "3")
    monkeypatch.setenv("HONEYGUIDE_PORT", "2")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("GRPC_VERBOSITY", "")
    monkeypatch.delenv("GRPC_VERBOSITY")  # so that it is put back as it was
    config = tmp_path / "serve.toml"
    config.write_text('port = 1\nthreads = 1\nmax_batch_rows = 7\n[pipelines.main]\nmodel = "cf"\n', "utf-8")
    app = typer.Typer()
    serve.add_to(app)
    app.command()(lambda: None)
    (tmp_path / "models" / "cf" / "1").mkdir(parents=True)
    arguments = ["serve", "--config", str(config), "--port", "0", "--strict-plugins"]
    arguments += ["--repository", str(tmp_path / "models")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (settings,) = given
    assert (settings.port, settings.threads, settings.max_batch_rows, settings.strict_plugins) == (0, 3, 7, True)
    assert settings.pipelines["main"].model == "cf"
    assert os.environ["GRPC_VERBOSITY"] == "NONE", "strangers who fail to shake hands write no lines"
    wrong = CliRunner().invoke(app, ["serve", "--port", "huge"])
    assert isinstance(wrong.exception, ConfigError)
    assert "--port: port is 'huge'" in str(wrong.exception)
