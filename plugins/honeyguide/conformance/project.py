"""Writes a new plugin author's project: the template's, under another name."""

from __future__ import annotations

import keyword
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from honeyguide.sdk.errors import ConfigError

__all__ = ["template", "write_project"]

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
_LONGEST = 40
_MADE = ("__pycache__", ".pytest_cache", ".ruff_cache", ".mypy_cache", "dist", "*.egg-info")


def write_project(name: str, into: Path) -> Path:
    """Writes a project for a model of that name into a new folder ``honeyguide-<name>`` and returns it.

    Args:
        name: lower-case letters and digits, words joined by "-" or "_", starting with a letter, at most 40 characters.
        into: where the folder is put; made where it is missing.

    Raises:
        ConfigError: for another name, or where the folder exists.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or keyword.iskeyword(name):
        raise ConfigError(
            f"a model cannot be called {name!r}; allowed: lower-case letters and digits, words joined by '-' or '_', "
            f"starting with a letter, at most {_LONGEST} characters, such as my_model"
        )
    folder = into / f"honeyguide-{name.replace('_', '-')}"
    if folder.exists():
        raise ConfigError(f"{folder} exists; choose another name, or another folder with --into")
    source = template()
    into.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns(*_MADE))
    for path in list(_files(folder)):
        path.write_text(_renamed(path.read_text("utf-8"), name), "utf-8")
        path.rename(path.with_name(_renamed(path.name, name)))
    return folder


def template() -> Path:
    """Returns the template's folder: inside this package where it was installed, beside the sources where not."""
    installed = Path(__file__).parent / "template"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "template"


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _renamed(text: str, name: str) -> str:
    """Puts a name in the place of the template's, in each of its spellings."""
    words = re.split("[-_]", name)
    spellings = {
        "template_model": "_".join(words),
        "template-model": "-".join(words),
        "TemplateModel": "".join(word.capitalize() for word in words),
    }
    return re.sub("|".join(spellings), lambda match: spellings[match[0]], text)
