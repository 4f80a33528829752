"""Checks what a network computes, in torch: the same answer for the same history, whatever stands around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.conformance.data import PLAIN, SPECS
from honeyguide.conformance.subject import Subject
from honeyguide.sdk import DataSpec, HistoryBatch
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ConformanceError
from honeyguide.sdk.examples import example_histories

__all__ = [
    "batch_equals_singles",
    "check_close",
    "every_candidate",
    "in_numpy",
    "no_position_sees_the_future",
    "only_the_newest_events_count",
    "padding_changes_nothing",
    "padding_is_never_returned",
    "scores_are_finite",
    "stages_of",
    "user_is_the_last_position",
    "what_is_masked_stays_masked",
]

RTOL, ATOL = 1e-4, 1e-5
Floats = NDArray[np.float32]
_RANKS_ONLY = "it ranks what others retrieve"
_SCORES = "its network scores the whole catalogue"
_SEVENTEEN = 17
_LOUD_WORDS = "50 times as large"
_LOUD_TOLERANCE = 0.01  # of the largest number: float32 itself is that far off where scores are thousands


def scores_are_finite(subject: Subject) -> str:
    """Scores are finite numbers, for histories of one event, of a few, and longer than the model reads."""
    for data, spec in SPECS.items():
        for events in (1, 2, subject.longest, 3 * subject.longest):
            for stage, score in stages_of(subject, spec, subject.network(spec)).items():
                if not np.isfinite(score(example_histories(spec, [events] * 3))).all():
                    raise ConformanceError(
                        f"{stage} gives scores that are not finite for a history of {_events(events)} (with {data}); "
                        "look for a division by the length less one, a standard deviation of one event, "
                        "or a softmax over nothing"
                    )
    return ""


def batch_equals_singles(subject: Subject) -> str:
    """A user gets the same scores alone and among sixteen others with histories of the same length."""
    for data, spec in SPECS.items():
        batch = example_histories(spec, [min(5, subject.longest)] * _SEVENTEEN)
        for stage, score in stages_of(subject, spec, subject.network(spec)).items():
            together = score(batch)
            alone = np.concatenate([score(batch.take(np.array([user]))) for user in range(_SEVENTEEN)])
            check_close(
                together,
                alone,
                f"{stage} depends on a user's batch-mates (with {data}): alone it is another one; "
                "compute nothing over the batch axis, such as a mean, or BatchNorm without running statistics",
            )
    return ""


def padding_changes_nothing(subject: Subject) -> str:
    """A user gets the same scores alone and beside one with a longer history, which pads the shorter one."""
    for data, spec in SPECS.items():
        for events in sorted({1, max(subject.longest - 1, 1)}):
            batch = example_histories(spec, [events, subject.longest])
            for stage, score in stages_of(subject, spec, subject.network(spec)).items():
                check_close(
                    score(batch)[:1],
                    score(batch.take(np.array([0]))),
                    f"{stage} of a history of {_events(events)} changes when padding is added on its left "
                    f"(with {data}); mask what belongs to token 0, and count positions from the end",
                )
    return ""


def only_the_newest_events_count(subject: Subject) -> str:
    """A history longer than `max_length` gets the scores of its newest events, as training and serving see them."""
    for data, spec in SPECS.items():
        batch = example_histories(spec, [3 * subject.longest, subject.longest + 1])
        for stage, score in stages_of(subject, spec, subject.network(spec)).items():
            check_close(
                score(batch),
                score(batch.newest(subject.longest)),
                f"{stage} of a history longer than max_length {subject.longest} is not that of its newest events "
                f"(with {data}), which are all a server passes on; let encode read `batch.newest(self.max_length)`",
            )
    return ""


def padding_is_never_returned(subject: Subject) -> str:
    """Vectors or scores stand for users and for catalogue rows alone, so that no search can find padding."""
    if not subject.cls.retrieves:
        return _RANKS_ONLY
    for spec in SPECS.values():
        network = subject.network(spec)
        if capabilities_of(network).scores:
            scores = in_numpy(network.scores, subject.encode(spec, example_histories(spec, [1, 3])))
            if scores.shape != (2, spec.items):
                more = ": leave out column 0, which is PAD" if scores.shape == (2, spec.items + 1) else ""
                raise ConformanceError(
                    f"scores() returns shape {scores.shape} for 2 users and a catalogue of {spec.items} items; it must "
                    f"be (2, {spec.items}), column i for catalogue row i{more}"
                )
            continue
        users = in_numpy(network.user, subject.encode(spec, example_histories(spec, [1, 3])))
        items = in_numpy(network.items)
        if items.ndim != 2 or len(items) != spec.items:
            more = ": leave out row 0, which is PAD, as in `weight[1:]`" if len(items) == spec.items + 1 else ""
            raise ConformanceError(
                f"items() returns shape {items.shape} for a catalogue of {spec.items} items; it must be "
                f"({spec.items}, d), row i for catalogue row i{more}"
            )
        if users.shape != (2, items.shape[1]):
            raise ConformanceError(
                f"user() returns shape {users.shape} for 2 users; it must be (2, {items.shape[1]}), "
                "as wide as the vectors of items()"
            )
    return ""


def user_is_the_last_position(subject: Subject) -> str:
    """`user` gives what `positions` gives for the newest event, so that what is trained is what serves."""
    if reason := _without_vectors(subject):
        return reason
    for data, spec in SPECS.items():
        batch = subject.encode(spec, example_histories(spec, [1, 4, subject.longest]))
        network = subject.network(spec)
        check_close(
            in_numpy(network.user, batch),
            in_numpy(network.positions, batch)[:, -1],
            f"user is not the last of positions (with {data}); "
            "the loss trains positions and the server asks user: let both compute the same",
        )
    return ""


def no_position_sees_the_future(subject: Subject) -> str:
    """What `positions` gives for an event depends on no later event: that would be the target of the training."""
    if reason := _without_vectors(subject):
        return reason
    for data, spec in SPECS.items():
        history = example_histories(spec, [min(6, subject.longest)])
        network = subject.network(spec)
        positions = in_numpy(network.positions, subject.encode(spec, history))[0]
        for length in range(1, len(history.items)):
            known = history.cut(np.array([0]), np.array([length]))
            known = replace(known, request_times_ms=_moment_after(history, length))
            check_close(
                positions[length - 1],
                in_numpy(network.positions, subject.encode(spec, known))[0, -1],
                f"the position of event {length} changes with the events after it (with {data}): in training it sees "
                "its own target; mask attention causally, and pad convolutions on the left alone",
            )
    return ""


def what_is_masked_stays_masked(subject: Subject) -> str:
    """Padding and what is still to come stay out of user vectors, however large the scores that training leads to."""
    if reason := _without_vectors(subject):
        return reason
    for data, spec in SPECS.items():
        network = subject.loud(spec)
        batch = example_histories(spec, [min(4, subject.longest), subject.longest])
        alone = subject.encode(spec, short := batch.take(np.array([0])))
        users = in_numpy(network.user, alone)
        if not np.isfinite(users).all():
            return f"it gives no finite user vectors where its matrices are {_LOUD_WORDS}"
        padded = in_numpy(network.user, subject.encode(spec, batch))[:1]
        _check_like(padded, users, f"when padding is added on its left (with {data})")
        first = short.cut(np.array([0]), np.array([1]))
        first = replace(first, request_times_ms=_moment_after(short, 1))
        early = in_numpy(network.positions, alone)[:, 0]
        _check_like(
            early, in_numpy(network.positions, subject.encode(spec, first))[:, 0], f"with what comes next (with {data})"
        )
    return ""


def _moment_after(history: HistoryBatch, length: int) -> NDArray[np.int64] | None:
    """Returns the (1,) moment at which one user's first events are all that is known.

    As in training it is that of the next event of another time, as events of one time have the same target; where there
    is none, it is the request's.
    """
    if (times := history.times_ms) is None:
        return None
    after = int(np.searchsorted(times, times[length - 1], "right"))
    return times[after : after + 1] if after < len(times) else history.request_times_ms


def _check_like(vectors: Floats, expected: Floats, when: str) -> None:
    off = float(np.abs(vectors - expected).max() / max(float(np.abs(expected).max()), 1e-30))
    if off > _LOUD_TOLERANCE:
        raise ConformanceError(
            f"a user vector changes {when} once its matrices are {_LOUD_WORDS}: what is masked must lie below the best "
            "score of its row by a fixed amount, not at a fixed score that others may fall below "
            f"(off by {off:.2g} of the largest number)"
        )


def stages_of(subject: Subject, spec: DataSpec, network: Any) -> dict[str, Callable[[HistoryBatch], Floats]]:
    """Returns by stage what gives (batch, items) scores of all items, for a network of the subject's."""
    stages: dict[str, Callable[[HistoryBatch], Floats]] = {}
    can = capabilities_of(network)
    if subject.cls.retrieves and can.scores:
        stages["scores"] = lambda batch: in_numpy(network.scores, subject.encode(spec, batch))
    elif subject.cls.retrieves:
        stages["user · item"] = lambda batch: (
            in_numpy(network.user, subject.encode(spec, batch)) @ in_numpy(network.items).T
        )
    if can.ranks:
        stages["rank"] = lambda batch: in_numpy(
            network.rank, subject.encode(spec, batch), *every_candidate(subject, spec, len(batch))
        )
    if not stages:
        raise ConformanceError(
            f"model {subject.name!r} says retrieves = False, and its network has no rank: it gives no scores; "
            "write rank, or leave retrieves alone and write user and items"
        )
    return stages


def _without_vectors(subject: Subject) -> str:
    """Returns why the model has no user vectors, "" where it has."""
    if not subject.cls.retrieves:
        return _RANKS_ONLY
    return _SCORES if capabilities_of(subject.network(PLAIN)).scores else ""


def every_candidate(subject: Subject, spec: DataSpec, users: int) -> Any:
    """Returns every item as a candidate, (users, items), with made-up retrieval scores, (users, items, sources)."""
    import torch

    tokens = torch.arange(1, spec.items + 1).repeat(users, 1)
    return tokens, torch.cos(tokens[:, :, None] * torch.arange(1.0, subject.sources + 1))


def in_numpy(method: Any, *arguments: Any) -> Floats:
    """Calls a network's method without gradients."""
    import torch

    with torch.no_grad():
        return method(*arguments).detach().float().numpy()  # type: ignore[no-any-return]  # torch's arrays are untyped


def check_close(scores: Floats, expected: Floats, problem: str) -> None:
    """Raises `ConformanceError` with the problem, and by how much, where scores are not those expected."""
    if scores.shape != expected.shape or not np.allclose(scores, expected, RTOL, ATOL):
        alike = scores.shape == expected.shape
        by = f"{np.abs(scores - expected).max():.3g}" if alike else f"shapes {scores.shape}, {expected.shape}"
        raise ConformanceError(f"{problem} (off by {by})")


def _events(count: int) -> str:
    return "one event" if count == 1 else f"{count} events"
