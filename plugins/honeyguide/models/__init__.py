"""The built-in models; each is an ordinary plugin."""
