"""Claims the folder of an unfinished training, so that only the same training goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honeyguide.sdk.errors import ConfigError, DataError

__all__ = ["check_unclaimed", "claim"]

_CLAIM = "training.json"


def check_unclaimed(folder: Path) -> None:
    """Raises `DataError` where a folder holds files of somebody's that are no unfinished training."""
    if folder.exists() and not (folder / _CLAIM).exists() and any(folder.iterdir()):
        raise DataError("no unfinished training lies in here", file=str(folder), remedy="choose another --out")


def claim(folder: Path, training: Mapping[str, Any]) -> bool:
    """Writes down whose training this is, or checks that it is the same one; returns whether one was under way.

    Args:
        folder: made where it is missing.
        training: what it is, JSON-ready: model, config, options and so on.

    Raises:
        ConfigError: it holds another training.
    """
    file = folder / _CLAIM
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".part")
        draft.write_text(json.dumps(training, indent=2) + "\n", "utf-8")
        draft.replace(file)  # a kill leaves the whole file or none
        return False
    earlier = json.loads(file.read_text("utf-8"))
    if changed := sorted(name for name in training if earlier.get(name) != training[name]):
        raise ConfigError(
            f"an unfinished training with another {' and '.join(changed)} lies in {folder}; "
            "train with the same arguments to go on, or remove that folder to begin anew"
        )
    return True
