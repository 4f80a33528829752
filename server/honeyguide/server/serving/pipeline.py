"""Answers batches of queries: history → user vectors → retrieval → ranking → rules → the first k."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from honeyguide.sdk.errors import ItemNotFound, NothingServed
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.retrieval import Candidates, Limits
from honeyguide.server.bundles.store_numbers import TypeNumbers
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.cold_items.segment import Segment
from honeyguide.server.events.store import EventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.alike import USUAL_K, alike
from honeyguide.server.serving.answers import Answers, fill
from honeyguide.server.serving.dislikes import DislikingUsers
from honeyguide.server.serving.encoding import EncodedUsers
from honeyguide.server.serving.explanation import explain
from honeyguide.server.serving.exploring import Filled, allowed_new, explore, places_of_new
from honeyguide.server.serving.filters import limits_of, unknown_categories
from honeyguide.server.serving.histories import Histories, build_histories
from honeyguide.server.serving.nearest import nearest_items
from honeyguide.server.serving.plan import PipelineOptions, Plan
from honeyguide.server.serving.queries import Answer, ItemSource, RankQuery, RecommendQuery, SimilarQuery
from honeyguide.server.serving.ranking import rank_candidates, rank_lists, score_by_retrievers, sort_candidates
from honeyguide.server.serving.rules import apply_rule
from honeyguide.server.serving.stages import Stages

__all__ = ["Part", "ServedPipeline"]

Part = tuple[Sequence[int], Answers]
"""Places of some queries among those that were asked, and their answers."""

_UNRANKED = {"RANK_FAILED", "RANK_LATE", "RANK_SKIPPED"}
"""Reasons for which the retrieval's order stands."""
_UNREAD = {"RETRIEVE_FAILED", "RETRIEVE_LATE", "RETRIEVE_SKIPPED"}
"""Reasons for which nothing is known of what a batch's users like."""
_TRUNCATED = "HISTORY_TRUNCATED"
_UNREADABLE = "HISTORY_UNREADABLE"
_T = TypeVar("_T")


class ServedPipeline:
    """Way from queries to answers, for whole batches, synchronous and thread-safe; batch-mates change no answer."""

    def __init__(
        self,
        options: PipelineOptions,
        bundle: Callable[[], LoadedBundle],
        store: EventStore | None,
        metrics: Metrics,
        max_batch_rows: int,
        cold_items: ColdItems | None = None,
    ) -> None:
        """Takes what it needs.

        Args:
            options: how it answers.
            bundle: returns the bundle that serves now; called once for each batch, which is answered by that one alone;
                raises `NothingServed`.
            store: the stored events; None: inline histories alone.
            metrics: where the stages are measured.
            max_batch_rows: users computed at once; a larger batch is computed in parts.
            cold_items: the items that were added; None: there are none.
        """
        self.options, self.max_batch_rows = options, max_batch_rows
        self._bundle, self._store, self._metrics, self._cold_items = bundle, store, metrics, cold_items
        self._stages = Stages(options.name, options.budgets, options.circuit, metrics)
        self._negative = TypeNumbers(options.negative_types) if options.negative_types else None
        self._log = structlog.get_logger("honeyguide.pipeline").bind(pipeline=options.name)

    def plan(self) -> Plan:
        """Returns what the pipeline does with the bundle that serves now; raises `NothingServed`."""
        return Plan.of(self.options, self._bundle())  # kept nowhere: it would keep a bundle that was unloaded

    @property
    def serves(self) -> bool:
        """Whether there is a bundle to answer with."""
        try:
            self._bundle()
        except NothingServed:
            return False
        return True

    def recommend(self, queries: Sequence[RecommendQuery]) -> list[Answer]:
        """Answers each query; raises `NothingServed`."""
        return _in_order(self.recommend_parts(queries), len(queries))

    def recommend_parts(self, queries: Sequence[RecommendQuery], plan: Plan | None = None) -> Iterator[Part]:
        """Answers the queries part by part, each when it is asked for, all by one plan; raises `NothingServed`.

        A part holds at most `max_batch_rows` queries that cost about the same, the lightest first: nobody waits for a
        batch-mate that asked for much more.
        """
        plan = plan or self.plan()
        for group in self._apart(queries, alike(queries, max(plan.candidate_count, USUAL_K))):
            for places in self._cut(group):
                yield places, self._recommend(plan, [queries[place] for place in places])

    def rank(self, queries: Sequence[RankQuery]) -> list[Answer]:
        """Scores each query's candidates, best first; raises `NothingServed`."""
        return _in_order(self.rank_parts(queries), len(queries))

    def rank_parts(self, queries: Sequence[RankQuery]) -> Iterator[Part]:
        """Scores the queries' candidates part by part, as `recommend_parts` does."""
        plan = self.plan()
        weights: dict[int, list[int]] = {}
        for place, query in enumerate(queries):
            weights.setdefault(len(query.item_ids).bit_length(), []).append(place)
        for group in self._apart(queries, [weights[weight] for weight in sorted(weights)]):
            for places in self._cut(group):
                yield places, self._rank(plan, [queries[place] for place in places])

    def similar(self, queries: Sequence[SimilarQuery]) -> list[Answer | ItemNotFound]:
        """Answers each query by the cosine of item vectors; `ItemNotFound` stands for one whose item is unknown."""
        (known, found), missing = self.similar_part(queries)
        answers: list[Answer | ItemNotFound] = [*_in_order([(range(len(known)), found)], len(known))]
        for place in sorted(missing):
            answers.insert(place, missing[place])
        return answers

    def similar_part(self, queries: Sequence[SimilarQuery]) -> tuple[Part, dict[int, ItemNotFound]]:
        """Returns the answers of the queries whose item is known, and by place the error of each of the others."""
        with self._metrics.stage("similar"):
            known, answers, missing = nearest_items(self.plan().retrievers[0], self._cold_items, queries)
        return (known, answers), missing

    def _apart(self, queries: Sequence[RecommendQuery | RankQuery], groups: list[list[int]]) -> Sequence[Sequence[int]]:
        """Splits off who has less time left than the stages may take; the others come last."""
        if not self._stages.budgets:
            return groups
        split: list[Sequence[int]] = []
        for group in groups:
            urgent = self._stages.urgent([queries[place].deadline for place in group])
            split += [[group[i] for i in urgent[left]] for left in sorted(urgent)]
            hurried = {i for own in urgent.values() for i in own}
            split.append([place for i, place in enumerate(group) if i not in hurried])
        return sorted(split, key=lambda group: min((queries[place].deadline for place in group), default=math.inf))

    def _deadline(self, queries: Sequence[RecommendQuery | RankQuery]) -> float:
        """Returns the first deadline of a part, where it counts."""
        return min(query.deadline for query in queries) if self._stages.budgets else math.inf

    def _cut(self, places: Sequence[_T]) -> list[Sequence[_T]]:
        return [places[i : i + self.max_batch_rows] for i in range(0, len(places), self.max_batch_rows)]

    def _recommend(self, plan: Plan, queries: Sequence[RecommendQuery]) -> Answers:
        """Answers a part: queries that are alike, one or more; see `alike`."""
        catalogue, items = plan.bundle.catalogue, len(plan.bundle.catalogue)
        histories = self._histories(plan, queries)
        ks = np.array([q.k for q in queries])
        depths = np.maximum(ks, plan.candidate_count)  # how many each user's rules may choose from
        drop = [plan.drop_seen if q.drop_seen is None else q.drop_seen for q in queries]
        filters = [q.filter for q in queries]
        limits = limits_of(catalogue, items, filters, histories.seen(drop, items))

        known = histories.batch.lengths.nonzero()[0]
        reasons: list[str] = []
        users: EncodedUsers | None = None
        if known.size:
            users = self._users(queries, histories, known)
            permitted = limits if known.size == len(queries) else limits.take(known)
            ranking = self._candidates(plan, users, permitted, depths[known], reasons, self._deadline(queries))
        else:
            ranking = Candidates.none(0, 0)
        ranking = ranking.spread(known, len(queries), max(depths.tolist()))
        considered = ranking.rows
        for rule in plan.options.rules:
            try:
                with self._metrics.stage("rules"):
                    ranking = apply_rule(rule, plan.bundle, histories.batch, ranking, ks)
            except Exception:  # boundary: a plugin's rule; without it the answer is only less good
                self._log.exception("rule failed", rule=rule.name)
                reasons.append("RULE_FAILED")
        filled = fill(catalogue, ranking, considered, limits, ks)
        segment = None if self._cold_items is None else self._cold_items.segment(plan.retrievers[0])
        if segment is not None:
            read = None if _UNREAD.intersection(reasons) else users
            filled = self._explore(plan, segment, queries, drop, read, known, filled)
        ranking, sources, lengths = filled
        truncated = [dropped and cut for dropped, cut in zip(drop, histories.truncated, strict=True)]
        answers = self._answers(plan, histories, ranking, sources, lengths, reasons, truncated)
        if segment is not None:
            answers = replace(answers, catalogue=segment.names)
        if any(filters):
            answers = replace(answers, unknown_categories=unknown_categories(catalogue, filters, segment))
        if plan.explainer is not None and queries[0].explain:
            rows = np.where(sources[known] == ItemSource.RETRIEVED, ranking.rows[known], -1)
            return self._explain(plan.explainer, histories, known, rows, answers)
        return answers

    def _explore(
        self,
        plan: Plan,
        segment: Segment,
        queries: Sequence[RecommendQuery],
        drop: Sequence[bool],
        users: EncodedUsers | None,
        known: NDArray[np.intp],
        filled: Filled,
    ) -> Filled:
        """Lets added items into a part's answers: by likeness to who is ``known``, and the newest first for others.

        Nobody is known where ``users`` is None, as where retrieval came to no end.
        """
        first, added = plan.retrievers[0], len(segment.catalogue)
        asking, ks = [q.user for q in queries], np.array([q.k for q in queries])
        allowed = allowed_new(segment, asking, self._store, [q.filter for q in queries], drop, self._negative)
        kept = places_of_new(asking, ks, self.options.explore)
        scores = np.tile(np.arange(added, dtype=np.float32), (len(ks), 1))
        if users is not None:
            scores[known] = users.vectors(first) @ segment.vectors.T
        with self._metrics.stage("explore"):
            return explore(filled, len(first.catalogue), scores, allowed, ks, kept)

    def _rank(self, plan: Plan, queries: Sequence[RankQuery]) -> Answers:
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
            users = self._users(queries, histories, known)
            best = self._scored(plan, users, rows[known], reasons, self._deadline(queries))
            if best is not None:
                rows[known], scores[known] = best.rows, best.scores
        ranking = sort_candidates(rows, scores)
        sources = np.full(rows.shape, ItemSource.CANDIDATE)
        lengths = (ranking.rows >= 0).sum(1).tolist()
        unknown = [tuple(np.array(q.item_ids, object)[own < 0]) for q, own in zip(queries, asked, strict=True)]
        answers = self._answers(plan, histories, ranking, sources, lengths, reasons, [False] * len(queries))
        return replace(answers, unknown_item_ids=unknown)

    def _histories(self, plan: Plan, queries: Sequence[RecommendQuery | RankQuery]) -> Histories:
        bundle, users = plan.bundle, [q.user for q in queries]
        with self._metrics.stage("history"):
            return build_histories(
                users, self._store, bundle.numbers, bundle.catalogue, bundle.manifest.data, self._negative
            )

    def _users(
        self, queries: Sequence[RecommendQuery | RankQuery], histories: Histories, known: NDArray[np.intp]
    ) -> EncodedUsers:
        """Returns the users at the places ``known``, who have a history."""
        ids = [queries[user].user.known_as for user in known.tolist()]
        batch = histories.batch if known.size == len(queries) else histories.batch.take(known)
        if histories.disliked is not None and self.options.negative_weight:
            owners, rows = histories.disliked
            there = np.isin(owners, known)
            disliked = np.searchsorted(known, owners[there]), rows[there]
            return DislikingUsers(ids, batch, self._metrics, disliked, self.options.negative_weight)
        return EncodedUsers(ids, batch, self._metrics)

    def _candidates(
        self,
        plan: Plan,
        users: EncodedUsers,
        limits: Limits,
        depths: NDArray[np.int_],
        reasons: list[str],
        deadline: float,
    ) -> Candidates:
        """Retrieves and ranks for users with a history.

        Where ranking does not come to an end the first retriever alone decides, and where retrieval does not, there are
        no candidates: popular items take their place.
        """
        first, *others = plan.retrievers

        def retrieve() -> Candidates:
            return self._search(first, users, limits, depths)

        candidates = self._stages.run("RETRIEVE", first, users, reasons, retrieve, deadline)
        if candidates is None:
            return Candidates.none(len(depths), 0)
        ranker, found = plan.ranker, candidates
        if ranker is None or not plan.candidate_count:
            return candidates

        def rank() -> Candidates:
            lists = [found]
            if others:
                counts = np.full(len(depths), plan.candidate_count)
                lists += [self._search(other, users, limits, counts) for other in others]
            with self._metrics.stage("rank"):
                return rank_lists(ranker, plan, users, lists)

        return self._stages.run("RANK", ranker, users, reasons, rank, deadline) or candidates

    def _search(
        self, bundle: RetrievingBundle, users: EncodedUsers, limits: Limits, counts: NDArray[np.int_]
    ) -> Candidates:
        vectors = users.vectors(bundle)
        with self._metrics.stage("retrieve"):
            return bundle.retriever.search(vectors, limits, counts)

    def _scored(
        self, plan: Plan, users: EncodedUsers, rows: NDArray[np.int32], reasons: list[str], deadline: float
    ) -> Candidates | None:
        """Scores (users, n) candidates of users with a history; None: retrieval did not come to an end."""
        first, ranker = plan.retrievers[0], plan.ranker
        found = self._stages.run(
            "RETRIEVE", first, users, reasons, lambda: score_by_retrievers([first], users, rows), deadline
        )
        if found is None:
            return None
        scores = found

        def rank() -> Candidates:
            assert ranker is not None
            with self._metrics.stage("rank"):
                sources = scores if len(plan.retrievers) == 1 else score_by_retrievers(plan.retrievers, users, rows)
                return rank_candidates(ranker, users, rows, sources)

        ranking = None if ranker is None else self._stages.run("RANK", ranker, users, reasons, rank, deadline)
        return ranking or Candidates(rows, np.where(rows >= 0, scores[:, :, 0], np.float32(-np.inf)))

    def _answers(
        self,
        plan: Plan,
        histories: Histories,
        ranking: Candidates,
        sources: NDArray[np.int_],
        lengths: list[int],
        reasons: Sequence[str],
        truncated: Sequence[bool],
    ) -> Answers:
        """Joins what a batch came to; ``truncated``: whether a user has seen more than is known to have been seen."""
        for reason in reasons:
            self._metrics.degraded.labels(reason).inc(len(lengths))
        if any(truncated):
            self._metrics.degraded.labels(_TRUNCATED).inc(sum(truncated))
        for_all = tuple(reasons)
        by_user: Sequence[tuple[str, ...]] = ()
        if for_all or any(truncated) or histories.unreadable:
            by_user = [(*for_all, _TRUNCATED) if cut else for_all for cut in truncated]
            for user in histories.unreadable:
                by_user[user] = (*for_all, _UNREADABLE)
                self._metrics.degraded.labels(_UNREADABLE).inc()
        scorer = plan.retrievers[0] if plan.ranker is None or _UNRANKED.intersection(reasons) else plan.ranker
        return Answers(
            catalogue=plan.bundle.catalogue,
            models=plan.models,
            source_model=scorer.manifest.name,
            rows=ranking.rows,
            scores=ranking.scores,
            sources=sources,
            lengths=lengths,
            states=histories.states,
            unknown=histories.unknown,
            reasons=by_user,
        )

    def _explain(
        self,
        explainer: LoadedBundle,
        histories: Histories,
        asked: NDArray[np.intp],
        rows: NDArray[np.int32],
        answers: Answers,
    ) -> Answers:
        """Returns the answers with what carried the (asked, n) rows, for the users who asked."""
        try:
            with self._metrics.stage("explain"):
                because_items = explain(explainer, histories.batch.take(asked), rows)
        except Exception:  # boundary: the explanation is a plugin's graph; without it the answer is only less good
            self._log.exception("explanation failed", model=explainer.key[0], version=explainer.key[1])
            self._metrics.degraded.labels("EXPLAIN_FAILED").inc(len(asked))
            reasons = list(answers.reasons or [()] * len(answers))
            for user in asked.tolist():
                reasons[user] = (*reasons[user], "EXPLAIN_FAILED")
            return replace(answers, reasons=reasons)
        named = zip(asked.tolist(), because_items, strict=True)
        return replace(answers, because_items={user: items[: answers.lengths[user]] for user, items in named})


def _in_order(parts: Iterable[Part], count: int) -> list[Answer]:
    answers: dict[int, Answer] = {}
    for places, part in parts:
        answers.update(zip(places, part, strict=True))
    return [answers[place] for place in range(count)]
