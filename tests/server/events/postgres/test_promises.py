"""PostgreSQL keeps what every store of events promises (`store.py`, `tables.py`, `reader.py`, `names.py`)."""

from store_promises import *  # noqa: F403  # the tests
