"""Makes a bundle whose model places new items."""

from __future__ import annotations

from pathlib import Path

import pytest
from bundles import make_bundle
from shared import make_once

from honeyguide.sdk.data import ItemColumn
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime


@pytest.fixture(scope="session")
def placing_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of one bundle, "placed" (version 1), over 60 items and 8 dimensions. Change nothing."""
    columns = [ItemColumn("image", "vector", 8)]
    return make_once(
        tmp_path_factory,
        "placing_models",
        lambda folder: make_bundle(folder, "placed", model="tiny_placed", item_columns=columns),
    )


@pytest.fixture
def placing(placing_repository: Path, host: PluginHost) -> RetrievingBundle:
    """Its bundle, loaded anew."""
    bundle = load_bundle(placing_repository / "placed" / "1", host, Runtime(1, 1))
    assert isinstance(bundle, RetrievingBundle)
    return bundle
