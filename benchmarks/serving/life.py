"""Measures traffic like life: popular users often, real histories short and long, some calls that record events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from serving.bodies import RECOMMEND, RECORD, recommend_request, record_request
from serving.environments import Bundle
from serving.generator import Specification, write_sequence
from serving.measures import Figures, Measure, Pace, generated
from serving.servers import Serving

__all__ = ["lifelike", "traffic"]

WRITES = 0.05
"""Share of the calls that record an event."""
INLINE = 0.3
"""Share of the recommendations that bring their history along; the others ask for a stored user."""
RANKED = 0.5
"""Share of the recommendations that are job K."""
_ZIPF = 1.1
"""Exponent: the first of a thousand users makes a seventh of the calls."""


def traffic(bundle: Bundle, calls: int, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """Draws calls: 0 and a recommendation, or 1 and an event. Half of the inline histories are cut to a beginning."""
    random = np.random.default_rng(seed)
    histories = bundle.histories()
    users = list(histories)
    shares = 1 / np.arange(1, len(users) + 1) ** _ZIPF
    drawn = random.choice(len(users), calls, p=shares / shares.sum())
    for number in drawn.tolist():
        user = users[number]
        items = histories[user]
        if random.random() < WRITES:
            yield 1, record_request(user, items[int(random.integers(len(items)))])
            continue
        job = "k" if random.random() < RANKED else "r"
        if random.random() >= INLINE:
            yield 0, recommend_request(job, user=user)
            continue
        length = len(items) if random.random() < 0.5 else int(random.integers(1, len(items) + 1))
        yield 0, recommend_request(job, items[:length])


def lifelike(bundle: Bundle, callers: int) -> Measure:
    """Measures such traffic by so many callers, each with a connection."""

    def take(serving: Serving, folder: Path, pace: Pace) -> Figures:
        requests = int(min(pace.most, max(40 * callers, 2500 * pace.seconds)))
        result = generated(
            Specification(
                ("127.0.0.1", serving.port),
                [RECOMMEND, RECORD],
                str(write_sequence(folder / "sequence", traffic(bundle, requests))),
                connections=callers,
                callers=callers,
                requests=requests,
            ),
            folder,
        )
        phase = result["phases"][0]
        if phase["statuses"] != {"0": requests}:
            raise RuntimeError(f"of {requests} calls came {phase['statuses']}")
        read, written = phase["by_path"][RECOMMEND], phase["by_path"][RECORD]
        return {
            "requests_per_s": requests / phase["seconds"],
            "p50_ms": read["p50_ms"],
            "p99_ms": read["p99_ms"],
            "write_p50_ms": written["p50_ms"],
            "write_p99_ms": written["p99_ms"],
        }

    return Measure(f"traffic like life, {callers} callers", take)
