"""Item graphs: one that a bundle carries and proves, and what the proof refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import evaluation_set, items_table
from tiny_mean import TinyMean

from honeyguide.exporters import export_bundle
from honeyguide.exporters.forward import open_session
from honeyguide.exporters.placing import prove_places
from honeyguide.sdk import DataSpec, ItemTable, TensorSpec
from honeyguide.sdk.errors import ExportError

ITEMS = 12


class TinyPlaced(TinyMean):
    """Places an item by its price: a vector that is the price in every dimension."""

    name = "tiny_placed"

    def item_inputs(self):
        return (TensorSpec("prices", "float32", ("batch", 1)),)

    def encode_items(self, items):
        return {"prices": np.nan_to_num(items.number("price")).astype(np.float32)[:, None]}

    def network(self):
        network = super().network()
        width = self.config.width
        type(network).place = lambda _, items: items["prices"].repeat(1, width)
        return network


MODEL = TinyPlaced(TinyPlaced.Config(), DataSpec(ITEMS, repeats=False))


def export(repository: Path, network: object):
    return export_bundle(
        repository,
        "placed",
        model=MODEL,
        network=network,
        items=items_table(ITEMS),
        evaluation=evaluation_set(ITEMS),
        plugin="",
        metrics={},
    )


def test_a_bundle_places_items_that_its_catalogue_lacks(tmp_path: Path) -> None:
    manifest = export(tmp_path, MODEL.network())
    assert manifest.item_inputs == (TensorSpec("prices", "float32", ("batch", 1)),)
    assert manifest.proof["item_vector/max_abs_difference"] == 0
    new = ItemTable.from_lists(["x", "y", "z"], numbers={"price": [1.5, np.nan, 3.0]})
    placed = open_session(tmp_path / "placed" / "1" / "item.onnx")(MODEL.encode_items(new))["item_vector"]
    assert placed[:, 0].tolist() == [1.5, 0.0, 3.0]
    assert placed.shape == (3, manifest.dimension)


def test_a_model_with_inputs_whose_network_places_nothing_is_refused(tmp_path: Path) -> None:
    plain = TinyMean(TinyMean.Config(), MODEL.data).network()
    with pytest.raises(ExportError, match="'tiny_placed' has item_inputs, and its network has no place method"):
        export(tmp_path, plain)


@pytest.mark.parametrize(
    ("network", "graph", "problem"),
    [
        (lambda x: x, lambda x: x + 0.1, r"1 items differ by 0\.1"),
        (lambda x: x[:, :1], lambda x: x[:, :1], r"shape \(1, 1\) for 1 items.*must be \(1, 2\)"),
        (lambda x: x / 0 * 0, lambda x: x, "not finite"),
        (lambda x: x, lambda _: 1 / 0, "place fails for 1 items"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_a_graph_that_is_not_the_network_s_is_refused(network, graph, problem) -> None:  # the zeros are the point
    def forward(call):
        return lambda items: {"item_vector": call(np.repeat(items["prices"], 2, 1))}

    with pytest.raises(ExportError, match=problem):
        prove_places(MODEL, forward(network), forward(graph), 2)
