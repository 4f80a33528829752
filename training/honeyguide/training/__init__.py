"""Holds everything from a raw log to trained weights: read, clean, split, fit, evaluate."""
