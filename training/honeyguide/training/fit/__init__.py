"""From a data set to weights."""
