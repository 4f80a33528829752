"""Items that no model met in training: where they are kept, and where each model places them."""
