"""Holds the protocol buffers of the API and the stubs generated from them."""
