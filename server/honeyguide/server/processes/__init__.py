"""Several processes that serve as one: on one port, with one answer to every change."""
