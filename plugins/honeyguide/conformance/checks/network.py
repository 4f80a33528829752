"""Checks what a network computes, in torch: the same answer for the same history, whatever stands around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    "candidates_stand_alone",
    "check_close",
    "every_candidate",
    "explanations_are_shares",
    "no_position_sees_the_future",
    "only_the_newest_events_count",
    "padding_changes_nothing",
    "padding_is_never_returned",
    "scores_are_finite",
    "stages_of",
    "stepping_equals_encoding_again",
    "user_is_the_last_position",
]

RTOL, ATOL = 1e-4, 1e-5
Floats = NDArray[np.float32]
_RANKS_ONLY = "it ranks what others retrieve"
_SEVENTEEN = 17


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
    """Vectors stand for users and for catalogue rows alone, so that no search can find padding."""
    if not subject.cls.retrieves:
        return _RANKS_ONLY
    for spec in SPECS.values():
        network = subject.network(spec)
        users = _numpy(network.user, subject.encode(spec, example_histories(spec, [1, 3])))
        items = _numpy(network.items)
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
    if not subject.cls.retrieves:
        return _RANKS_ONLY
    for data, spec in SPECS.items():
        batch = subject.encode(spec, example_histories(spec, [1, 4, subject.longest]))
        network = subject.network(spec)
        check_close(
            _numpy(network.user, batch),
            _numpy(network.positions, batch)[:, -1],
            f"user is not the last of positions (with {data}); "
            "the loss trains positions and the server asks user: let both compute the same",
        )
    return ""


def no_position_sees_the_future(subject: Subject) -> str:
    """What `positions` gives for an event depends on no later event: that would be the target of the training."""
    if not subject.cls.retrieves:
        return _RANKS_ONLY
    for data, spec in SPECS.items():
        history = example_histories(spec, [min(6, subject.longest)])
        network = subject.network(spec)
        positions = _numpy(network.positions, subject.encode(spec, history))[0]
        for length in range(1, len(history.items)):
            known = history.cut(np.array([0]), np.array([length]))
            if history.times_ms is not None:  # as in training, the moment of the request is the next event's time
                known = replace(known, request_times_ms=history.times_ms[length : length + 1])
            check_close(
                positions[length - 1],
                _numpy(network.positions, subject.encode(spec, known))[0, -1],
                f"the position of event {length} changes with the events after it (with {data}): in training it sees "
                "its own target; mask attention causally, and pad convolutions on the left alone",
            )
    return ""


def candidates_stand_alone(subject: Subject) -> str:
    """A ranker scores a candidate alike in any place of the list, and whatever padding stands in the list."""
    if not capabilities_of(subject.network(PLAIN)).ranks:
        return "its network has no rank"
    for data, spec in SPECS.items():
        network, batch = subject.network(spec), subject.encode(spec, example_histories(spec, [1, 4, subject.longest]))
        tokens, scores = every_candidate(subject, spec, 3)
        plain = _numpy(network.rank, batch, tokens, scores)
        turned = _numpy(network.rank, batch, tokens.flip(1), scores.flip(1))[:, ::-1]
        check_close(
            plain,
            turned,
            f"rank scores a candidate by its place in the list (with {data}), but the list comes in any order; "
            "take the place from retrieval_scores",
        )
        pad = tokens[:, :1] * 0
        padded = _numpy(network.rank, batch, _beside(tokens, pad), _beside(scores, scores[:, :1] * 0))[:, :-1]
        check_close(
            plain,
            padded,
            f"rank scores candidates otherwise when the list ends in padding (with {data}); "
            "leave candidates of token 0 out of whatever is computed over the list",
        )
    return ""


def stepping_equals_encoding_again(subject: Subject) -> str:
    """A state that goes on event by event gives the user vector of the whole history, to 1e-4."""
    from honeyguide.exporters.forward import torch_user
    from honeyguide.exporters.stepping import prove_steps

    if not capabilities_of(subject.network(PLAIN)).steps:
        return "its network does not step"
    for spec in SPECS.values():
        network = subject.network(spec)
        users = example_histories(spec, [1 + i % subject.longest for i in range(_SEVENTEEN)])
        prove_steps(subject.model(spec), torch_user(network), _stepper(network), users)
    return ""


def explanations_are_shares(subject: Subject) -> str:
    """`explain` gives each event of the history its share of a candidate: 0 or more, 1 together, 0 at padding."""
    if not capabilities_of(subject.network(PLAIN)).explains:
        return "its network does not explain"
    for data, spec in SPECS.items():
        lengths = [1, 3, subject.longest]
        network, batch = subject.network(spec), subject.encode(spec, example_histories(spec, lengths))
        tokens, _ = every_candidate(subject, spec, 3)
        shares = _numpy(network.explain, batch, tokens)
        expected = (3, spec.items, subject.longest)
        if shares.shape != expected:
            raise ConformanceError(f"explain returns shape {shares.shape}; users, candidates, events are {expected}")
        padding = np.arange(subject.longest) < subject.longest - np.array(lengths)[:, None, None]
        padding = np.broadcast_to(padding, expected)
        if not (shares >= 0).all() or (shares[padding] > ATOL).any() or not np.allclose(shares.sum(2), 1, atol=1e-4):
            raise ConformanceError(
                f"the shares of explain are {shares.min():.3g} to {shares.max():.3g}, their sums "
                f"{shares.sum(2).min():.3g} to {shares.sum(2).max():.3g}, and at padding they are up to "
                f"{shares[padding].max(initial=0):.3g} (with {data}); "
                "they must be 0 or more, sum to 1 over the events and be 0 at padding: mask, then softmax"
            )
    return ""


def stages_of(subject: Subject, spec: DataSpec, network: Any) -> dict[str, Callable[[HistoryBatch], Floats]]:
    """Returns by stage what gives (batch, items) scores of all items, for a network of the subject's."""
    stages: dict[str, Callable[[HistoryBatch], Floats]] = {}
    if subject.cls.retrieves:
        stages["user · item"] = lambda batch: (
            _numpy(network.user, subject.encode(spec, batch)) @ _numpy(network.items).T
        )
    if capabilities_of(network).ranks:
        stages["rank"] = lambda batch: _numpy(
            network.rank, subject.encode(spec, batch), *every_candidate(subject, spec, len(batch))
        )
    if not stages:
        raise ConformanceError(
            f"model {subject.name!r} says retrieves = False, and its network has no rank: it gives no scores; "
            "write rank, or leave retrieves alone and write user and items"
        )
    return stages


def every_candidate(subject: Subject, spec: DataSpec, users: int) -> Any:
    """Returns every item as a candidate, (users, items), with made-up retrieval scores, (users, items, sources)."""
    import torch

    tokens = torch.arange(1, spec.items + 1).repeat(users, 1)
    return tokens, torch.cos(tokens[:, :, None] * torch.arange(1.0, subject.sources + 1))


def _beside(left: Any, right: Any) -> Any:
    import torch

    return torch.cat([left, right], 1)


def _stepper(network: Any) -> Callable[[Mapping[str, Any]], dict[str, Floats]]:
    """Wraps ``network.step`` as the step graph."""
    from honeyguide.exporters.graphs import as_tensors

    def step(inputs: Mapping[str, Any]) -> dict[str, Floats]:
        event = as_tensors(inputs)
        state = network.step(event.pop("state"), event)
        return {"next_state": _numpy(lambda: state), "user_vector": _numpy(network.vector, state)}

    return step


def _numpy(method: Any, *arguments: Any) -> Floats:
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
