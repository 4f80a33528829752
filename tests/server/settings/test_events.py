"""Settings of the store of events (`events.py`)."""

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.settings import make_settings


@pytest.mark.parametrize("given", [{"events_keep_days": -1}, {"events_keep_days": 1e6}, {"events_keep_per_user": -3}])
def test_limits_out_of_range_are_refused_by_name(given: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        make_settings(**given)


def test_by_default_everything_is_kept() -> None:
    settings = make_settings()
    assert (settings.events_keep_days, settings.events_keep_per_user) == (0, 0)
