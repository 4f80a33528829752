"""Makes the bundles that the faults are tried on: small, untrained, of built-in models, in a process of its own.

python -m faults.material FOLDER

`near` and `recent` retrieve, `both` is joint and ranks what they retrieve. Each has two versions that answer otherwise;
version 2 of `both` pins version 2 of the others, so that an answer shows by its models whether they belong together.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["CATEGORIES", "ITEMS", "ITEM_IDS", "MODELS", "VERSIONS", "make"]

ITEMS = 120
ITEM_IDS = [f"item-{row}" for row in range(ITEMS)]
CATEGORIES = ("even", "odd", "first")
MODELS = ("near", "recent", "both")
VERSIONS = (1, 2)


def make(folder: Path) -> Path:
    """Fills the folder unless an earlier run has; returns the repository."""
    repository, done = folder / "models", folder / "made"
    if not done.exists() or done.read_text("utf-8") != _sources():
        shutil.rmtree(repository, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "faults.material", str(repository)]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1], stdout=subprocess.DEVNULL)
        done.write_text(_sources(), "utf-8")
    return repository


def _sources() -> str:
    """Returns what changes whenever the code that makes bundles does."""
    root = Path(__file__).parents[2]
    files = [*(root / "exporters").rglob("*.py"), *(root / "plugins/honeyguide").rglob("*.py"), Path(__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _export(repository: Path) -> None:
    import numpy as np
    import polars as pl
    import torch

    from honeyguide.exporters import export_bundle
    from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable
    from honeyguide.sdk.history import EvaluationSet
    from honeyguide.sdk.host import PluginHost

    random = np.random.default_rng(7)
    lists = [random.permutation(ITEMS)[: random.integers(3, 14)].tolist() for _ in range(80)]
    histories = HistoryBatch.from_lists([rows[:-1] for rows in lists])
    evaluation = EvaluationSet(histories, np.arange(80), np.array([rows[-1] for rows in lists], np.int32))
    items = pl.DataFrame(
        {
            "item_id": ITEM_IDS,
            "title": [f"Title {row}" for row in range(ITEMS)],
            "categories": [[CATEGORIES[row % 2]] + ["first"] * (row < 10) for row in range(ITEMS)],
            "popularity": [ITEMS - row for row in range(ITEMS)],
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    host = PluginHost.load()

    def export(name: str, kind: str, seed: int, config: dict[str, Any], **how: Any) -> None:
        torch.manual_seed(seed)
        cls = host.model(kind)
        model = cls(cls.Config(**config), DataSpec(items=ITEMS, repeats=False, fingerprint="0" * 64))
        network = model.network()
        if hasattr(network, "observe"):
            network.observe(histories, ItemTable.of_rows(ITEMS))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        for table in (part for part in network.modules() if isinstance(part, torch.nn.Embedding)):
            if table.padding_idx is not None:
                torch.nn.init.zeros_(table.weight[table.padding_idx].data)
        plugin = f"honeyguide {version('honeyguide')}"
        export_bundle(
            repository,
            name,
            model=model,
            network=network,
            items=items,
            evaluation=evaluation,
            plugin=plugin,
            metrics={"retrieve/ndcg@10": 0.0},
            **how,
        )

    for number in VERSIONS:
        export("near", "cf", number, {"dimension": 16})
        export("recent", "gru", 10 + number, {"dimension": 16, "hidden": 16, "max_length": 20})
        export(
            "both",
            "joint",
            20 + number,
            {"sources": 2},
            candidates=20,
            retrievers=[("near", number), ("recent", number)],
        )


if __name__ == "__main__":
    _export(Path(sys.argv[1]))
