"""Builds the retrieval index: exact for small catalogues, approximate and proven for large ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.manifest import IndexInfo
from honeyguide.training.target_folder import writing

__all__ = ["EXACT_UP_TO", "build_index", "recall", "write_index"]

EXACT_UP_TO = 50_000
"""Catalogue size up to which search is exact: it never misses, and at this size it costs little."""
RECALL_DEPTH = 100
RECALL_FLOOR = 0.99
_NEIGHBOURS = 32  # links of an HNSW node
_BUILD_BREADTH = 200
_BREADTHS = (64, 128, 256, 512, 1024)

Floats = NDArray[np.float32]


def build_index(vectors: Floats, queries: Floats, exact_up_to: int = EXACT_UP_TO) -> tuple[Any, IndexInfo]:
    """Builds an inner-product index over item vectors.

    A large catalogue gets HNSW (Malkov & Yashunin, 2018) with the least search breadth that reaches recall@100 ≥ .99.
    Inner product is no metric, and where the vectors' norms differ much HNSW never gets there: then it gets IVF, which
    does, at the latest by probing all its lists.

    Args:
        vectors: (items, d) C-contiguous; row i gets id i.
        queries: (users, d) vectors of held-out users, for tuning and for the recall that is written down.
        exact_up_to: the largest catalogue that gets an exact index.

    Returns:
        The FAISS index with its search breadth set, and its description.
    """
    import faiss

    items, width = vectors.shape
    exact = faiss.IndexFlatIP(width)
    exact.add(vectors)
    if items <= exact_up_to:
        return exact, IndexInfo("flat", recall(exact, exact, queries))

    hnsw = faiss.IndexHNSWFlat(width, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    hnsw.hnsw.efConstruction = _BUILD_BREADTH
    hnsw.add(vectors)
    for breadth in _BREADTHS:
        hnsw.hnsw.efSearch = breadth
        if (reached := recall(hnsw, exact, queries)) >= RECALL_FLOOR:
            return hnsw, IndexInfo("hnsw", reached)

    lists = max(1, min(int(4 * items**0.5), items // 39))  # FAISS wants 39 vectors for each centre
    ivf = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, lists, faiss.METRIC_INNER_PRODUCT)
    ivf.train(vectors)
    ivf.add(vectors)
    ivf.nprobe = 1
    while (reached := recall(ivf, exact, queries)) < RECALL_FLOOR and ivf.nprobe < lists:
        ivf.nprobe = min(ivf.nprobe * 2, lists)
    return ivf, IndexInfo("ivf", reached)


def recall(index: Any, exact: Any, queries: Floats) -> float:
    """Returns the share of the exact 100 best items that an index finds; an equal score counts as found."""
    depth = min(RECALL_DEPTH, exact.ntotal)
    best, _ = exact.search(queries, depth)  # (users, depth), descending
    scores, _ = index.search(queries, depth)  # -inf or the lowest float where there are fewer
    floor = best[:, -1:] - 1e-5 * np.abs(best[:, -1:])  # sums of products differ in their last digits
    return float((scores >= floor).mean())


def write_index(index: Any, path: Path) -> None:
    """Writes an index with its search breadth; raises `DataError` where the disk refuses it."""
    import faiss

    # FAISS's own writer says nothing where the last bytes of a file never got there.
    with writing(path, "the index", RuntimeError), path.open("wb") as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # of its SWIG part
