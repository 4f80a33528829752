"""Makes a bundle whose model places new items."""

from __future__ import annotations

from pathlib import Path

import pytest

from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime


@pytest.fixture
def placing(placing_repository: Path, host: PluginHost) -> RetrievingBundle:
    """Its bundle, loaded anew."""
    bundle = load_bundle(placing_repository / "placed" / "1", host, Runtime(1, 1))
    assert isinstance(bundle, RetrievingBundle)
    return bundle
