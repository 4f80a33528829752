from pathlib import Path

import pytest
from bundles import evaluation_set, items_table

from honeyguide.exporters import export_bundle
from honeyguide.models.cf import CollaborativeFiltering, Config
from honeyguide.sdk import DataSpec


@pytest.mark.parametrize(("items", "repeats"), [(60, False), (6, True)])
def test_both_graphs_pass_their_proof(tmp_path: Path, items: int, repeats: bool) -> None:
    import torch

    model = CollaborativeFiltering(Config(dimension=8, max_length=30), DataSpec(items=items, repeats=repeats))
    torch.manual_seed(0)
    network = model.network()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    evaluation = evaluation_set(items)
    network.observe(evaluation.histories)  # type: ignore[operator]  # nn.Module types every attribute Tensor | Module
    manifest = export_bundle(
        tmp_path,
        "cf",
        model=model,
        network=network,
        items=items_table(items),
        evaluation=evaluation,
        plugin="tests 0.0.0",
        metrics={},
        candidates=min(200, items),
    )
    assert manifest.ranks
    assert manifest.dimension == 9  # the bias is one of them
    assert manifest.proof["scores/max_abs_difference"] < 1e-4
    assert manifest.proof["retrieve/ndcg@10/difference"] == pytest.approx(0, abs=1e-3)
