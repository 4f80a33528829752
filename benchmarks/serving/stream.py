"""Answers many users over one stream of the Python client and says how many a second.

python -m serving.stream PORT BUNDLE_FOLDER JOB USERS        prints JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

from honeyguide.client import Client, Ranked, UserRow
from serving.environments import LENGTH, Bundle

__all__ = ["stream"]

_ROWS = 256


def stream(port: int, bundle: Bundle, job: str, users: int) -> float:
    """Returns users a second; raises `RuntimeError` where one is not answered with ten items."""
    items = [item for history in bundle.histories().values() for item in history]
    starts = [number * 13 % (len(items) - LENGTH) for number in range(users)]
    rows = [UserRow(history=items[start : start + LENGTH]) for start in starts]
    with Client(f"127.0.0.1:{port}") as client:
        list(client.recommend_stream([rows[:_ROWS]], k=10, pipeline=job))
        batches = (rows[start : start + _ROWS] for start in range(0, users, _ROWS))
        begun, answered = perf_counter(), 0
        for answer in client.recommend_stream(batches, k=10, pipeline=job):
            answered += sum(isinstance(row, Ranked) and len(row.item_ids) == 10 for row in answer.rows)
        seconds = perf_counter() - begun
    if answered != users:
        raise RuntimeError(f"{answered} of {users} users were answered")
    return users / seconds


if __name__ == "__main__":
    port, folder, job, users = sys.argv[1:]
    print(json.dumps({"users_per_s": stream(int(port), Bundle(Path(folder)), job, int(users))}))
