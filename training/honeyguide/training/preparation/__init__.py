"""From a raw log to a data set: read, clean, split."""
