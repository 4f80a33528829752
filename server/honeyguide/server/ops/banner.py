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


def describe_addresses(
    address: str,
    metrics_address: str,
    *,
    events: object,
    workers: int,
    threads: int,
    transport: str,
    why: str,
    tls: bool = False,
    admin_address: str = "",
    web_address: str = "",
) -> str:
    """Says where the server listens and why so, where events go and what computes.

    Args:
        address: host and port, as a client is given it.
        metrics_address: the same of the metrics; "": there are none.
        events: the file.
        workers: batches computed at the same time.
        threads: of each.
        transport: its name.
        why: what decided for it.
        tls: whether clients must speak TLS.
        admin_address: host and port of the admin port; "": there is none.
        web_address: host and port of JSON, Connect and gRPC-Web; "": they are not answered.
    """
    ports = f", admin on {admin_address}" if admin_address else ""
    ports += f", web on http{'s' * tls}://{web_address}" if web_address else ""
    ports += f", metrics on http://{metrics_address}/metrics" if metrics_address else ""
    computes = f"{workers} x {threads} threads"
    return f"gRPC{' with TLS' * tls} on {address}{ports}, events in {events}, {computes}, transport {transport} ({why})"


def _describe_bundle(manifest: Manifest) -> str:
    index = f", index {manifest.index.kind}" if manifest.index else ""
    return f"{manifest.name}/{manifest.version} ({manifest.model_class}, {manifest.data.items:,} items{index})"
