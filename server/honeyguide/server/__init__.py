"""Serves bundles over gRPC: histories in, ranked items out, and never torch."""
