"""Answers batches of queries: history → user vectors → retrieval → ranking → rules → the first k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import structlog
from numpy.typing import NDArray

from honeyguide.sdk import Rule
from honeyguide.sdk.errors import ItemNotFound
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.catalogue import Catalogue, ItemFilter
from honeyguide.server.bundles.retrieval import Found, Limits
from honeyguide.server.events.sqlite import EventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.answers import answers, filled
from honeyguide.server.serving.encoding import EncodedUsers
from honeyguide.server.serving.explanation import because
from honeyguide.server.serving.histories import Histories, UserInput, build_histories
from honeyguide.server.serving.queries import Answer, RankQuery, RecommendQuery, SimilarQuery, Source
from honeyguide.server.serving.ranking import inner_products, ranked, reordered
from honeyguide.server.serving.rules import apply_rule

__all__ = ["Pipeline", "PipelineOptions"]

_CANDIDATES_FOR_RULES = 100
"""Candidates that rules choose from where the pipeline does not rank and does not say."""
_RANK_FAILED = "RANK_FAILED"


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """Says how a pipeline answers."""

    name: str
    model: str
    """The model that retrieves, and ranks if it has a ranker; or a joint one, over the retrievers that it pins."""
    rank: bool | None = None
    """None: where the bundle has a ranker."""
    candidates: int = 0
    """How many of each retriever to rank; 0: as many as the ranker was fitted on."""
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
        steps = range(0, len(queries), self._step)
        return [answer for i in steps for answer in self._rank(bundle, queries[i : i + self._step])]

    def similar(self, queries: Sequence[SimilarQuery]) -> list[Answer | ItemNotFound]:
        """Answers each query by the cosine of item vectors; `ItemNotFound` stands for one whose item is unknown."""
        bundle = self._bundle().retrievers[0]
        name, version = bundle.key
        catalogue, items = bundle.catalogue, len(bundle.catalogue)
        rows = catalogue.rows([q.item_id for q in queries])
        known = np.flatnonzero(rows >= 0)
        own = known * np.int64(items) + rows[known]  # an item is not its own neighbour
        limits = _limits(catalogue, [q.filter for q in queries], own).take(known)
        with self._metrics.stage("similar"):
            found = bundle.similar(rows[known], limits, max(q.k for q in queries))
        sources = np.full(found.rows.shape, Source.RETRIEVED)
        ks = [queries[i].k for i in known.tolist()]
        given: list[Answer | ItemNotFound] = [
            ItemNotFound(f"no item {q.item_id!r} in model {name!r}, version {version}") for q in queries
        ]
        theirs = answers(catalogue, (bundle.key,), name, found, sources, ks)
        for place, answer in zip(known.tolist(), theirs, strict=True):
            given[place] = answer
        return given

    def ranks(self, bundle: LoadedBundle) -> bool:
        """Whether this pipeline ranks with that bundle."""
        return bundle.manifest.ranks if self.options.rank is None else self.options.rank and bundle.manifest.ranks

    def retrievers(self, bundle: LoadedBundle) -> tuple[RetrievingBundle, ...]:
        """The bundles that retrieve: without a ranker to judge between several, the first alone."""
        return bundle.retrievers if self.ranks(bundle) else bundle.retrievers[:1]

    def bundles(self, bundle: LoadedBundle) -> tuple[LoadedBundle, ...]:
        """The bundles that take part, each once, retrieval first."""
        return tuple(dict.fromkeys([*self.retrievers(bundle), *[bundle] * self.ranks(bundle)]))

    def models(self, bundle: LoadedBundle) -> tuple[tuple[str, int], ...]:
        """Name and version of the bundles that take part, retrieval first."""
        return tuple(part.key for part in self.bundles(bundle))

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
        limits = _limits(bundle.catalogue, [q.filter for q in queries], seen)

        depths = np.maximum(ks, self._candidates(bundle))  # how many each user's rules may choose from
        known, users = self._known(queries, histories)
        found = Found.none(len(queries), int(depths.max()))
        reasons: list[str] = []
        if known.size:
            theirs = self._found(bundle, users, limits.take(known), depths[known], reasons)
            width = theirs.rows.shape[1]
            found = Found.none(len(queries), max(width, int(depths.max())))
            found.rows[known, :width], found.scores[known, :width] = theirs.rows, theirs.scores
        considered = found.rows
        for rule in self.options.rules:
            try:
                with self._metrics.stage("rules"):
                    found = apply_rule(rule, bundle, histories.batch, found, ks)
            except Exception:  # boundary: a plugin's rule; without it the answer is only less good
                self._log.exception("rule failed", rule=rule.name)
                reasons.append("RULE_FAILED")
        found, sources = filled(bundle.catalogue, found, considered, limits, ks)
        given = self._answers(bundle, histories, found, sources, ks.tolist(), reasons)
        if bundle.explainer is not None and any(q.explain for q in queries):
            asked = known[[queries[user].explain for user in known.tolist()]]
            rows = np.where(sources[asked] == Source.RETRIEVED, found.rows[asked], -1)
            self._explain(bundle.explainer, histories, asked, rows, given)
        return given

    def _rank(self, bundle: LoadedBundle, queries: Sequence[RankQuery]) -> list[Answer]:
        histories = self._histories(bundle, [q.user for q in queries])
        catalogue = bundle.catalogue
        asked = [catalogue.rows(q.item_ids) for q in queries]
        rows = np.full((len(queries), max(map(len, asked))), -1, np.int32)
        for line, own in zip(rows, asked, strict=True):
            line[: (own >= 0).sum()] = own[own >= 0]
        scores = np.where(rows >= 0, catalogue.popularity[rows], -np.inf).astype(np.float32)
        known, users = self._known(queries, histories)
        reasons: list[str] = []
        if known.size:
            theirs = self._scored(bundle, users, rows[known], reasons)
            rows[known], scores[known] = theirs.rows, theirs.scores
        order = np.argsort(-scores, axis=1, kind="stable")
        found = Found(np.take_along_axis(rows, order, 1), np.take_along_axis(scores, order, 1))
        sources = np.full(rows.shape, Source.CANDIDATE)
        given = self._answers(bundle, histories, found, sources, [rows.shape[1]] * len(rows), reasons)
        missing = [tuple(np.array(q.item_ids, object)[own < 0]) for q, own in zip(queries, asked, strict=True)]
        return [replace(answer, unknown_item_ids=ids) for answer, ids in zip(given, missing, strict=True)]

    def _histories(self, bundle: LoadedBundle, users: Sequence[UserInput]) -> Histories:
        with self._metrics.stage("history"):
            return build_histories(users, self._store, bundle.numbers, bundle.catalogue, bundle.manifest.data)

    def _known(
        self, queries: Sequence[RecommendQuery | RankQuery], histories: Histories
    ) -> tuple[NDArray[np.intp], EncodedUsers]:
        """Returns the places of the users who have a history, and these users."""
        known = np.flatnonzero(histories.batch.lengths)
        ids = [queries[user].user.known_as for user in known.tolist()]
        return known, EncodedUsers(ids, histories.batch.take(known), self._metrics)

    def _candidates(self, bundle: LoadedBundle) -> int:
        given = self.options.candidates or (bundle.manifest.candidates if self.ranks(bundle) else 0)
        wanted = given or (_CANDIDATES_FOR_RULES if self.options.rules else 0)
        return min(wanted, len(bundle.catalogue))

    def _found(
        self, bundle: LoadedBundle, users: EncodedUsers, limits: Limits, depths: NDArray[np.int_], reasons: list[str]
    ) -> Found:
        """Retrieves and ranks for users with a history; the first retriever alone decides where ranking fails."""
        candidates = self._candidates(bundle)
        first, *others = self.retrievers(bundle)
        found = self._search(first, users, limits, int(depths.max()))
        # What a batch-mate's larger k brought along is not this user's.
        beyond = np.arange(found.rows.shape[1]) >= depths[:, None]
        found.rows[beyond], found.scores[beyond] = -1, -np.inf
        if not (self.ranks(bundle) and candidates):
            return found
        try:
            lists = [found, *(self._search(other, users, limits, candidates) for other in others)]
            with self._metrics.stage("rank"):
                return reordered(bundle, users, lists, candidates)
        except Exception:  # boundary: the ranker is a plugin's graph; without it the answer is only less good
            self._rank_failed(bundle, reasons)
            return found

    def _search(self, retriever: RetrievingBundle, users: EncodedUsers, limits: Limits, count: int) -> Found:
        vectors = users.vectors(retriever)
        with self._metrics.stage("retrieve"):
            return retriever.search(vectors, limits, count)

    def _scored(self, bundle: LoadedBundle, users: EncodedUsers, rows: NDArray[np.int32], reasons: list[str]) -> Found:
        """Scores (users, n) candidates of users with a history."""
        first = inner_products(bundle.retrievers[:1], users, rows)
        if self.ranks(bundle):
            try:
                with self._metrics.stage("rank"):
                    sources = first if len(bundle.retrievers) == 1 else inner_products(bundle.retrievers, users, rows)
                    return ranked(bundle, users, rows, sources)
            except Exception:  # boundary: as above
                self._rank_failed(bundle, reasons)
        return Found(rows, np.where(rows >= 0, first[:, :, 0], np.float32(-np.inf)))

    def _rank_failed(self, bundle: LoadedBundle, reasons: list[str]) -> None:
        self._log.exception("ranker failed", model=bundle.key[0], version=bundle.key[1])
        reasons.append(_RANK_FAILED)

    def _answers(
        self,
        bundle: LoadedBundle,
        histories: Histories,
        found: Found,
        sources: NDArray[np.int_],
        ks: Sequence[int],
        reasons: Sequence[str],
    ) -> list[Answer]:
        for reason in reasons:
            self._metrics.degraded.labels(reason).inc(len(ks))
        scorer = bundle if self.ranks(bundle) and _RANK_FAILED not in reasons else bundle.retrievers[0]
        models, scored_by = self.models(bundle), scorer.manifest.name
        return answers(bundle.catalogue, models, scored_by, found, sources, ks, histories.unknown, tuple(reasons))

    def _explain(
        self,
        explainer: LoadedBundle,
        histories: Histories,
        asked: NDArray[np.intp],
        rows: NDArray[np.int32],
        given: list[Answer],
    ) -> None:
        """Adds, in place, what carried the (asked, n) rows to the answers of the users who asked."""
        try:
            with self._metrics.stage("explain"):
                found = because(explainer, histories.batch.take(asked), rows)
        except Exception:  # boundary: the explanation is a plugin's graph; without it the answer is only less good
            self._log.exception("explanation failed", model=explainer.key[0], version=explainer.key[1])
            self._metrics.degraded.labels("EXPLAIN_FAILED").inc(len(asked))
            for user in asked.tolist():
                given[user] = replace(given[user], reasons=(*given[user].reasons, "EXPLAIN_FAILED"))
            return
        for user, named in zip(asked.tolist(), found, strict=True):
            given[user] = replace(given[user], because=named[: len(given[user].item_ids)])


def _limits(catalogue: Catalogue, filters: Sequence[ItemFilter | None], forbidden: NDArray[np.int64]) -> Limits:
    """Adds the filters to what is forbidden; a filter that many users share is worked out once."""
    masks: list[NDArray[np.bool_]] = []
    mask_of = np.full(len(filters), -1, np.intp)
    keys = [forbidden]
    owners: dict[int, list[int]] = {}
    for user, wanted in enumerate(filters):
        owners.setdefault(id(wanted), []).append(user)
    for users in owners.values():
        if (wanted := filters[users[0]]) is None:
            continue
        keys.append(np.add.outer(np.array(users) * np.int64(len(catalogue)), catalogue.excluded(wanted)).ravel())
        if (mask := catalogue.allowed(wanted)) is not None:
            mask_of[users] = len(masks)
            masks.append(mask)
    return Limits(len(filters), len(catalogue), np.concatenate(keys), tuple(masks), mask_of)
