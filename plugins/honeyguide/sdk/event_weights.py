"""Says what each event counts for, as a target or a rating: a long view or a purchase may weigh more than a glance."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.data import DataSpec
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.history import HistoryBatch

__all__ = ["event_weights"]


def event_weights(
    histories: HistoryBatch, data: DataSpec, rule: str, option: str = "target_weight"
) -> NDArray[np.float32] | None:
    """Returns (events,) weights, each above 0, or None where all events count alike.

    Args:
        histories: the events.
        data: which features and event types these have.
        rule: "" for all alike; the name of a feature, whose normalised value z weighs 2 · sigmoid(z), between 0 and 2;
            or weights by event type, such as "purchase:3,view:0.5", where a type that is not named weighs 1.
        option: what the rule is called where it is given, for the errors.

    Raises:
        ConfigError: the data has no such feature or event type, or a weight is not above 0.
    """
    if not rule:
        return None
    if ":" in rule:
        by_type = np.ones(len(data.event_types) + 1, np.float32)  # place 0 is an unknown type
        for part in rule.split(","):
            name, _, weight = part.rpartition(":")
            if name not in data.event_types:
                raise ConfigError(f"{_given(option, rule)}; {_there_are('event types', data.event_types)}")
            by_type[data.event_types.index(name) + 1] = _above_zero(option, rule, weight)
        assert histories.event_types is not None
        typed: NDArray[np.float32] = by_type[histories.event_types]
        return typed
    if rule not in (names := [scaler.name for scaler in data.features]):
        raise ConfigError(
            f"{_given(option, rule)}; {_there_are('features', names)}, "
            f"and {_there_are('event types', data.event_types)}, "
            'to be weighed such as "purchase:3,view:1"'
        )
    weights: NDArray[np.float32] = 1.0 + np.tanh(histories.features[rule] / 2.0)  # 2 · sigmoid that cannot overflow
    return weights


def _given(option: str, rule: str) -> str:
    return f"option {option!r} is {rule!r}"


def _there_are(what: str, names: tuple[str, ...] | list[str]) -> str:
    return f"the data's {what}: {', '.join(names) or 'none'}"


def _above_zero(option: str, rule: str, weight: str) -> float:
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"{_given(option, rule)}, and {weight!r} is no weight; allowed: numbers above 0")
    return number
