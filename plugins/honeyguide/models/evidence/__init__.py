"""What the built-in rankers share: counts of what follows what, attention to the candidate, explanations."""
