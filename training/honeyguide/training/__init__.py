"""Leads from a raw log to trained weights, and says how good they are: read, clean, split, fit, evaluate."""

from honeyguide.training.evaluation.evaluate import evaluate

__all__ = ["evaluate"]
