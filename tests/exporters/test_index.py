from pathlib import Path

import faiss
import numpy as np
import pytest
from bundles import make_bundle
from small_disk import files_end_at
from tiny_mean import TinyMean

from honeyguide.exporters.index import build_index, recall, write_index
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.manifest import read_manifest


@pytest.fixture(scope="module")
def space() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(5000, 16)).astype(np.float32), random.normal(size=(50, 16)).astype(np.float32)


def test_a_small_catalogue_gets_an_exact_index(space):
    index, info = build_index(*space)
    assert (info.kind, info.recall_at_100, index.ntotal) == ("flat", 1.0, 5000)


def test_a_large_catalogue_gets_an_approximate_index_that_finds_99_percent(space, tmp_path: Path):
    vectors, queries = space
    index, info = build_index(vectors, queries, exact_up_to=1000)
    assert info.kind == "hnsw"
    assert 0.99 <= info.recall_at_100 <= 1.0
    write_index(index, tmp_path / "index.faiss")
    again = faiss.read_index(str(tmp_path / "index.faiss"))
    assert again.hnsw.efSearch == index.hnsw.efSearch  # the tuned breadth travels with the file
    exact, _ = build_index(vectors, queries)
    assert recall(again, exact, queries) == info.recall_at_100


def test_ivf_steps_in_where_hnsw_fails(space, monkeypatch):
    monkeypatch.setattr("honeyguide.exporters.index._BREADTHS", ())
    _, info = build_index(*space, exact_up_to=1000)
    assert info.kind == "ivf"
    assert info.recall_at_100 >= 0.99


def test_recall_counts_what_an_index_misses(space):
    vectors, queries = space
    exact, _ = build_index(vectors, queries)
    half = faiss.IndexFlatIP(16)
    half.add(vectors[::2])
    assert recall(exact, exact, queries) == 1.0
    assert 0.4 < recall(half, exact, queries) < 0.6


def test_items_with_equal_scores_count_as_found():
    vectors = np.ones((300, 4), np.float32)
    exact = faiss.IndexFlatIP(4)
    exact.add(vectors)
    last = faiss.IndexFlatIP(4)
    last.add(vectors[150:])
    assert recall(last, exact, np.ones((3, 4), np.float32)) == 1.0


def test_the_manifest_says_which_index_and_its_recall(tmp_path: Path):
    make_bundle(tmp_path, model=TinyMean, items=400, exact_up_to=100)
    info = read_manifest(tmp_path / "tiny" / "1").index
    assert info.kind in ("hnsw", "ivf")
    assert info.recall_at_100 >= 0.99


@pytest.mark.parametrize(("items", "size"), [(20, 1_000), (5_000, 100_000)])
def test_a_disk_that_is_full_is_told_in_a_line(space, tmp_path: Path, items: int, size: int):
    index, _ = build_index(space[0][:items], space[1])
    with files_end_at(size), pytest.raises(DataError, match=r"index\.faiss: the index cannot be written: .*\n"):
        write_index(index, tmp_path / "index.faiss")
    write_index(index, tmp_path / "index.faiss")
    faiss.write_index(index, str(tmp_path / "own"))
    assert (tmp_path / "index.faiss").read_bytes() == (tmp_path / "own").read_bytes()
