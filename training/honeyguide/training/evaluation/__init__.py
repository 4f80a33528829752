"""How good a model is: accuracy, and what lies beyond it."""
