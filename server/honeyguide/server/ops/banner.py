"""Writes the lines that say at the start what is served, where, and by what."""

from __future__ import annotations

from collections.abc import Sequence

from honeyguide.sdk.manifest import Manifest

__all__ = ["describe_addresses", "describe_pipeline"]

_CPU = "CPUExecutionProvider"


def describe_pipeline(
    name: str, stages: Sequence[str], manifests: Sequence[Manifest], provider: str, *, is_default: bool
) -> str:
    """Says what one pipeline does.

    Args:
        name: the pipeline's.
        stages: what happens to a request, in order.
        manifests: of the bundles that take part, retrieval first.
        provider: where their graphs run, as ONNX Runtime calls it.
        is_default: whether it answers requests that name no pipeline.
    """
    device = "CPU" if provider == _CPU else provider
    models = " + ".join(map(_describe_bundle, manifests))
    return f"pipeline {name}{' (default)' * is_default}: {' → '.join(stages)} with {models} on {device}"


def describe_addresses(host: str, port: int, metrics_port: int, *, events: object, workers: int, threads: int) -> str:
    """Says where the server listens, where events go and what computes; ``metrics_port`` is -1 where there is none."""
    shown = f"[{host}]" if ":" in host else host  # so that it can be pasted where a client asks for an address
    metrics = f", metrics on http://{shown}:{metrics_port}/metrics" if metrics_port >= 0 else ""
    return f"gRPC on {shown}:{port}{metrics}, events in {events}, {workers} x {threads} threads"


def _describe_bundle(manifest: Manifest) -> str:
    index = f", index {manifest.index.kind}" if manifest.index else ""
    return f"{manifest.name}/{manifest.version} ({manifest.model_class}, {manifest.data.items:,} items{index})"
