"""The checks, one module for each thing that a model must get right."""
