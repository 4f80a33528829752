"""Answers batches of queries: history → user vector → retrieval → ranking → rules → the first k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from honeyguide.sdk import Arrays, HistoryBatch, Ranking, Rule
from honeyguide.sdk.errors import ItemNotFound
from honeyguide.server.bundle import LoadedBundle
from honeyguide.server.catalogue import ItemFilter
from honeyguide.server.event_store import EventStore
from honeyguide.server.histories import Histories, UserInput, build_histories
from honeyguide.server.metrics import Metrics
from honeyguide.server.queries import Answer, RankQuery, RecommendQuery, SimilarQuery, Source
from honeyguide.server.retrieval import Found, Limits, Retriever, popular

__all__ = ["Pipeline", "PipelineOptions"]

Rows = NDArray[np.int32]
Scores = NDArray[np.float32]

_CANDIDATES_FOR_RULES = 100
"""Candidates that rules choose from where the pipeline does not rank and does not say."""


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Says how a pipeline answers."""

    name: str
    model: str
    """The model that retrieves, and ranks if it has a ranker."""
    rank: bool | None = None
    """None: where the bundle has a ranker."""
    candidates: int = 0
    """How many to rank; 0: as many as the ranker was fitted on."""
    drop_seen: bool | None = None
    """None: where the data's items do not repeat."""
    rules: tuple[Rule, ...] = ()


class Pipeline:
    """Computes whole batches, synchronously, from any thread; a user's answer does not depend on the batch-mates."""

    def __init__(
        self,
        options: PipelineOptions,
        bundle: Callable[[], LoadedBundle],
        store: EventStore | None,
        metrics: Metrics,
        max_batch_rows: int = 64,
    ) -> None:
        """Takes what it needs.

        Args:
            options: how it answers.
            bundle: returns the bundle that serves now; called once for each batch, which is answered by that one alone.
            store: the stored events; None: inline histories alone.
            metrics: where the stages are measured.
            max_batch_rows: users computed at once.
        """
        self.options = options
        self._bundle, self._store, self._metrics, self._step = bundle, store, metrics, max_batch_rows
        self._log = structlog.get_logger("honeyguide.pipeline").bind(pipeline=options.name)

    def recommend(self, queries: Sequence[RecommendQuery]) -> list[Answer]:
        """Answers each query."""
        bundle = self._bundle()
        steps = range(0, len(queries), self._step)
        return [answer for i in steps for answer in self._recommend(bundle, queries[i : i + self._step])]

    def rank(self, queries: Sequence[RankQuery]) -> list[Answer]:
        """Scores each query's candidates, best first."""
        bundle = self._bundle()
        return [
            answer
            for i in range(0, len(queries), self._step)
            for answer in self._rank(bundle, queries[i : i + self._step])
        ]

    def similar(self, queries: Sequence[SimilarQuery]) -> list[Answer | ItemNotFound]:
        """Answers each query by the cosine of item vectors; `ItemNotFound` stands for one whose item is unknown."""
        bundle = self._bundle()
        catalogue, items = bundle.catalogue, len(bundle.catalogue)
        rows = catalogue.rows([q.item_id for q in queries])
        known = np.flatnonzero(rows >= 0)
        own = known * np.int64(items) + rows[known]  # an item is not its own neighbour
        limits = _limits(bundle, [q.filter for q in queries], own).take(known)
        with self._metrics.stage("similar"):
            vectors = bundle.item_vectors[rows[known]] * bundle.inverse_norms[rows[known], None]
            count = max(q.k for q in queries)
            found = _retriever(bundle).search_exactly(vectors, limits, count, bundle.inverse_norms)
        answers: list[Answer | ItemNotFound] = [
            ItemNotFound(f"no item {q.item_id!r} in model {bundle.key[0]!r}, version {bundle.key[1]}") for q in queries
        ]
        sources = np.full(found.rows.shape, Source.RETRIEVED)
        ks = [queries[i].k for i in known.tolist()]
        for place, answer in zip(known.tolist(), _answers(bundle, found, sources, ks, np.zeros(len(ks))), strict=True):
            answers[place] = answer
        return answers

    def ranks(self, bundle: LoadedBundle) -> bool:
        """Whether this pipeline ranks with that bundle."""
        return bundle.manifest.ranks if self.options.rank is None else self.options.rank and bundle.manifest.ranks

    def drops_seen(self, bundle: LoadedBundle) -> bool:
        """Whether items of the history are dropped unless a request says otherwise."""
        return not bundle.manifest.data.repeats if self.options.drop_seen is None else self.options.drop_seen

    def _recommend(self, bundle: LoadedBundle, queries: Sequence[RecommendQuery]) -> list[Answer]:
        histories = self._histories(bundle, [q.user for q in queries])
        ks = np.array([q.k for q in queries])
        default = self.drops_seen(bundle)
        drop = np.array([default if q.drop_seen is None else q.drop_seen for q in queries])
        owner = np.repeat(np.arange(len(queries)), histories.batch.lengths)
        dropped = drop[owner]
        seen = owner[dropped] * np.int64(len(bundle.catalogue)) + histories.batch.items[dropped]
        limits = _limits(bundle, [q.filter for q in queries], seen)

        candidates = self._candidates(bundle)
        depths = np.maximum(ks, candidates)  # how many each user's rules may choose from
        known = np.flatnonzero(histories.batch.lengths)
        found = Found.none(len(queries), int(depths.max()))
        reasons: list[str] = []
        if known.size:
            with self._metrics.stage("encode"):
                arrays, vectors = bundle.encode(histories.batch.take(known))
            with self._metrics.stage("retrieve"):
                theirs = _retriever(bundle).search(vectors, limits.take(known), found.rows.shape[1])
            # What a batch-mate's larger k brought along is not this user's.
            beyond = np.arange(theirs.rows.shape[1]) >= depths[known, None]
            theirs.rows[beyond], theirs.scores[beyond] = -1, -np.inf
            if self.ranks(bundle) and candidates:
                self._rerank(bundle, arrays, theirs, candidates, reasons)
            found.rows[known], found.scores[known] = theirs.rows, theirs.scores
        considered = found.rows
        for rule in self.options.rules:
            found = self._apply(rule, bundle, histories.batch, found, ks, reasons)
        found, sources = _fill(bundle, found, considered, limits, ks)
        for reason in reasons:
            self._metrics.degraded.labels(reason).inc(len(queries))
        return _answers(bundle, found, sources, ks.tolist(), histories.unknown, tuple(reasons))

    def _rank(self, bundle: LoadedBundle, queries: Sequence[RankQuery]) -> list[Answer]:
        histories = self._histories(bundle, [q.user for q in queries])
        catalogue = bundle.catalogue
        asked = [catalogue.rows(q.item_ids) for q in queries]
        rows = np.full((len(queries), max(map(len, asked))), -1, np.int32)
        for line, own in zip(rows, asked, strict=True):
            line[: (own >= 0).sum()] = own[own >= 0]
        scores = np.where(rows >= 0, catalogue.popularity[rows], -np.inf).astype(np.float32)
        reasons: list[str] = []
        known = np.flatnonzero(histories.batch.lengths)
        if known.size:
            arrays, vectors = bundle.encode(histories.batch.take(known))
            inner = np.einsum("ud,und->un", vectors, bundle.item_vectors[rows[known]])
            theirs = Found(rows[known], np.where(rows[known] >= 0, inner, -np.inf).astype(np.float32))
            if self.ranks(bundle):
                self._rerank(bundle, arrays, theirs, rows.shape[1], reasons)
            rows[known], scores[known] = theirs.rows, theirs.scores
        for reason in reasons:
            self._metrics.degraded.labels(reason).inc(len(queries))
        order = np.argsort(-scores, axis=1, kind="stable")
        found = Found(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))
        sources = np.full(rows.shape, Source.CANDIDATE)
        missing = [tuple(np.array(q.item_ids, object)[own < 0]) for q, own in zip(queries, asked, strict=True)]
        return _answers(bundle, found, sources, [rows.shape[1]] * len(rows), histories.unknown, tuple(reasons), missing)

    def _histories(self, bundle: LoadedBundle, users: Sequence[UserInput]) -> Histories:
        with self._metrics.stage("history"):
            return build_histories(users, self._store, bundle.numbers, bundle.catalogue, bundle.manifest.data)

    def _candidates(self, bundle: LoadedBundle) -> int:
        given = self.options.candidates or (bundle.manifest.candidates if self.ranks(bundle) else 0)
        wanted = given or (_CANDIDATES_FOR_RULES if self.options.rules else 0)
        return min(wanted, len(bundle.catalogue))

    def _rerank(self, bundle: LoadedBundle, arrays: Arrays, found: Found, candidates: int, reasons: list[str]) -> None:
        """Puts the first ``candidates`` of each user in the ranker's order; the others keep theirs, behind."""
        rows, before = found.rows[:, :candidates].copy(), found.scores[:, :candidates].copy()
        present = rows >= 0
        try:
            with self._metrics.stage("rank"):
                scores = bundle.rank(arrays, rows, np.where(present, before, np.float32(0)))
            _check_scores(scores, present)
        except Exception:  # boundary: the ranker is a plugin's graph; without it the answer is only less good
            self._log.exception("ranker failed", model=bundle.key[0], version=bundle.key[1])
            reasons.append("RANK_FAILED")
            return
        scores = np.where(present, scores, -np.inf).astype(np.float32)
        order = np.argsort(-scores, axis=1, kind="stable")
        found.rows[:, :candidates] = np.take_along_axis(rows, order, 1)
        found.scores[:, :candidates] = np.take_along_axis(scores, order, 1)
        if found.rows.shape[1] > candidates:
            # Shifted so that the retrieval's scores go on where the ranker's end: one answer, one scale.
            tail = found.scores[:, candidates:]
            full = present.all(1)
            shift = np.where(present, scores, np.inf).min(1)[full] - before[full, -1]
            tail[full] += shift[:, None]

    def _apply(
        self,
        rule: Rule,
        bundle: LoadedBundle,
        histories: HistoryBatch,
        found: Found,
        ks: NDArray[np.int_],
        reasons: list[str],
    ) -> Found:
        """Returns the ranking as the rule leaves it: every item keeps its own score."""
        rows, scores = np.full_like(found.rows, -1), np.full_like(found.scores, -np.inf)
        try:
            with self._metrics.stage("rules"):
                for k in np.unique(ks):
                    mine = np.flatnonzero(ks == k)
                    ranking = Ranking(
                        rows=found.rows[mine],
                        scores=found.scores[mine],
                        item_vectors=bundle.item_vectors,
                        history=histories.take(mine),
                        categories=bundle.catalogue.categories,
                    )
                    places = _checked(rule.apply(ranking, int(k)), ranking.rows)
                    width = places.shape[1]
                    rows[mine, :width] = np.where(places >= 0, np.take_along_axis(ranking.rows, places, 1), -1)
                    kept = np.where(places >= 0, np.take_along_axis(ranking.scores, places, 1), -np.inf)
                    scores[mine, :width] = kept
        except Exception:  # boundary: a plugin's rule; without it the answer is only less good
            self._log.exception("rule failed", rule=rule.name)
            reasons.append("RULE_FAILED")
            return found
        return Found(rows, scores)


def _retriever(bundle: LoadedBundle) -> Retriever:
    return Retriever(bundle.index, bundle.item_vectors, exact=bundle.exact)


def _limits(bundle: LoadedBundle, filters: Sequence[ItemFilter | None], forbidden: NDArray[np.int64]) -> Limits:
    """Adds the filters to what is forbidden; a filter that many users share is worked out once."""
    catalogue, items = bundle.catalogue, len(bundle.catalogue)
    masks: list[NDArray[np.bool_]] = []
    mask_of = np.full(len(filters), -1, np.intp)
    keys = [forbidden]
    owners: dict[int, list[int]] = {}
    for user, wanted in enumerate(filters):
        owners.setdefault(id(wanted), []).append(user)
    for users in owners.values():
        if (wanted := filters[users[0]]) is None:
            continue
        keys.append(np.add.outer(np.array(users) * np.int64(items), catalogue.excluded(wanted)).ravel())
        if (mask := catalogue.allowed(wanted)) is not None:
            mask_of[users] = len(masks)
            masks.append(mask)
    return Limits(len(filters), items, np.concatenate(keys), tuple(masks), mask_of)


def _fill(
    bundle: LoadedBundle, found: Found, considered: Rows, limits: Limits, ks: NDArray[np.int_]
) -> tuple[Found, NDArray[np.int_]]:
    """Closes each user's items up and fills what is missing to k with popular ones; returns the sources, too.

    What a rule dropped does not come back as a popular item.
    """
    order = np.argsort(found.rows < 0, axis=1, kind="stable")[:, : int(ks.max())]
    rows, scores = np.take_along_axis(found.rows, order, 1), np.take_along_axis(found.scores, order, 1)
    beyond = np.arange(rows.shape[1]) >= ks[:, None]
    rows[beyond], scores[beyond] = -1, -np.inf
    sources = np.where(rows >= 0, Source.RETRIEVED, Source.POPULAR)
    have = (rows >= 0).sum(1)
    short = np.flatnonzero(have < ks)
    if short.size:
        extra = popular(
            bundle.catalogue.popular_order, limits.take(short).without(considered[short]), ks[short] - have[short]
        )  # (short, most missing)
        user, place = np.nonzero(extra >= 0)
        to = (short[user], have[short[user]] + place)
        # Below the user's last retrieved item, or below 1: popularity is a share of 0–1.
        lowest = np.where(rows[short] >= 0, scores[short], np.inf).min(1, initial=np.inf)
        base = np.where(np.isinf(lowest), 1.0, lowest) - 1.0
        rows[to] = extra[user, place]
        scores[to] = base[user] + bundle.catalogue.popularity[extra[user, place]]
    return Found(rows, scores), sources


def _check_scores(scores: Scores, present: NDArray[np.bool_]) -> None:
    if scores.shape != present.shape or not np.isfinite(scores[present]).all():
        raise ValueError("the ranker's scores are not finite or of another shape")


def _checked(places: NDArray[np.intp], rows: Rows) -> NDArray[np.intp]:
    """Returns a rule's places, the first n of them; raises where they break the contract."""
    places = np.asarray(places)
    batch, width = rows.shape
    if places.ndim != 2 or len(places) != batch or places.dtype.kind != "i":
        raise ValueError(f"a rule answered {places.dtype} {places.shape} for {batch} users")
    if places.size and (places.min() < -1 or places.max() >= width):
        raise ValueError(f"a rule answered places outside of -1 to {width - 1}")
    ordered = np.sort(places, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise ValueError("a rule answered a place twice")
    order = np.argsort(places < 0, axis=1, kind="stable")[:, :width]
    return np.take_along_axis(places, order, 1)


def _answers(
    bundle: LoadedBundle,
    found: Found,
    sources: NDArray[np.int_],
    ks: Sequence[int],
    unknown: NDArray[np.generic],
    reasons: tuple[str, ...] = (),
    missing: Sequence[tuple[str, ...]] | None = None,
) -> list[Answer]:
    """Cuts (users, n) arrays into one answer for each user."""
    lengths = np.minimum((found.rows >= 0).sum(1), ks)
    answers = []
    for i, length in enumerate(lengths.tolist()):
        rows = found.rows[i, :length]
        answers.append(
            Answer(
                models=(bundle.key,),
                item_ids=bundle.catalogue.item_ids(rows),
                scores=found.scores[i, :length].tolist(),
                sources=sources[i, :length].tolist(),
                titles=bundle.catalogue.titles(rows),
                unknown_history_items=int(unknown[i]),
                unknown_item_ids=missing[i] if missing is not None else (),
                reasons=reasons,
            )
        )
    return answers
