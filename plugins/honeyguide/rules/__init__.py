"""The built-in rules; each is an ordinary plugin."""
