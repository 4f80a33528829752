"""Says who may call what, how often, and how the way to the server is closed."""
