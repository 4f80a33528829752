"""Checks a model where it is meant to be: exported, loaded by a real server, and asked over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.conformance.data import IDS, ITEMS, MINUTE_MS, RICH, START_MS, walks
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.errors import ConformanceError
from honeyguide.sdk.manifest import NEIGHBOURS, Manifest

if TYPE_CHECKING:
    from honeyguide.client import AsyncClient, History, Recommendations

__all__ = ["served_answers_are_right"]

_K = 5
_FEATURES: dict[str, Any] = {scaler.name: 1.0 for scaler in RICH.features}


def served_answers_are_right(subject: Subject) -> str:
    """Exported, loaded and asked over gRPC, it gives the items that torch gives, k of them, none that are excluded."""
    if not isinstance(subject.bundle, Manifest):
        raise subject.bundle
    with ThreadPoolExecutor(1) as thread:  # the caller may run an event loop of its own
        thread.submit(asyncio.run, _serve(subject, subject.bundle)).result()
    return ""


async def _serve(subject: Subject, manifest: Manifest) -> None:
    from honeyguide.client import AsyncClient
    from honeyguide.server.app import Server
    from honeyguide.server.settings import Settings

    settings = Settings(
        host="127.0.0.1",
        port=0,
        metrics_port=-1,
        default_pipeline=subject.name,
        repository=subject.folder / "models",
        events=str(subject.folder / "events.db"),
        drain_seconds=2.0,
        pipelines={},
    )
    async with (
        Server(settings, subject.host) as server,
        AsyncClient(f"127.0.0.1:{server.port}", timeout=30.0) as client,
    ):
        for model in await client.models():
            if model.problem:
                raise ConformanceError(f"a server does not load the exported bundle: {model.problem}")
        await _ask(client, subject, manifest)


async def _ask(client: AsyncClient, subject: Subject, manifest: Manifest) -> None:
    """Asks what a caller may ask, for the longest of some walks."""
    users = walks(8, 60).histories
    chosen = users.take(np.array([int(users.lengths.argmax())]))
    seen = [IDS[row] for row in chosen.items]
    history, moment = _history(seen), _moment(len(seen))
    plain = await client.recommend(history=history, request_time_ms=moment, k=_K)
    _check_items("an answer", plain, _K, without=seen)
    expected = _expected(subject, chosen)
    own = np.array([expected[IDS.index(item.item_id)] for item in plain])
    if not np.allclose(own, np.sort(expected)[::-1][:_K], rtol=1e-3, atol=1e-3):
        names = [IDS[row] for row in np.argsort(-expected, kind="stable")[:_K]]
        raise ConformanceError(
            f"served, the history {seen} gets {_named(plain)}; in torch it gets {names}: "
            "let encode and the network act alike in training and in serving"
        )
    excluded = _named(plain)[:2]
    answer = await client.recommend(history=history, request_time_ms=moment, k=_K, exclude=excluded)
    _check_items(f"an answer without {excluded}", answer, _K, without=[*seen, *excluded])
    answer = await client.recommend(history=history, request_time_ms=moment, k=ITEMS, drop_seen=False)
    _check_items("an answer of the whole catalogue", answer, ITEMS, without=[])

    strange = _history([*seen[:2], "no such item", *seen[2:]], skipped=2)
    known = await client.recommend(history=strange, request_time_ms=moment, k=_K)
    _check_same("a history with an unknown item in it", known, plain)
    nobody = await client.recommend("nobody", k=_K)
    _check_items("an answer to a user without history", nobody, _K, without=[])
    if {item.source for item in nobody} != {"POPULAR"}:
        raise ConformanceError("a user without history gets other than popular items; encode is never asked for those")

    for place, item in enumerate(seen):  # one event at a time, so that a network that steps does
        await client.record_event("somebody", item, event_type="view", time_ms=_moment(place), **_FEATURES)
        recorded = await client.recommend("somebody", request_time_ms=_moment(place + 1), k=_K)
        inline = await client.recommend(history=_history(seen[: place + 1]), request_time_ms=_moment(place + 1), k=_K)
        _check_same(f"a user whose first {place + 1} events came one by one", recorded, inline)
    if manifest.index is not None or NEIGHBOURS in manifest.files:
        near = await client.similar_items(seen[0], k=_K)
        if not near or seen[0] in {item.item_id for item in near}:
            raise ConformanceError(f"served, the items similar to {seen[0]} are {[item.item_id for item in near]}")
    if manifest.explains:
        explained = await client.recommend(history=history, request_time_ms=moment, k=_K, explain=True)
        because = {because.item_id for item in explained for because in item.because_items}
        if not because or not because <= set(seen):
            raise ConformanceError(f"served, the history {seen} is explained by {sorted(because)}, which are not of it")


def _history(item_ids: Sequence[str], skipped: int | None = None) -> History:
    """Makes a walk's history as a caller sends it; the item at ``skipped`` takes no time."""
    from honeyguide.client import History

    places = np.arange(len(item_ids))
    places -= 0 if skipped is None else (places >= skipped).astype(int)
    ones = [1.0] * len(places)
    return History(
        item_ids,
        times_ms=(START_MS + MINUTE_MS * places).tolist(),
        event_types=["view"] * len(places),
        dwell_seconds=ones,
        clicks=ones,
        quantities=ones,
        values=ones,
    )


def _moment(place: int) -> int:
    """Returns when a walk's event at some place happens, in milliseconds."""
    return START_MS + MINUTE_MS * place


def _check_items(what: str, answer: Recommendations, k: int, without: Sequence[str]) -> None:
    ids = _named(answer)
    problem = ""
    if len(set(ids)) != k:
        problem = f"has {len(set(ids))} different items instead of {k}"
    elif excluded := sorted(set(ids) & set(without)):
        problem = f"holds {excluded}, which were excluded or seen"
    elif not np.isfinite([item.score for item in answer]).all():
        problem = "has scores that are not finite"
    elif answer.degraded:
        problem = f"is degraded ({', '.join(answer.degraded_reasons)}): a part of the pipeline failed"
    if problem:
        raise ConformanceError(f"served, {what} {problem}; the server's log says more")


def _check_same(who: str, answer: Recommendations, expected: Recommendations) -> None:
    """Compares by score, since items of equal scores come in any order."""
    scores, reference = ([item.score for item in items] for items in (answer, expected))
    if not np.allclose(scores, reference, rtol=1e-3, atol=1e-4):
        raise ConformanceError(
            f"served, {who} gets {_named(answer)} instead of {_named(expected)}: "
            "let encode, and step where there is one, depend on nothing but the history"
        )


def _named(answer: Recommendations) -> list[str]:
    return [item.item_id for item in answer]


def _expected(subject: Subject, user: Any) -> NDArray[np.float32]:
    """Returns the (items,) scores in torch after the last stage, -inf for what was seen."""
    from honeyguide.training.scoring.candidates import rerank, retrieve, score_all

    model, network = subject.model(RICH), subject.fitted[0]
    sources = [(model, network)] if subject.cls.retrieves else subject.retrievers
    scores, _ = score_all(*sources[0], user)
    if capabilities_of(network).ranks:
        rows, given = retrieve(sources, user, ITEMS)
        ranked = rerank(network, subject.encode(RICH, user), rows, given)
        scores = np.full_like(scores, -np.inf)
        scores[0, rows[rows >= 0]] = ranked[rows >= 0]
    only: NDArray[np.float32] = scores[0]
    return only
