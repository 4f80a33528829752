"""Says what an event may hold: the columns beside user, item and time, and how long a text may be."""

from __future__ import annotations

__all__ = ["EVENT_FEATURES", "MAX_EVENT_TYPE_BYTES", "MAX_ID_BYTES", "NON_NEGATIVE_FEATURES"]

EVENT_FEATURES = ("dwell_seconds", "clicks", "quantity", "value")
"""The numbers an event may have, in the order of their columns; NaN: not known."""
NON_NEGATIVE_FEATURES = ("dwell_seconds", "clicks", "quantity")
"""Those that are 0 or more; any finite number is a value."""
MAX_ID_BYTES = 256
"""The most bytes of UTF-8 in the id of a user or an item."""
MAX_EVENT_TYPE_BYTES = 64
"""The most bytes of UTF-8 in an event's type."""
