"""Claims the folder of an unfinished training, so that only the same training goes on from it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.target_folder import check_makeable, writing

__all__ = ["check_unclaimed", "claim", "discard", "discard_empty", "is_under_way", "set_aside"]

_CLAIM, _DRAFT = "training.json", "training.part"
_PHASES = "*.safetensors"
"""What a phase leaves once an epoch is done: only from then on there is something to lose."""


def check_unclaimed(folder: Path) -> None:
    """Raises `DataError` where a folder cannot be made, or holds files that are no unfinished training."""
    check_makeable(folder)
    if not folder.exists() or (folder / _CLAIM).exists():
        return
    if {path.name for path in folder.iterdir()} - {_DRAFT}:  # a kill may leave the draft alone
        raise DataError("no unfinished training lies in here", file=str(folder), remedy="choose another --out")


def claim(folder: Path, training: Mapping[str, Any]) -> bool:
    """Writes down whose training this is, or checks that it is the same one; returns whether one was under way.

    Another training that has no epoch done gives way: it would lose nothing.

    Args:
        folder: made where it is missing.
        training: what it is, JSON-ready: model, config, options and so on.

    Raises:
        ConfigError: it holds another training.
        DataError: what says so is broken, or the disk refuses it.
    """
    file = folder / _CLAIM
    if file.exists():
        earlier = _read(file)
        changed = sorted(name for name in training if earlier.get(name) != training[name])
        if not changed:
            return True
        if is_under_way(folder):
            raise ConfigError(
                f"an unfinished training with another {' and '.join(changed)} lies in {folder}; "
                "train with the same arguments to go on, or begin anew with --force"
            )
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / _DRAFT
    with writing(file, "what is trained", draft=draft):
        draft.write_text(json.dumps(training, indent=2) + "\n", "utf-8")
        draft.replace(file)  # a kill leaves the whole file or the one before
    return False


def set_aside(folder: Path) -> Path | None:
    """Moves a training that cannot be finished out of the way of the next; returns where to.

    One that was set aside before is replaced. Where something else bears that name, nothing is kept: None.
    """
    aside = _aside(folder)
    if aside.exists() and not (aside / _CLAIM).exists():
        shutil.rmtree(folder)
        return None
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    return aside


def discard(folder: Path) -> None:
    """Removes an unfinished training, and one that was set aside."""
    for place in (folder, _aside(folder)):
        if (place / _CLAIM).exists():
            shutil.rmtree(place)


def discard_empty(folder: Path) -> None:
    """Removes an unfinished training that has no epoch done."""
    if (folder / _CLAIM).exists() and not is_under_way(folder):
        shutil.rmtree(folder)


def is_under_way(folder: Path) -> bool:
    """Whether there is something to go on from: a phase of which an epoch is done."""
    return any(folder.glob(_PHASES))


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.failed")


def _read(file: Path) -> dict[str, Any]:
    try:
        earlier = json.loads(file.read_text("utf-8"))
        if isinstance(earlier, dict):
            return earlier
        problem = f"{type(earlier).__name__} where an object belongs"
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise DataError(f"cannot be read ({problem})", file=str(file), remedy="begin anew with --force")
