"""Checks any model plugin against the contract: `honeyguide plugins check NAME`, or `pytest --honeyguide-plugins`."""
