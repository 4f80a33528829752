"""The lines at the start say what is served, where, and by what."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from honeyguide.sdk.manifest import IndexInfo
from honeyguide.server.ops.banner import describe_addresses, describe_pipeline


def manifest(name: str, index: IndexInfo | None) -> Any:
    return SimpleNamespace(name=name, version=3, model_class="cf", data=SimpleNamespace(items=12_345), index=index)


@pytest.mark.parametrize(("provider", "device"), [("CPUExecutionProvider", "CPU"), ("CUDAExecutionProvider",) * 2])
def test_a_pipeline_names_its_stages_its_bundles_and_its_device(provider: str, device: str) -> None:
    bundles = [manifest("shop", IndexInfo("hnsw", 1.0)), manifest("all", None)]
    line = describe_pipeline("main", ["retrieve", "rank", "diversity"], bundles, provider, is_default=True)
    assert line == (
        "pipeline main (default): retrieve → rank → diversity with shop/3 (cf, 12,345 items, index hnsw) "
        f"+ all/3 (cf, 12,345 items) on {device}"
    )
    assert describe_pipeline("b", ["retrieve"], bundles[:1], provider, is_default=False).startswith("pipeline b: ")


def test_the_last_line_names_metrics_only_where_there_are_some() -> None:
    facts: dict[str, Any] = {"events": "e.db", "workers": 1, "threads": 4, "transport": "grpcio", "why": "as set"}
    rest = "events in e.db, 1 x 4 threads, transport grpcio (as set)"
    assert describe_addresses("h:1", "h:2", **facts) == f"gRPC on h:1, metrics on http://h:2/metrics, {rest}"
    line = describe_addresses("[::1]:1", "", **facts)
    assert line == f"gRPC on [::1]:1, {rest}"
