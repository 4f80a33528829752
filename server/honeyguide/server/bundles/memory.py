"""Says how much memory a loaded bundle takes: weights, vectors, index and catalogue."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import Categories
from honeyguide.sdk.manifest import INDEX
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.retrieval import IndexSearch
from honeyguide.server.bundles.user_cache import VectorCache

__all__ = ["held_bytes"]

_ROOM = "honeyguide.server.bundles"
_GRAPHS = ".onnx"
_ENTRY = 100
"""Bytes of a dictionary's entry, about."""


def held_bytes(bundle: LoadedBundle) -> int:
    """Returns the bytes that are held for a bundle, about; what it keeps of users, and its retrievers, not counted.

    A graph counts as its file, with the weights beside it, and so does an index; arrays are counted exactly.
    """
    files = [name for name in bundle.manifest.sizes if _GRAPHS in name]
    if isinstance(bundle, RetrievingBundle) and isinstance(bundle.retriever, IndexSearch):
        files.append(INDEX)
    seen = {id(retriever) for retriever in bundle.retrievers if retriever is not bundle}
    arrays = sum(array.nbytes for array in _arrays(bundle, seen))
    return sum(bundle.manifest.sizes.get(file, 0) for file in files) + arrays + _texts(bundle.catalogue)


def _arrays(part: object, seen: set[int]) -> Iterator[NDArray[Any]]:
    """Yields every array that a part of a bundle holds, or its parts do, each once and views as what they look at."""
    if id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, np.ndarray):
        if isinstance(part.base, np.ndarray):
            yield from _arrays(part.base, seen)
        else:
            yield part
    elif isinstance(part, Categories):
        yield from (part.offsets, part.codes)
    elif isinstance(part, dict | tuple):
        for value in part.values() if isinstance(part, dict) else part:
            yield from _arrays(value, seen)
    elif type(part).__module__.startswith(_ROOM) and not isinstance(part, VectorCache) and hasattr(part, "__dict__"):
        for value in vars(part).values():
            yield from _arrays(value, seen)


def _texts(catalogue: Catalogue) -> int:
    rows = np.arange(len(catalogue), dtype=np.int32)
    texts = chain(catalogue.item_ids(rows), catalogue.titles(rows))
    return sum(map(sys.getsizeof, texts)) + len(catalogue) * _ENTRY
