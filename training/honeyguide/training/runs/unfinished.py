"""Claims the folder of an unfinished training, so that only the same training goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.target_folder import check_makeable

__all__ = ["check_unclaimed", "claim"]

_CLAIM, _DRAFT = "training.json", "training.part"


def check_unclaimed(folder: Path) -> None:
    """Raises `DataError` where a folder cannot be made, or holds files that are no unfinished training."""
    check_makeable(folder)
    if not folder.exists() or (folder / _CLAIM).exists():
        return
    if {path.name for path in folder.iterdir()} - {_DRAFT}:  # a kill may leave the draft alone
        raise DataError("no unfinished training lies in here", file=str(folder), remedy="choose another --out")


def claim(folder: Path, training: Mapping[str, Any]) -> bool:
    """Writes down whose training this is, or checks that it is the same one; returns whether one was under way.

    Args:
        folder: made where it is missing.
        training: what it is, JSON-ready: model, config, options and so on.

    Raises:
        ConfigError: it holds another training.
        DataError: what says so is broken.
    """
    file = folder / _CLAIM
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / _DRAFT
        draft.write_text(json.dumps(training, indent=2) + "\n", "utf-8")
        draft.replace(file)  # a kill leaves the whole file or none
        return False
    try:
        earlier = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise DataError(
            f"cannot be read ({error})", file=str(file), remedy="remove its folder to begin anew"
        ) from error
    if changed := sorted(name for name in training if earlier.get(name) != training[name]):
        raise ConfigError(
            f"an unfinished training with another {' and '.join(changed)} lies in {folder}; "
            "train with the same arguments to go on, or remove that folder to begin anew"
        )
    return True
