"""Says what things may be called: models, rules, bundles, pipelines, and the folders of a bundle's versions."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["NAME_PATTERN", "version_number", "versions_in"]

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,63}")
"""What a model, a rule, a bundle or a pipeline may be called."""
_VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,17}")  # below 2^63, which is what the wire carries


def version_number(name: str) -> int | None:
    """Returns the version that a folder of this name holds, None where the name is no version's: "007" is none."""
    return int(name) if _VERSION_PATTERN.fullmatch(name) else None


def versions_in(folder: Path) -> list[int]:
    """Returns the versions in a bundle's folder, ascending; none where there is no such folder."""
    if not folder.is_dir():
        return []
    numbers = [version_number(path.name) for path in folder.iterdir() if path.is_dir()]
    return sorted(number for number in numbers if number is not None)
