"""Looks at the folder of a repository, and loads nothing of it."""

from __future__ import annotations

from pathlib import Path

from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.names import versions_in

__all__ = ["check_folder", "list_versions"]

_REMEDY = "`honeyguide demo` makes one in minutes, `honeyguide export` writes one from a trained model"


def check_folder(folder: Path) -> None:
    """Raises `ConfigError` where there is no repository, or none with a bundle in it."""
    if not folder.is_dir():
        raise ConfigError(f"repository {folder} does not exist; {_REMEDY}")
    if not list_versions(folder):
        raise ConfigError(f"repository {folder} holds no bundle; {_REMEDY}")


def list_versions(folder: Path) -> dict[str, list[int]]:
    """Returns the versions by model name, newest first. Hidden folders are bundles that are being written."""
    models = (model for model in sorted(folder.iterdir()) if not model.name.startswith(".") and model.is_dir())
    versions = {model.name: versions_in(model)[::-1] for model in models}
    return {name: numbers for name, numbers in versions.items() if numbers}
