"""The Open Inference Protocol, whose version 2 is served beside API v1."""
