"""Turns a trained network into a bundle: ONNX graphs, item vectors, a FAISS index, and the proof that they agree."""

from honeyguide.exporters.bundle import export_bundle
from honeyguide.exporters.from_run import PublishedBundle, export

__all__ = ["PublishedBundle", "export", "export_bundle"]
