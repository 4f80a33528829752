"""Tests of `honeyguide token new`: the lines let the caller in who shows the token, and nobody learns it from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from honeyguide.cli import token
from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.access.callers import Callers, read_callers


def made(*arguments: str) -> tuple[str, str]:
    """Runs the verb; returns standard output and standard error."""
    app = typer.Typer()
    token.add_to(app)
    app.command()(lambda: None)
    result = CliRunner().invoke(app, ["token", "new", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout, result.stderr


def test_the_lines_let_in_who_shows_the_token(tmp_path: Path) -> None:
    lines, shown = made("--name", "shop", "--roles", "recommend, record", "--days", "2")
    file = tmp_path / "tokens.toml"
    file.write_text(lines + made("--name", "job")[0], "utf-8")
    callers = Callers(read_callers(file))
    secret = next(word for word in shown.split() if word.startswith("hg_"))
    caller = callers.by_token(secret)
    assert caller is not None
    assert (caller.name, caller.roles, len(callers)) == ("shop", {"recommend", "record"}, 2)
    assert secret not in lines
    assert len(secret) == 46


def test_json_has_both() -> None:
    told = json.loads(made("--name", "shop", "--json")[0])
    assert told["toml"] == f'[callers.shop]\nroles = ["recommend"]\nsha256 = "{told["sha256"]}"\n'


@pytest.mark.parametrize(("name", "roles", "field"), [("Shop", "record", "name"), ("shop", "root", "roles")])
def test_what_no_server_takes_is_not_made(name: str, roles: str, field: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{field} is "):
        made("--name", name, "--roles", roles)
