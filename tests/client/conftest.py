"""Offers the scripted server to the client's tests."""

from fake_server import closed_port, fake

__all__ = ["closed_port", "fake"]
