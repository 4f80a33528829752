"""Says how sure a difference between two stages is: a paired bootstrap over users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "beaten_words", "paired_difference"]

_DRAWS = 1 << 28
"""The most numbers drawn: where users differ in very many ways, fewer samples are taken, 1,000 at least."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference over users, with how sure it is."""

    gain: float
    """After minus before."""
    low: float
    high: float
    """Ends of the 95 % interval of the gain."""
    p: float
    """One-sided p-value that there is no gain; never 0."""

    @property
    def certain(self) -> bool:
        """Whether the interval leaves 0 out, on either side."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return f"{self.gain:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def paired_difference(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    seed: int,
    *,
    owners: NDArray[np.integer] | None = None,
    samples: int = 10_000,
) -> Difference:
    """Compares a metric of the same users by resampling them in pairs (Efron & Tibshirani, 1993).

    The interval is that of percentiles; the p-value is the share of resampled mean differences that are not above 0,
    one more counted in. How often each distinct difference is drawn is multinomial, so users need not be drawn one by
    one.

    Args:
        before: (users,) a metric of each user.
        after: (users,) the same users' metric, to be shown better.
        seed: of the resampling.
        owners: (users,) as in `honeyguide.sdk.history.EvaluationSet`: users are resampled, not their requests.
        samples: how many times to resample.
    """
    difference = after - before
    if owners is not None:
        _, place, requests = np.unique(owners, return_inverse=True, return_counts=True)
        difference = np.bincount(place, difference) / requests
    values, counts = np.unique(difference, return_counts=True)
    samples = min(samples, max(_DRAWS // len(values), 1000))
    rng = np.random.default_rng(seed)
    rows = max((1 << 22) // len(values), 1)
    means = np.empty(samples)
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        drawn = rng.multinomial(len(difference), counts / len(difference), size=size)
        means[start : start + size] = drawn @ values / len(difference)
    low, high = np.quantile(means, [0.025, 0.975])
    not_better = int((means <= 1e-12).sum())
    return Difference(float(difference.mean()), float(low), float(high), (1 + not_better) / (1 + samples))


def beaten_words(stage: str, over: Difference, k: int = 10) -> str:
    """Says that a stage is no better than the transitions, and how sure that is; "" where it is better.

    Args:
        stage: its name.
        over: its gain in NDCG over the transitions.
        k: of the NDCG.
    """
    if over.low > 0:
        return ""
    verdict = "is worse than" if over.high < 0 else "is not shown to be better than"
    return f"{stage} {verdict} transitions, which only count what followed what: NDCG@{k} {over}"
