"""Answers without a network: what a server answers, asked for in the same process."""
