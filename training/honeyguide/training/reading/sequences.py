"""Reads texts with one user a line: an id, then the ids of items, oldest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.decoding import decoded_blocks
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.row_blocks import BadRows

__all__ = ["SequenceFile"]


class SequenceFile:
    """Text of user and items, with a space, a tab or what the format says between them."""

    columns = ("user", "item")

    def __init__(self, path: Path, kind: FileKind, text: TextFormat, flags: str, warnings: list[str]) -> None:
        """Looks at the first line; the arguments are those of `TextFile`."""
        self.path, self._flags, self._warnings = path, flags, warnings
        self.encoding = kind.mark or text.encoding
        head = next(decoded_blocks(path, self.encoding, flags, lambda _: None), b"").decode().lstrip("\n")
        if not head.strip():
            raise DataError("the file is empty", file=str(path), remedy="name a file that has rows")
        line = head.partition("\n")[0]
        self.detected = not text.separator
        self.separator = text.separator or next((s for s in ("\t", " ", ",", ";") if s in line.strip()), " ")

    def frames(
        self, selection: Sequence[str], _: BadRows | None, progress: Callable[[int], None]
    ) -> Iterator[tuple[NDArray[np.int64], pl.DataFrame]]:
        """Yields the line of each event, and its user and item; raises `DataError` where a text is not decodable."""
        rest, line, lonely, first_lonely = "", 1, 0, 0
        for block in decoded_blocks(self.path, self.encoding, self._flags, progress):
            text, end, following = (rest + block.decode()).rpartition("\n")
            rest = following
            if end:
                numbers, frame, without = self._events(text, line)
                line += text.count("\n") + 1
                first_lonely = first_lonely or (without[0] if without else 0)
                lonely += len(without)
                yield numbers, frame.select(selection)
        if rest.strip():
            numbers, frame, without = self._events(rest, line)
            first_lonely = first_lonely or (without[0] if without else 0)
            lonely += len(without)
            yield numbers, frame.select(selection)
        if lonely:
            self._warnings.append(
                f"{lonely:,} lines have a user and no item (first: {self.path.name} row {first_lonely}); "
                "they are left out"
            )

    def _events(self, text: str, line: int) -> tuple[NDArray[np.int64], pl.DataFrame, list[int]]:
        """Returns the events of some lines, the line of each, and the lines that have a user alone."""
        part = pl.element().str.strip_chars()
        lines = pl.DataFrame({"text": text.split("\n")}, schema={"text": pl.String}).with_row_index("line", line)
        fields = lines.select("line", pl.col("text").str.strip_chars().str.split(self.separator))
        fields = fields.with_columns(pl.col("text").list.eval(part.filter(part != "")))
        lengths = pl.col("text").list.len()
        events = fields.filter(lengths > 1).select(
            "line", pl.col("text").list.first().alias("user"), pl.col("text").list.slice(1).alias("item")
        )
        events = events.explode("item")
        lonely = fields.filter(lengths == 1)["line"].to_list()
        return events["line"].cast(pl.Int64).to_numpy(), events.drop("line"), lonely
