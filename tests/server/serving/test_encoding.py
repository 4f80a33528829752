"""What is kept of users saves work and changes no vector, whatever becomes of their histories."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk import Arrays, DataSpec, FeatureScaler, HistoryBatch, Model, TensorSpec
from honeyguide.sdk.manifest import STEP_GRAPH, USER_GRAPH, IndexInfo
from honeyguide.server.bundles.bundle import RetrievingBundle
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.loading import depends_on_now
from honeyguide.server.bundles.retrieval import ExactSearch
from honeyguide.server.bundles.user_cache import ReadUser, VectorCache
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.encoding import EncodedUsers

ITEMS, LENGTH = 6, 8
DWELL = FeatureScaler("dwell_seconds", fill=0.0, lower=0.0, upper=9.0, log=False, mean=0.0, std=1.0)
DATA = DataSpec(items=ITEMS, repeats=True, has_time=True, features=(DWELL,))


class Timed(Model):
    """Encodes items, seconds since the event before, and dwell; not the moment of the request."""

    name = "timed"

    @dataclass(frozen=True)
    class Config:
        max_length: int = LENGTH

    def inputs(self) -> tuple[TensorSpec, ...]:
        return (*super().inputs(), TensorSpec("numbers", "float32", ("batch", "length", 2)))

    def encode(self, batch: HistoryBatch) -> Arrays:
        assert batch.times_ms is not None
        assert batch.request_times_ms is not None
        gaps = np.diff(batch.times_ms, prepend=0).astype(np.float32)
        gaps[batch.offsets[:-1]] = 0
        columns = [batch.padded(column, LENGTH) for column in (gaps, batch.features["dwell_seconds"])]
        return {"tokens": batch.tokens(LENGTH), "numbers": np.stack(columns, axis=2)}

    def network(self) -> Any:
        raise NotImplementedError


class Aged(Timed):
    """Encodes how long ago each event was, too."""

    def encode(self, batch: HistoryBatch) -> Arrays:
        assert batch.times_ms is not None
        assert batch.request_times_ms is not None
        ages = np.repeat(batch.request_times_ms, batch.lengths) - batch.times_ms
        return {**super().encode(batch), "ages": batch.padded(ages, LENGTH)}


class Fading:
    """Is user graph and step graph in one: state ← state / 2 + event, so every event and its place count."""

    provider = "CPUExecutionProvider"

    def __init__(self) -> None:
        self.batches: list[tuple[int, int]] = []
        """(users, length) of each run."""

    def run(self, arrays: Arrays, outputs: Sequence[str], limit: object = None) -> list[np.ndarray]:
        tokens, numbers = arrays["tokens"], arrays["numbers"]
        self.batches.append(tokens.shape)
        state = arrays.get("state", np.zeros((len(tokens), 3), np.float32)).astype(np.float32)
        for column in range(tokens.shape[1]):
            event = np.column_stack([tokens[:, column], numbers[:, column]])
            state = np.where(tokens[:, column, None] > 0, state / 2 + event, state).astype(np.float32)
        named = {"user_vector": state[:, :2] + state[:, 2:], "state": state, "next_state": state}
        return [named[output] for output in outputs]


def bundle(*, users: int = 100, steps: bool = True) -> tuple[RetrievingBundle, Fading, Fading]:
    manifest: Any = SimpleNamespace(
        name="timed",
        version=1,
        data=DATA,
        max_length=LENGTH,
        dimension=2,
        user_output="user_vector",
        user_width=2,
        steps=steps,
        index=IndexInfo("flat", 1.0),
    )
    encoder, step = Fading(), Fading()
    graphs: Any = {USER_GRAPH: encoder, STEP_GRAPH: step}
    catalogue = Catalogue([str(row) for row in range(ITEMS)], [""] * ITEMS, np.ones(ITEMS, np.int64), {})
    vectors = np.ones((ITEMS, 2), np.float32)
    model = Timed(Timed.Config(), DATA)
    return (
        RetrievingBundle(manifest, model, catalogue, graphs, vectors, ExactSearch(vectors), VectorCache(users)),
        encoder,
        step,
    )


Event = tuple[int, int, int]
"""Item, time and dwell."""


def histories(*users: Sequence[Event]) -> HistoryBatch:
    events = [event for user in users for event in user]
    return HistoryBatch(
        items=np.array([event[0] for event in events], np.int32),
        offsets=np.cumsum([0, *map(len, users)]),
        times_ms=np.array([event[1] for event in events], np.int64),
        features={"dwell_seconds": np.array([event[2] for event in events], np.float32)},
        request_times_ms=np.full(len(users), 10**6),
    )


def vectors(
    of: RetrievingBundle, users: dict[str, Sequence[Event]], metrics: Metrics | None = None
) -> dict[str, np.ndarray]:
    result = EncodedUsers(list(users), histories(*users.values()), metrics or Metrics()).vectors(of)
    return dict(zip(users, result, strict=True))


EVENTS = st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 3), st.integers(0, 2))
CHANGES = st.one_of(
    st.tuples(st.just("append"), st.lists(EVENTS, min_size=1, max_size=7)),
    st.tuples(st.just("drop first"), st.just([])),
    st.tuples(st.just("drop last"), st.just([])),
    st.tuples(st.just("reverse"), st.just([])),
    st.tuples(st.just("delete"), st.lists(EVENTS, min_size=1, max_size=3)),
    st.tuples(st.just("insert first"), st.lists(EVENTS, min_size=1, max_size=1)),
    st.tuples(st.just("nothing"), st.just([])),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), CHANGES, st.sets(st.sampled_from("abc"))), max_size=12),
    st.booleans(),
    st.sampled_from([1, 2, 100]),
)
def test_what_is_kept_changes_no_vector(
    story: list[tuple[str, tuple[str, list[Event]], set[str]]], steps: bool, room: int
) -> None:
    cached, *_ = bundle(users=room, steps=steps)
    fresh, *_ = bundle(users=0)
    known: dict[str, list[Event]] = {"a": [(1, 0, 0)], "b": [(1, 0, 0)], "c": [(2, 1, 1)]}
    for who, (what, events), asked in story:
        has = known[who]
        known[who] = {
            "append": [*has, *events],
            "drop first": has[1:] or has,
            "drop last": has[:-1] or has,
            "reverse": has[::-1],
            "delete": events,
            "insert first": [*events, *has],
            "nothing": has,
        }[what]
        if asked:
            users = {name: known[name] for name in sorted(asked)}
            expected, result = vectors(fresh, users), vectors(cached, users)
            for name in users:
                np.testing.assert_allclose(result[name], expected[name], rtol=1e-5, atol=1e-5)


def test_new_events_are_stepped_together_and_nothing_else_runs() -> None:
    cached, encoder, step = bundle()
    metrics = Metrics()
    a, b, c = [(1, 0, 0), (2, 5, 1)], [(3, 0, 0)], [(4, 0, 0)]
    vectors(cached, {"a": a, "b": b, "c": c}, metrics)
    assert (encoder.batches, step.batches) == ([(3, 2)], [])
    vectors(cached, {"a": [*a, (3, 9, 2)], "b": [*b, (1, 1, 0), (2, 2, 0)], "c": c, "d": [(5, 0, 0)]}, metrics)
    assert encoder.batches == [(3, 2), (1, 1)]  # d alone
    assert step.batches == [(2, 1), (1, 1)]  # a and b, then b
    count = metrics.registry.get_sample_value
    labels = {"model": "timed"}
    assert count("honeyguide_users_total", labels | {"outcome": "encoded"}) == 4
    assert count("honeyguide_users_total", labels | {"outcome": "stepped"}) == 2
    assert count("honeyguide_users_total", labels | {"outcome": "reused"}) == 1


def test_a_window_that_moved_and_many_new_events_are_encoded_whole() -> None:
    cached, encoder, step = bundle()
    events = [(1, n, 0) for n in range(LENGTH + 2)]
    for count in (1, 6, LENGTH + 1, LENGTH + 2):
        vectors(cached, {"a": events[:count]})
    assert encoder.batches == [(1, 1), (1, 6), (1, LENGTH), (1, LENGTH)]
    assert step.batches == []


def test_a_user_without_a_name_is_not_kept() -> None:
    cached, *_ = bundle()
    EncodedUsers([None, "a"], histories([(1, 0, 0)], [(2, 0, 0)]), Metrics()).vectors(cached)
    assert len(cached.cache) == 1


def test_a_bundle_without_steps_reuses_and_never_steps() -> None:
    cached, encoder, step = bundle(steps=False)
    for history in ([(1, 0, 0)], [(1, 0, 0)], [(1, 0, 0), (2, 1, 0)]):
        vectors(cached, {"a": history})
    assert (encoder.batches, step.batches) == ([(1, 1), (1, 2)], [])


def test_what_is_computed_is_computed_once() -> None:
    cached, encoder, _ = bundle(users=0)
    users = EncodedUsers(["a"], histories([(1, 0, 0)]), Metrics())
    assert users.vectors(cached) is users.vectors(cached)
    assert users.arrays(cached) is users.arrays(cached)
    assert len(encoder.batches) == 1


class Ageing(Fading):
    """Reads how long ago the events were, too."""

    def run(self, arrays: Arrays, outputs: Sequence[str], limit: object = None) -> list[np.ndarray]:
        return [found + arrays["ages"][:, -1:] for found in super().run(arrays, outputs, limit)]


class Brief(Fading):
    """Reads whether the newest event was in these two seconds, as where training met no longer times."""

    def run(self, arrays: Arrays, outputs: Sequence[str], limit: object = None) -> list[np.ndarray]:
        return [found + (arrays["ages"][:, -1:] < 2_000) for found in super().run(arrays, outputs, limit)]


class Lasting(Fading):
    """Reads whether the newest event was five years ago."""

    def run(self, arrays: Arrays, outputs: Sequence[str], limit: object = None) -> list[np.ndarray]:
        return [found + (arrays["ages"][:, -1:] > 157_680_000_000) for found in super().run(arrays, outputs, limit)]


@pytest.mark.parametrize(
    ("model", "graph", "depends"),
    [
        (Timed, Fading, False),
        (Aged, Ageing, True),
        (Aged, Brief, True),
        (Aged, Lasting, True),
        (Aged, Fading, False),  # the ranker alone reads ages
    ],
)
@pytest.mark.parametrize("steps", [True, False])
def test_a_vector_that_depends_on_the_moment_is_found_out(
    model: type[Model], graph: type[Fading], depends: bool, steps: bool
) -> None:
    user_graph: Any = graph()
    assert depends_on_now(model(model.Config(), DATA), DATA, user_graph, steps=steps) is depends


def test_without_times_nothing_depends_on_the_moment() -> None:
    plain = dataclasses.replace(DATA, has_time=False, features=())

    class Plain(Timed):
        def encode(self, batch: HistoryBatch) -> Arrays:
            assert batch.request_times_ms is None
            return {"tokens": batch.tokens(LENGTH)}

    user_graph: Any = None  # which nobody asks
    assert not depends_on_now(Plain(Plain.Config(), plain), plain, user_graph, steps=False)


def test_the_longest_unasked_user_makes_room_and_the_deleted_one_goes() -> None:
    cache = VectorCache(2)
    cached = ReadUser(b"x", 1, np.ones(1, np.float32), np.ones(1, np.float32))
    cache.put("a", cached)
    cache.put("b", cached)
    assert cache.get(["a", None]) == [cached, None]
    cache.put("c", cached)
    assert cache.get(["a", "b", "c"]) == [cached, None, cached]
    cache.forget("a")
    cache.forget("nobody")
    assert len(cache) == 1
    assert not VectorCache(0).on
