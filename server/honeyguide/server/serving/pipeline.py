"""Answers batches of queries: history → user vectors → retrieval → ranking → rules → the first k."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from honeyguide.sdk.errors import ItemNotFound
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.catalogue import Catalogue, ItemFilter
from honeyguide.server.bundles.retrieval import Candidates, Limits
from honeyguide.server.events.store import EventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.answers import fill, make_answers
from honeyguide.server.serving.encoding import EncodedUsers
from honeyguide.server.serving.explanation import explain
from honeyguide.server.serving.histories import Histories, build_histories
from honeyguide.server.serving.plan import PipelineOptions, Plan
from honeyguide.server.serving.queries import Answer, ItemSource, RankQuery, RecommendQuery, SimilarQuery
from honeyguide.server.serving.ranking import rank_candidates, rank_lists, score_by_retrievers, sort_candidates
from honeyguide.server.serving.rules import apply_rule

__all__ = ["ServedPipeline"]

_RANK_FAILED = "RANK_FAILED"
_Query = TypeVar("_Query", RecommendQuery, RankQuery)


class ServedPipeline:
    """Way from queries to answers, for whole batches, synchronous and thread-safe; batch-mates change no answer."""

    def __init__(
        self,
        options: PipelineOptions,
        bundle: Callable[[], LoadedBundle],
        store: EventStore | None,
        metrics: Metrics,
        max_batch_rows: int,
    ) -> None:
        """Takes what it needs.

        Args:
            options: how it answers.
            bundle: returns the bundle that serves now; called once for each batch, which is answered by that one alone;
                raises `NothingServed`.
            store: the stored events; None: inline histories alone.
            metrics: where the stages are measured.
            max_batch_rows: users computed at once; a larger batch is computed in parts.
        """
        self.options, self.max_batch_rows = options, max_batch_rows
        self._bundle, self._store, self._metrics = bundle, store, metrics
        self._log = structlog.get_logger("honeyguide.pipeline").bind(pipeline=options.name)

    def plan(self) -> Plan:
        """Returns what the pipeline does with the bundle that serves now; raises `NothingServed`."""
        return Plan.of(self.options, self._bundle())

    def recommend(self, queries: Sequence[RecommendQuery]) -> list[Answer]:
        """Answers each query; raises `NothingServed`."""
        plan = self.plan()
        return [answer for part in self._parts(queries) for answer in self._recommend(plan, part)]

    def rank(self, queries: Sequence[RankQuery]) -> list[Answer]:
        """Scores each query's candidates, best first; raises `NothingServed`."""
        plan = self.plan()
        return [answer for part in self._parts(queries) for answer in self._rank(plan, part)]

    def similar(self, queries: Sequence[SimilarQuery]) -> list[Answer | ItemNotFound]:
        """Answers each query by the cosine of item vectors; `ItemNotFound` stands for one whose item is unknown."""
        bundle = self.plan().retrievers[0]
        name, version = bundle.key
        catalogue, items = bundle.catalogue, len(bundle.catalogue)
        rows = catalogue.rows([q.item_id for q in queries])
        known = np.flatnonzero(rows >= 0)
        own = known * np.int64(items) + rows[known]  # an item is not its own neighbour
        limits = _limits(catalogue, [q.filter for q in queries], own).take(known)
        ks = [queries[i].k for i in known.tolist()]
        with self._metrics.stage("similar"):
            neighbours = bundle.similar(rows[known], limits, np.array(ks, np.int64))
        sources = np.full(neighbours.rows.shape, ItemSource.RETRIEVED)
        answers: list[Answer | ItemNotFound] = [
            ItemNotFound(f"no item {q.item_id!r} in model {name!r}, version {version}", "item_id", q.item_id)
            for q in queries
        ]
        filters = [queries[i].filter for i in known.tolist()]
        of_known = make_answers(catalogue, (bundle.key,), name, neighbours, sources, ks, filters=filters)
        for place, answer in zip(known.tolist(), of_known, strict=True):
            answers[place] = answer
        return answers

    def _parts(self, queries: Sequence[_Query]) -> Iterator[Sequence[_Query]]:
        return (queries[i : i + self.max_batch_rows] for i in range(0, len(queries), self.max_batch_rows))

    def _recommend(self, plan: Plan, queries: Sequence[RecommendQuery]) -> list[Answer]:
        catalogue = plan.bundle.catalogue
        histories = self._histories(plan, queries)
        lengths = histories.batch.lengths
        ks = np.array([q.k for q in queries])
        drop = np.array([plan.drop_seen if q.drop_seen is None else q.drop_seen for q in queries])
        owner = np.repeat(np.arange(len(queries)), lengths)
        dropped = drop[owner]
        seen = owner[dropped] * np.int64(len(catalogue)) + histories.batch.items[dropped]
        limits = _limits(catalogue, [q.filter for q in queries], seen)

        depths = np.maximum(ks, plan.candidate_count)  # how many each user's rules may choose from
        ranking = Candidates.none(0, 0)
        known = np.flatnonzero(lengths)
        reasons: list[str] = []
        if known.size:
            users = self._users(queries, histories, known)
            permitted = limits if known.size == len(queries) else limits.take(known)
            ranking = self._candidates(plan, users, permitted, depths[known], reasons)
        ranking = ranking.spread(known, len(queries), int(depths.max()))
        considered = ranking.rows
        for rule in plan.options.rules:
            try:
                with self._metrics.stage("rules"):
                    ranking = apply_rule(rule, plan.bundle, histories.batch, ranking, ks)
            except Exception:  # boundary: a plugin's rule; without it the answer is only less good
                self._log.exception("rule failed", rule=rule.name)
                reasons.append("RULE_FAILED")
        ranking, sources = fill(catalogue, ranking, considered, limits, ks)
        filters = [q.filter for q in queries]
        answers = self._answers(plan, histories, ranking, sources, ks.tolist(), reasons, filters)
        if plan.explainer is not None and any(q.explain for q in queries):
            asked = known[[queries[user].explain for user in known.tolist()]]
            rows = np.where(sources[asked] == ItemSource.RETRIEVED, ranking.rows[asked], -1)
            self._explain(plan.explainer, histories, asked, rows, answers)
        return answers

    def _rank(self, plan: Plan, queries: Sequence[RankQuery]) -> list[Answer]:
        catalogue = plan.bundle.catalogue
        histories = self._histories(plan, queries)
        asked = [catalogue.rows(q.item_ids) for q in queries]
        rows = np.full((len(queries), max(map(len, asked))), -1, np.int32)
        for line, own in zip(rows, asked, strict=True):
            line[: (own >= 0).sum()] = own[own >= 0]
        scores = np.where(rows >= 0, catalogue.popularity[rows], -np.inf).astype(np.float32)
        known = np.flatnonzero(histories.batch.lengths)
        reasons: list[str] = []
        if known.size:
            best = self._scored(plan, self._users(queries, histories, known), rows[known], reasons)
            rows[known], scores[known] = best.rows, best.scores
        ranking = sort_candidates(rows, scores)
        sources = np.full(rows.shape, ItemSource.CANDIDATE)
        answers = self._answers(plan, histories, ranking, sources, [rows.shape[1]] * len(rows), reasons)
        unknown = [tuple(np.array(q.item_ids, object)[own < 0]) for q, own in zip(queries, asked, strict=True)]
        return [replace(answer, unknown_item_ids=ids) for answer, ids in zip(answers, unknown, strict=True)]

    def _histories(self, plan: Plan, queries: Sequence[RecommendQuery | RankQuery]) -> Histories:
        bundle, users = plan.bundle, [q.user for q in queries]
        with self._metrics.stage("history"):
            return build_histories(users, self._store, bundle.numbers, bundle.catalogue, bundle.manifest.data)

    def _users(
        self, queries: Sequence[RecommendQuery | RankQuery], histories: Histories, known: NDArray[np.intp]
    ) -> EncodedUsers:
        """Returns the users at the places ``known``, who have a history."""
        ids = [queries[user].user.known_as for user in known.tolist()]
        batch = histories.batch if known.size == len(queries) else histories.batch.take(known)
        return EncodedUsers(ids, batch, self._metrics)

    def _candidates(
        self, plan: Plan, users: EncodedUsers, limits: Limits, depths: NDArray[np.int_], reasons: list[str]
    ) -> Candidates:
        """Retrieves and ranks for users with a history; the first retriever alone decides where ranking fails."""
        first, *others = plan.retrievers
        candidates = self._search(first, users, limits, depths)
        if plan.ranker is None or not plan.candidate_count:
            return candidates
        try:
            counts = np.full(len(depths), plan.candidate_count)
            lists = [candidates, *(self._search(other, users, limits, counts) for other in others)]
            with self._metrics.stage("rank"):
                return rank_lists(plan.ranker, plan, users, lists)
        except Exception:  # boundary: the ranker is a plugin's graph; without it the answer is only less good
            self._rank_failed(plan, reasons)
            return candidates

    def _search(
        self, bundle: RetrievingBundle, users: EncodedUsers, limits: Limits, counts: NDArray[np.int_]
    ) -> Candidates:
        vectors = users.vectors(bundle)
        with self._metrics.stage("retrieve"):
            return bundle.retriever.search(vectors, limits, counts)

    def _scored(self, plan: Plan, users: EncodedUsers, rows: NDArray[np.int32], reasons: list[str]) -> Candidates:
        """Scores (users, n) candidates of users with a history."""
        first = score_by_retrievers(plan.retrievers[:1], users, rows)
        if plan.ranker is not None:
            try:
                with self._metrics.stage("rank"):
                    sources = first if len(plan.retrievers) == 1 else score_by_retrievers(plan.retrievers, users, rows)
                    return rank_candidates(plan.ranker, users, rows, sources)
            except Exception:  # boundary: as above
                self._rank_failed(plan, reasons)
        return Candidates(rows, np.where(rows >= 0, first[:, :, 0], np.float32(-np.inf)))

    def _rank_failed(self, plan: Plan, reasons: list[str]) -> None:
        name, version = plan.bundle.key
        self._log.exception("ranker failed", model=name, version=version)
        reasons.append(_RANK_FAILED)

    def _answers(
        self,
        plan: Plan,
        histories: Histories,
        ranking: Candidates,
        sources: NDArray[np.int_],
        ks: Sequence[int],
        reasons: Sequence[str],
        filters: Sequence[ItemFilter | None] = (),
    ) -> list[Answer]:
        for reason in reasons:
            self._metrics.degraded.labels(reason).inc(len(ks))
        scorer = plan.retrievers[0] if plan.ranker is None or _RANK_FAILED in reasons else plan.ranker
        catalogue, source_model = plan.bundle.catalogue, scorer.manifest.name
        return make_answers(
            catalogue, plan.models, source_model, ranking, sources, ks, histories, tuple(reasons), filters
        )

    def _explain(
        self,
        explainer: LoadedBundle,
        histories: Histories,
        asked: NDArray[np.intp],
        rows: NDArray[np.int32],
        answers: list[Answer],
    ) -> None:
        """Adds, in place, what carried the (asked, n) rows to the answers of the users who asked."""
        try:
            with self._metrics.stage("explain"):
                because_items = explain(explainer, histories.batch.take(asked), rows)
        except Exception:  # boundary: the explanation is a plugin's graph; without it the answer is only less good
            self._log.exception("explanation failed", model=explainer.key[0], version=explainer.key[1])
            self._metrics.degraded.labels("EXPLAIN_FAILED").inc(len(asked))
            for user in asked.tolist():
                reasons = (*answers[user].degraded_reasons, "EXPLAIN_FAILED")
                answers[user] = replace(answers[user], degraded_reasons=reasons)
            return
        for user, items in zip(asked.tolist(), because_items, strict=True):
            answers[user] = replace(answers[user], because_items=items[: len(answers[user].item_ids)])


def _limits(catalogue: Catalogue, filters: Sequence[ItemFilter | None], forbidden: NDArray[np.int64]) -> Limits:
    """Adds the filters to what is forbidden; a filter that many users share is worked out once."""
    masks: list[NDArray[np.bool_]] = []
    mask_of = np.full(len(filters), -1, np.intp)
    keys = [forbidden]
    owners: dict[int, list[int]] = {}
    for user, limit in enumerate(filters):
        owners.setdefault(id(limit), []).append(user)
    for users in owners.values():
        if (limit := filters[users[0]]) is None:
            continue
        keys.append(np.add.outer(np.array(users) * np.int64(len(catalogue)), catalogue.excluded(limit)).ravel())
        if (mask := catalogue.allowed(limit)) is not None:
            mask_of[users] = len(masks)
            masks.append(mask)
    return Limits(len(filters), len(catalogue), np.concatenate(keys), tuple(masks), mask_of)
