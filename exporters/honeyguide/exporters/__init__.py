"""Turns a trained network into a bundle: ONNX graphs, item vectors, a FAISS index, and the proof that they agree."""

from honeyguide.exporters.bundle import export_bundle
from honeyguide.exporters.joint import export_joint_bundle
from honeyguide.exporters.retrievers import find_bundle

__all__ = ["export_bundle", "export_joint_bundle", "find_bundle"]
