"""Covers `filters.py`: a filter means for many users what it means for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.catalogue import Catalogue, ItemFilter
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.serving.filters import limits_of, unknown_categories


@pytest.fixture(scope="module")
def catalogue(shared_repository: Path, host: PluginHost) -> Catalogue:
    return load_bundle(shared_repository / "tiny_ranker" / "1", host, Runtime(1, 1)).catalogue


def test_each_user_has_the_own_filter_and_what_is_forbidden(catalogue: Catalogue) -> None:
    odd, without = ItemFilter(any_categories=["odd"]), ItemFilter(exclude=["item-1", "nowhere"])
    limits = limits_of(catalogue, len(catalogue), [odd, None, without, odd], np.array([len(catalogue) + 5]))
    (mask,) = limits.masks  # of both who brought the same filter
    assert np.flatnonzero(mask).tolist() == list(range(1, len(catalogue), 2))
    assert limits.mask_of.tolist() == [0, -1, -1, 0]
    assert [divmod(key, len(catalogue)) for key in limits.forbidden.tolist()] == [(1, 5), (2, 1)]


def test_without_filters_only_what_is_forbidden_counts(catalogue: Catalogue) -> None:
    limits = limits_of(catalogue, len(catalogue), [None, None], np.array([3]))
    assert (limits.masks, limits.forbidden.tolist()) == ((), [3])


def test_categories_that_no_item_has_are_named_to_who_asked(catalogue: Catalogue) -> None:
    filters = [ItemFilter(any_categories=["odd", "blue"]), None, ItemFilter(any_categories=["even"])]
    assert unknown_categories(catalogue, filters) == [("blue",), (), ()]
    assert unknown_categories(catalogue, [None]) == ()
