"""Turns a trained network into a bundle: ONNX graphs, item vectors, a FAISS index, and the proof that they agree."""

from honeyguide.exporters.bundle import export_bundle
from honeyguide.exporters.sources import find_bundle

__all__ = ["export_bundle", "find_bundle"]
