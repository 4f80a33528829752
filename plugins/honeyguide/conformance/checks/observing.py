"""Checks a network that observes: what it keeps is of the data it saw last, and travels with its weights."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.conformance.checks.encoding import columns_of
from honeyguide.conformance.checks.network import check_close, stages_of
from honeyguide.conformance.data import PLAIN, SPECS, blank_table, item_table
from honeyguide.conformance.subject import OBSERVED, Subject
from honeyguide.sdk import DataSpec, HistoryBatch, ItemTable
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ConformanceError
from honeyguide.sdk.examples import example_histories

__all__ = ["observing_starts_anew"]


def observing_starts_anew(subject: Subject) -> str:
    """`observe` keeps what it saw last and nothing before, in buffers that travel, and changes neither argument."""
    if capabilities_of(subject.network(PLAIN)).observes is None:
        return "its network does not observe"
    for data, spec in SPECS.items():
        network, other = subject.network(spec), subject.fresh(spec).eval()
        _check_shapes(other, network, data)
        _observe(other, example_histories(spec, [7, 2, 6], seed=1), blank_table(), data)
        for stage, scores in _scores(subject, spec, other).items():
            if not np.isfinite(scores).all():
                raise ConformanceError(
                    f"{stage} gives scores that are not finite after observing items of which nothing is known (with "
                    f"{data}); look for a mean or a logarithm of what is missing: a number is NaN, a text is empty"
                )
        other.load_state_dict(network.state_dict())
        _check_same(
            subject,
            spec,
            other,
            f"where the weights are loaded into a new network (with {data}); keep what is observed in buffers, as in "
            "`self.register_buffer(…)`, so that a checkpoint holds it",
        )
        _observe(other, example_histories(spec, [7, 2, 6], seed=1), blank_table(), data)
        _observe(other, example_histories(spec, OBSERVED), item_table(), data)
        _check_same(
            subject,
            spec,
            other,
            f"after observe was called with other data in between (with {data}); begin with empty counts at each call, "
            "as in `self.counts.zero_()`",
        )
    return ""


def _check_shapes(fresh: Any, observed: Any, data: str) -> None:
    before, after = ({name: tuple(v.shape) for name, v in one.state_dict().items()} for one in (fresh, observed))
    if before != after:
        name = min(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
        raise ConformanceError(
            f"{name!r} of the weights has shape {before.get(name)} in a new network and {after.get(name)} in one that "
            f"has observed (with {data}); register a buffer of a shape that the config and the data spec fix, and "
            "write into it"
        )


def _scores(subject: Subject, spec: DataSpec, network: Any) -> dict[str, NDArray[np.float32]]:
    users = example_histories(spec, [1, 3, subject.longest])
    return {stage: score(users) for stage, score in stages_of(subject, spec, network).items()}


def _check_same(subject: Subject, spec: DataSpec, network: Any, problem: str) -> None:
    """Compares a network's scores with those of the subject's own."""
    expected = _scores(subject, spec, subject.network(spec))
    for stage, scores in _scores(subject, spec, network).items():
        check_close(scores, expected[stage], f"{stage} is another one {problem}")


def _observe(network: Any, histories: HistoryBatch, items: ItemTable, data: str) -> None:
    """Lets a network observe; raises `ConformanceError` where it changes what it is shown."""
    shown = {**columns_of(histories), **_columns_of(items)}
    before = deepcopy(shown)
    network.observe(histories, items)
    for name, column in shown.items():
        if not np.array_equal(before[name], column, equal_nan=column.dtype.kind == "f"):
            raise ConformanceError(
                f"observe changes {name} of what it is shown (with {data}), and others read that too: work on a copy, "
                "such as `column + 1` for `column += 1`"
            )


def _columns_of(items: ItemTable) -> dict[str, NDArray[Any]]:
    plain = {"titles": items.titles, "categories": items.categories.codes}
    return {**plain, **items.texts, **items.numbers, **items.vectors}
