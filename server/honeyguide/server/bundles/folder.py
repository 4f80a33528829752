"""Looks at the folder of a repository, and loads nothing of it: which bundles lie there, and what cannot be one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from honeyguide.sdk.errors import BundleError, ConfigError
from honeyguide.sdk.names import NAME_PATTERN, version_number
from honeyguide.sdk.scrub import printable

__all__ = ["Oddity", "check_folder", "list_oddities", "list_versions"]

_REMEDY = "`honeyguide demo` makes one in minutes, `honeyguide export` writes one from a trained model"


class Oddity(NamedTuple):
    """Thing in a repository that looks like a bundle, or like the folder of a model, and cannot be one."""

    name: str
    """The model's folder, printable."""
    problem: str
    """Why it cannot be one."""


def check_folder(folder: Path) -> None:
    """Raises `ConfigError` where there is no repository, or none with a bundle in it."""
    if not folder.is_dir():
        raise ConfigError(f"repository {folder} does not exist; {_REMEDY}")
    if not list_versions(folder):
        raise ConfigError(f"repository {folder} holds no bundle; {_REMEDY}")


def list_versions(folder: Path) -> dict[str, list[int]]:
    """Returns the versions by model name, newest first; raises `BundleError` where the repository cannot be read.

    Hidden folders are bundles that are being written.
    """
    versions: dict[str, list[int]] = {}
    for name, version, problem in _scan(folder):
        if not problem:
            versions.setdefault(name, []).append(version)
    return {name: sorted(versions[name], reverse=True) for name in sorted(versions)}


def list_oddities(folder: Path) -> list[Oddity]:
    """Returns what cannot be a bundle, by name; raises `BundleError` where the repository cannot be read."""
    return sorted(Oddity(printable(name, 64), printable(problem)) for name, _, problem in _scan(folder) if problem)


def _scan(folder: Path) -> Iterator[tuple[str, int, str]]:
    """Yields name and version of each bundle, or name, 0 and the problem of what cannot be one."""
    root = os.path.realpath(folder)
    try:
        models = _visible(folder)
    except OSError as error:
        raise BundleError(f"the repository cannot be read ({error.strerror}): put it back") from error
    for model in models:
        name = model.name
        if not model.is_symlink() and not model.is_dir():
            continue  # a file beside the models, such as a README
        if problem := _refuse(model, root):
            yield name, 0, f"{name} {problem}"
            continue
        try:
            versions = [each for each in _visible(model.path) if each.name.isascii() and each.name.isdigit()]
        except OSError as error:
            yield name, 0, f"{name} cannot be read ({error.strerror})"
            continue
        if versions and not NAME_PATTERN.fullmatch(name):
            yield name, 0, f"{name!r} is no name of a model; allowed: text that matches {NAME_PATTERN.pattern}"
            continue
        for each in versions:
            version = version_number(each.name)
            if version is None:
                yield name, 0, f"{name}/{each.name} is no version: 1 to 18 digits, the first of them no 0"
            elif problem := _refuse(each, root):
                yield name, 0, f"{name}/{each.name} {problem}"
            else:
                yield name, version, ""


def _visible(folder: str | Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _refuse(entry: os.DirEntry[str], root: str) -> str:
    """Says why something is no folder of the repository; "": it is one. A link may stand for another folder in it."""
    if not entry.is_symlink():
        return "" if entry.is_dir() else "is no folder"
    try:
        target = os.path.realpath(entry.path, strict=True)
    except OSError:
        return "is a link that leads nowhere"
    if os.path.commonpath([root, target]) != root:
        return "is a link out of the repository: put the folder itself there"
    return "" if os.path.isdir(target) else "is a link to something that is no folder"  # noqa: PTH112  # a string
