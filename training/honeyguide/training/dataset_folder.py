"""Knows what lies in a data set's folder, and refuses a wrong one before anything heavy is imported."""

from __future__ import annotations

import json
from pathlib import Path

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import check_makeable

__all__ = ["HEADER", "TABLE_FILES", "check_source", "check_target"]

HEADER = "dataset.json"
TABLE_FILES = ("events.parquet", "users.parquet", "items.parquet")


def check_source(folder: Path) -> None:
    """Raises `DataError` where a file of a data set is missing in ``folder``."""
    if missing := [name for name in (HEADER, *TABLE_FILES) if not (folder / name).is_file()]:
        raise DataError(
            f"this is not a data set: {missing[0]} is missing",
            file=str(folder),
            remedy="name a folder that `honeyguide prepare` wrote",
        )


def check_target(folder: Path, *, force: bool) -> None:
    """Raises `DataError` where a data set cannot be written to ``folder``, or would be at a loss of something."""
    check_makeable(folder)
    if Path.cwd().is_relative_to(folder.resolve()):  # it is put in place by a rename, beneath whoever stands in it
        raise DataError("this is the folder you are in, or above it", file=str(folder), remedy="name one beneath it")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not _is_ours(folder / HEADER):
        raise DataError("this exists and is no data set", file=str(folder), remedy="choose another --out")
    if foreign := sorted({path.name for path in folder.iterdir()} - {HEADER, *TABLE_FILES}):
        raise DataError(
            f"beside the data set this holds {', '.join(foreign[:3])}",
            file=str(folder),
            remedy="move that elsewhere, or choose another --out",
        )
    if not force:
        raise DataError(
            "a data set is there already", file=str(folder), remedy="choose another --out, or replace it with --force"
        )


def _is_ours(header: Path) -> bool:
    """Whether a file is the header of a data set, of this format or another; other programs write dataset.json too."""
    try:
        raw = json.loads(header.read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and {"format_version", "spec", "split"} <= set(raw)
