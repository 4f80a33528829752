"""Offers the scripted server to the tests of the verbs that ask one."""

from fake_server import closed_port, fake

__all__ = ["closed_port", "fake"]
