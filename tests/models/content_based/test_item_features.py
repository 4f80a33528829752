"""What networks know of items: whitened vectors, normalised numbers, attributes, and the map to vectors."""

import numpy as np
import pytest
import torch

from honeyguide.models.content_based.item_content import ItemContent
from honeyguide.models.content_based.item_features import ItemFeatures, ItemProjection, combined_vectors
from honeyguide.models.content_based.text_encoder import ENCODER
from honeyguide.sdk import DataSpec, ItemColumn, ItemTable

ITEMS = 40
DATA = DataSpec(
    items=ITEMS, repeats=True, item_columns=(ItemColumn("price", "number"), ItemColumn("image", "vector", width=3))
)


def table() -> ItemTable:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((ITEMS, 3)) * [10, 1, 0.1] + [5, 5, 5]
    images[-1] = np.nan
    prices = [float(row) for row in range(ITEMS - 1)] + [np.nan]
    categories = [["all", f"own-{row}"] if row < ITEMS - 1 else [] for row in range(ITEMS)]
    return ItemTable.from_lists(
        list(map(str, range(ITEMS))),
        categories=categories,
        numbers={"price": prices},
        vectors={"image": images.tolist()},
    )


@pytest.fixture
def features() -> ItemFeatures:
    made = ItemFeatures(ItemContent(["content"], [], ENCODER, DATA), ITEMS)
    made.observe(table())
    return made


def test_vectors_are_centred_and_each_direction_counts_alike(features):
    white = features.dense[:-1, :3].numpy()
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(white.T @ white / (ITEMS - 1), np.eye(3), atol=1e-3)


def test_numbers_are_standardised_and_say_whether_they_are_there(features):
    numbers, there = features.dense[:, 3].numpy(), features.dense[:, 4].numpy()
    assert numbers[:-1].mean() == pytest.approx(0, abs=1e-5)
    assert numbers[:-1].std() == pytest.approx(1, abs=1e-5)
    assert there.tolist() == [1] * (ITEMS - 1) + [0]
    far = features.content.encode(ItemTable.from_lists(["x"], numbers={"price": [1e9]}))
    assert features.dense_of({n: torch.from_numpy(a) for n, a in far.items()})[0, 3] == 3


def test_of_an_item_of_which_nothing_is_known_all_is_zero(features):
    assert not features.dense[-1].any()
    projection = ItemProjection(features, 8)
    assert not projection.catalogue()[-1].any()


def test_attributes_of_a_single_item_say_nothing_of_others(features):
    assert int(features.known.sum()) == 1  # "all"


def test_a_new_item_that_is_as_one_of_the_catalogue_has_its_vector(features):
    projection = ItemProjection(features, 8)
    arrays = features.content.encode(table())
    placed = projection({name: torch.from_numpy(array) for name, array in arrays.items()})
    torch.testing.assert_close(placed, projection.catalogue())


def test_vectors_are_the_own_ones_and_what_is_known_together(features):
    projection, own = ItemProjection(features, 8), torch.randn(ITEMS + 1, 8)
    both = combined_vectors(own, projection, padding=1)
    torch.testing.assert_close(both[1:], own[1:] + projection.catalogue())
    torch.testing.assert_close(both[0], own[0])
    assert combined_vectors(own, None) is own
    torch.testing.assert_close(combined_vectors(None, projection), projection.catalogue())


def test_a_catalogue_of_equal_vectors_is_whitened_to_zeros():
    data = DataSpec(items=2, repeats=True, item_columns=(ItemColumn("image", "vector", width=2),))
    made = ItemFeatures(ItemContent(["content"], [], ENCODER, data), 2)
    made.observe(ItemTable.from_lists(["a", "b"], vectors={"image": [[1, 2], [1, 2]]}))
    assert not made.dense.any()
