"""What the models share that score the whole catalogue from ratings: the history as ratings, similarities."""
