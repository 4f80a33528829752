"""Covers `nearest.py`: the nearest by cosine, and an error for each item that is unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.catalogue import ItemFilter
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.serving.nearest import nearest_items
from honeyguide.server.serving.queries import SimilarQuery


@pytest.fixture(scope="module")
def bundle(shared_repository: Path, host: PluginHost) -> LoadedBundle:
    return load_bundle(shared_repository / "tiny_ranker" / "1", host, Runtime(1, 1))


def test_the_nearest_come_first_and_who_is_unknown_is_told(bundle: LoadedBundle) -> None:
    vectors = bundle.item_vectors / np.linalg.norm(bundle.item_vectors, axis=1, keepdims=True)
    cosine = vectors @ vectors[7]
    expected = [row for row in np.argsort(-cosine).tolist() if row != 7 and row % 2][:5]
    queries = [SimilarQuery("nowhere"), SimilarQuery("item-7", 5, ItemFilter(any_categories=["odd"]))]
    known, answers, missing = nearest_items(bundle, None, queries)
    assert known == [1]
    assert answers[0].item_ids == [f"item-{row}" for row in expected]
    np.testing.assert_allclose(answers[0].scores, cosine[expected], rtol=1e-5)
    assert list(missing) == [0]
    assert "no item 'nowhere' in model 'tiny_ranker', version 1" in str(missing[0])
