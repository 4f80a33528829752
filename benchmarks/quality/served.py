"""Asks a server over gRPC for every test user, and finds the targets in the answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from honeyguide.client import Client, History, Ranked, UnavailableError, UserRow
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.sdk.history import EvaluationSet
from honeyguide.training.dataset import Dataset

__all__ = ["K", "served_ranks", "serving"]

K = 10
_USERS_A_BATCH = 128
_LONGEST = 4096
"""Events that a request may carry."""


@contextmanager
def serving(work: Path, bundle: str, stages: Sequence[str]) -> Iterator[Client]:
    """Runs a server with one pipeline for each stage of a bundle, "retrieve" or "rank".

    It is a process of its own, as in production: what is measured goes through nothing but gRPC.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    lines = [f'host = "127.0.0.1"\nport = {port}\nmetrics_port = -1\nlog_level = "warning"']
    places = {"repository": "models", "events": "events.db", "cold_items": "items.db"}
    lines += [f"{name} = {json.dumps(str(work / place))}" for name, place in places.items()]
    lines += [f'[pipelines.{s}]\nmodel = "{bundle}"\nrank = {str(s == "rank").lower()}' for s in stages]
    config = work / f"{bundle}.toml"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    server = subprocess.Popen([sys.executable, "-m", "honeyguide.cli", "serve", "--config", str(config)])
    try:
        with Client(f"127.0.0.1:{port}", timeout=60) as client:
            until = time.monotonic() + 300
            while True:
                try:
                    client.models()
                    break
                except UnavailableError:
                    if server.poll() is not None or time.monotonic() > until:
                        raise
                    time.sleep(0.2)
            yield client
    finally:
        server.terminate()
        server.wait(60)


def served_ranks(client: Client, pipeline: str, dataset: Dataset, test: EvaluationSet) -> NDArray[np.float64]:
    """Returns the (targets,) place of each target in its user's answer, inf where it is not among the first 10.

    Histories are inline. Where the data has times, each user asks at the time of the target, which takes a call of its
    own; else many ask at once.
    """
    ids = dataset.items["item_id"].to_numpy()
    histories = _histories(dataset, test, ids)
    alone = test.histories.request_times_ms is not None
    lists = _asked_alone(client, pipeline, test, histories) if alone else _asked_together(client, pipeline, histories)
    ranks = np.full(len(test.target_items), np.inf)
    for user, answer in zip(range(len(test)), lists, strict=True):
        places = {item: place for place, item in enumerate(answer, 1)}
        for target in range(*np.searchsorted(test.target_users, [user, user + 1])):
            ranks[target] = places.get(str(ids[test.target_items[target]]), np.inf)
    return ranks


def _histories(dataset: Dataset, test: EvaluationSet, ids: NDArray[np.object_]) -> list[History]:
    """Returns what each user did, raw, as a client would send it."""
    raw = {name: dataset.events[name].to_numpy() for name in ("event_type", *EVENT_FEATURES) if name in dataset.events}
    batch, start = test.histories, _starts(dataset, test)
    plural = {"event_type": "event_types", "quantity": "quantities", "value": "values"}
    histories = []
    for user in range(len(batch)):
        own = slice(*batch.offsets[user : user + 2])
        events = slice(start[user], start[user] + own.stop - own.start)  # as many, from the user's first event on
        columns = {plural.get(name, name): column[events][-_LONGEST:].tolist() for name, column in raw.items()}
        if batch.times_ms is not None:
            columns["times_ms"] = batch.times_ms[own][-_LONGEST:].tolist()
        histories.append(History(ids[batch.items[own]][-_LONGEST:].tolist(), **columns))
    return histories


def _starts(dataset: Dataset, test: EvaluationSet) -> NDArray[np.int64]:
    """Returns the place of each user's first event; users stand in the order of their rows."""
    rows = {user: row for row, user in enumerate(dataset.users["user_id"])}
    return np.searchsorted(dataset.events["user"].to_numpy(), [rows[user] for user in test.user_ids])


def _asked_alone(
    client: Client, pipeline: str, test: EvaluationSet, histories: Sequence[History]
) -> Iterator[list[str]]:
    now = test.histories.request_times_ms
    assert now is not None

    def ask(user: int) -> list[str]:
        moment = int(now[user])
        answer = client.recommend(history=histories[user], k=K, pipeline=pipeline, request_time_ms=moment)
        return [item.item_id for item in answer]

    with ThreadPoolExecutor(4) as threads:
        yield from threads.map(ask, range(len(test)))


def _asked_together(client: Client, pipeline: str, histories: Sequence[History]) -> Iterator[list[str]]:
    batches = (
        [UserRow(history=history) for history in histories[start : start + _USERS_A_BATCH]]
        for start in range(0, len(histories), _USERS_A_BATCH)
    )
    for answer in client.recommend_stream(batches, k=K, pipeline=pipeline, timeout=60):
        for row in answer.rows:
            if not isinstance(row, Ranked):
                raise SystemExit(f"a user was not answered: {row}")
            yield list(row.item_ids)
