"""Runs the tutorial: its model is found as a plugin, learns, is exported with proof, and serves its graph."""

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import polars as pl

from honeyguide.exporters import export_bundle
from honeyguide.sdk import DataSpec, EvaluationSet, HistoryBatch, PluginHost
from honeyguide.training.fit import FitOptions
from honeyguide.training.train import train

PAGE = Path(__file__).parents[2] / "docs" / "write-a-model.md"
ITEMS = 12


def test_the_tutorials_model_trains_and_is_exported(tmp_path, monkeypatch):
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    (tmp_path / "last_item.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    host = PluginHost.load([EntryPoint("last_item", "last_item", "honeyguide.plugins")], strict=True)
    assert "torch" not in vars(sys.modules["last_item"])

    # After item i always comes i + 1: the last item alone says what follows.
    histories = HistoryBatch.from_lists([[(start + n) % ITEMS for n in range(6)] for start in range(ITEMS)] * 4)
    following = np.array([(start + 6) % ITEMS for start in range(ITEMS)] * 4, np.int32)
    held_out = EvaluationSet(histories, np.arange(len(histories)), following)
    model_class = host.model("last_item")
    model = model_class(model_class.Config(dimension=8), DataSpec(items=ITEMS, repeats=True))
    trained = train(model, histories, held_out, FitOptions(epochs=20, patience=20, lr=0.1, batch_tokens=64))
    assert trained.metrics["retrieve/hr@10"] == 1.0
    assert trained.metrics["retrieve/ndcg@10"] > 0.99

    ids = [f"item-{i}" for i in range(ITEMS)]
    catalogue = pl.DataFrame(
        {"item_id": ids, "title": ids, "categories": [["all"]] * ITEMS, "popularity": [24] * ITEMS}
    )
    manifest = export_bundle(
        tmp_path / "models",
        "last_item",
        model=model,
        network=trained.network,
        items=catalogue,
        evaluation=held_out,
        plugin="honeyguide-last-item 1.0",
        metrics=trained.metrics,
        candidates=trained.candidates,
    )
    assert (tmp_path / "models" / "last_item" / "1" / "user.onnx").exists()
    assert not manifest.ranks
