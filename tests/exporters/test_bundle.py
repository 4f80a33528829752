import json
from pathlib import Path

import numpy as np
import polars as pl
from bundles import items_table

from honeyguide.sdk.manifest import read_manifest, verify


def test_a_bundle_verifies_and_describes_its_model(shared_repository: Path):
    folder = shared_repository / "tiny_ranker" / "1"
    manifest = read_manifest(folder)
    verify(folder, manifest)
    assert manifest.model_class == "tiny_ranker"
    assert manifest.ranks
    assert manifest.candidates == 20
    graphs = {"explain.onnx", "rank.onnx", "step.onnx", "user.onnx"}
    assert set(manifest.files) == {"index.faiss", "item_vectors.npy", "items.parquet"} | graphs
    assert json.loads((folder / "bundle.json").read_text())["format_version"] == 3


def test_vectors_are_plain_float32_rows(shared_repository: Path):
    vectors = np.load(shared_repository / "tiny" / "1" / "item_vectors.npy", mmap_mode="r", allow_pickle=False)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    assert vectors.shape == (60, 16)
    assert pl.read_parquet(shared_repository / "tiny" / "1" / "items.parquet").equals(items_table(60))
