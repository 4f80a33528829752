"""Holds the built-in models; each is an ordinary plugin."""
