"""The catalogue: which items a filter allows, and titles that fit into answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.server.bundles.catalogue import MAX_TITLE_BYTES, Catalogue, ItemFilter


def catalogue(**categories: list[int]) -> Catalogue:
    rows = {name: np.array(items, np.int32) for name, items in categories.items()}
    return Catalogue(list("abcd"), ["", "B", "C", "D"], np.arange(4), rows)


@pytest.mark.parametrize(
    ("names", "ignore_case", "allowed", "unknown"),
    [
        (["Tea"], False, "a", ()),
        (["tea"], False, "", ("tea",)),
        (["tea"], True, "ab", ()),
        (["TEA", "straße", "none"], True, "abd", ("none",)),
        (["STRASSE"], True, "d", ()),
        ([], True, "abcd", ()),
    ],
)
def test_categories_with_and_without_case(
    names: list[str], ignore_case: bool, allowed: str, unknown: tuple[str, ...]
) -> None:
    items = catalogue(Tea=[0], TEA=[0, 1], Cup=[2], Straße=[3])
    if not ignore_case and names == ["Tea"]:
        assert items.unknown_categories(None) == ()
    limit = ItemFilter(any_categories=names, ignore_category_case=ignore_case)
    mask = items.allowed(limit)
    assert "".join(np.array(list("abcd"))[slice(None) if mask is None else mask]) == allowed
    assert items.unknown_categories(limit) == unknown


def test_a_long_title_is_cut_between_two_characters(tmp_path: Path) -> None:
    titles = ["short", "ä" * 249 + "bb", "ä" * 251, None]
    table = {"item_id": list("abcd"), "title": titles, "categories": [["x"]] * 4, "popularity": [1] * 4}
    folder = tmp_path / "models [a-z]*"  # no pattern
    folder.mkdir()
    pl.DataFrame(table).write_parquet(folder / "items.parquet")
    read = Catalogue.read((folder / "items.parquet").read_bytes())
    cut = read.titles(np.arange(4, dtype=np.int32))
    assert cut == ["short", "ä" * 249 + "bb", "ä" * 248 + "…", ""]
    assert max(len(title.encode()) for title in cut) <= MAX_TITLE_BYTES
