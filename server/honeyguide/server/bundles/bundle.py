"""Runs one version of one model: encodes users, ranks candidates, explains them, finds an item's neighbours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk import Arrays, HistoryBatch, ItemTable, Model
from honeyguide.sdk.candidates import ranker_inputs, tokens
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.manifest import EXPLAIN_GRAPH, ITEM_GRAPH, RANK_GRAPH, STEP_GRAPH, USER_GRAPH, Manifest
from honeyguide.sdk.model import last_event
from honeyguide.server.bundles.buckets import by_length
from honeyguide.server.bundles.catalogue import Catalogue
from honeyguide.server.bundles.graph import Graph
from honeyguide.server.bundles.retrieval import Candidates, ExactSearch, Limits, Retriever
from honeyguide.server.bundles.run_limit import RunLimit
from honeyguide.server.bundles.store_numbers import StoreNumbers
from honeyguide.server.bundles.user_cache import VectorCache

__all__ = ["JointBundle", "LoadedBundle", "RetrievingBundle"]

Vectors = NDArray[np.float32]


class LoadedBundle(ABC):
    """Bundle as it is once loaded. It never changes, so that calls under way keep the version they began with."""

    def __init__(self, manifest: Manifest, model: Model, catalogue: Catalogue, graphs: Mapping[str, Graph]) -> None:
        """Takes its parts; ``graphs`` are by file name."""
        self.manifest = manifest
        self.catalogue = catalogue
        self.numbers = StoreNumbers(catalogue, manifest.data.event_types)
        """The event store's numbers in this bundle's rows."""
        self._model = model
        self._graphs = graphs

    @property
    @abstractmethod
    def retrievers(self) -> tuple[RetrievingBundle, ...]:
        """The bundles that retrieve for it, in the order of the ranker's sources; one or more."""

    @property
    def key(self) -> tuple[str, int]:
        """Name and version."""
        return self.manifest.name, self.manifest.version

    @property
    def provider(self) -> str:
        """Where the graphs run."""
        return next(iter(self._graphs.values())).provider

    def recent(self, histories: HistoryBatch) -> HistoryBatch:
        """Returns the part of histories that its graphs read: the newest ``max_length`` events of each."""
        return histories.newest(self.manifest.max_length)

    def encode(self, recent: HistoryBatch) -> Arrays:
        """Returns the graphs' inputs for users of `recent`, none of whose histories is empty."""
        return self._model.encode(recent)

    def rank(
        self,
        arrays: Arrays,
        rows: NDArray[np.int32],
        retrieval_scores: Vectors,
        limit: RunLimit | None = None,
    ) -> Vectors:
        """Returns (batch, n) scores of candidate rows; what stands where rows is -1 means nothing.

        Args:
            arrays: of `encode`.
            rows: (batch, n) catalogue rows, -1 where there are fewer.
            retrieval_scores: (batch, n, sources); what stands where rows is -1 counts for nothing.
            limit: may end it.
        """
        if RANK_GRAPH not in self._graphs:
            raise ConfigError(f"model {self.manifest.name!r} has no ranker")
        inputs = {**arrays, **ranker_inputs(rows, retrieval_scores)}
        return self._graphs[RANK_GRAPH].run(inputs, ["scores"], limit)[0]

    def explain(self, arrays: Arrays, rows: NDArray[np.int32]) -> Vectors:
        """Returns (batch, n, length): the share of each encoded event in a candidate; see `rank`."""
        if EXPLAIN_GRAPH not in self._graphs:
            raise ConfigError(f"model {self.manifest.name!r} explains nothing")
        return self._graphs[EXPLAIN_GRAPH].run({**arrays, "candidates": tokens(rows)}, ["shares"])[0]


class RetrievingBundle(LoadedBundle):
    """Bundle that finds items itself: with users and items as vectors of one space, or as `ScoringBundle` does."""

    def __init__(
        self,
        manifest: Manifest,
        model: Model,
        catalogue: Catalogue,
        graphs: Mapping[str, Graph],
        item_vectors: Vectors,
        retriever: Retriever,
        cache: VectorCache,
    ) -> None:
        """Takes its parts; ``retriever`` searches the item vectors, ``cache`` is for its own users' vectors alone."""
        super().__init__(manifest, model, catalogue, graphs)
        self.item_vectors = item_vectors
        """(items, d), read-only; d is 0 where the user graph scores the catalogue."""
        self.retriever = retriever
        self.cache = cache
        """What users came to before; it keeps nobody where what is encoded depends on the moment of the request."""
        self.width = manifest.user_width
        """Numbers that a user is read to: `read` returns (batch, width)."""
        self._output = manifest.user_output
        norms = np.linalg.norm(item_vectors, axis=1)
        self.inverse_norms: Vectors = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        """(items,) 1 / length of each item vector, 0 for a vector of zeros."""
        self._nearest = ExactSearch(item_vectors, self.inverse_norms)

    @property
    def retrievers(self) -> tuple[RetrievingBundle, ...]:
        """The bundle itself."""
        return (self,)

    def read(self, arrays: Arrays, limit: RunLimit | None = None) -> tuple[Vectors, Vectors]:
        """Returns (batch, d) user vectors and (batch, S) states; S is 0 where the bundle does not step.

        Users much shorter than the longest are read in runs of their own. ``limit`` may end them.
        """
        outputs = [self._output, "state"] if self.manifest.steps else [self._output]
        graph = self._graphs[USER_GRAPH]
        read, groups = arrays.get("tokens"), []
        if read is not None and 0 in read[:, 0].tolist():  # padding is on the left: not all are as long
            groups = by_length(read.shape[1] - (read > 0).argmax(1))
        if len(groups) < 2:
            parts = graph.run(arrays, outputs, limit)
        else:
            runs = [graph.run(self._part(arrays, users, length), outputs, limit) for users, length in groups]
            back = np.argsort(np.concatenate([users for users, _ in groups]))
            parts = [np.concatenate(part)[back] for part in zip(*runs, strict=True)]
        return parts[0], parts[1] if self.manifest.steps else np.empty((len(parts[0]), 0), np.float32)

    def _part(self, arrays: Arrays, users: NDArray[np.int64], length: int) -> Arrays:
        """Returns the arrays of some users, cut to their newest ``length`` positions."""
        part = {}
        for spec in self.manifest.inputs:
            own = arrays[spec.name].take(users, spec.axes.index("batch"))
            if "length" in spec.axes:
                place = spec.axes.index("length")
                own = own[(slice(None),) * place + (slice(own.shape[place] - length, None),)]
            part[spec.name] = own
        return part

    def step(self, states: Vectors, histories: HistoryBatch, limit: RunLimit | None = None) -> tuple[Vectors, Vectors]:
        """Adds the newest event of each history; returns the new states and vectors.

        Args:
            states: (batch, S) what the histories came to before that event.
            histories: at least the newest two events of each.
            limit: may end it.
        """
        inputs = {"state": states, **last_event(self._model, histories)}
        states, vectors = self._graphs[STEP_GRAPH].run(inputs, ["next_state", "user_vector"], limit)
        return states, vectors

    def similar(
        self, rows: NDArray[np.integer], limits: Limits, counts: NDArray[np.integer], placed: Vectors | None = None
    ) -> Candidates:
        """Returns the (rows,) ``counts`` items nearest to (rows,) items; the score is the cosine.

        ``placed``: (n, d) where n rows are -1, what stands for them: vectors that `place` gave.
        """
        vectors = self.item_vectors[rows] * self.inverse_norms[rows, None]
        if placed is not None:
            lengths = np.linalg.norm(placed, axis=1, keepdims=True)
            vectors[rows < 0] = np.divide(placed, lengths, out=np.zeros_like(placed), where=lengths > 0)
        return self._nearest.search(vectors, limits, counts)

    @property
    def places(self) -> bool:
        """Whether it has a place for items that its catalogue lacks."""
        return ITEM_GRAPH in self._graphs

    def place(self, items: ItemTable) -> Vectors:
        """Returns (items, d) vectors of items that its catalogue lacks; raises what its model's `encode_items` does."""
        if not len(items):
            return np.empty((0, self.manifest.dimension), np.float32)
        return self._graphs[ITEM_GRAPH].run(self._model.encode_items(items), ["item_vector"])[0]

    def away(self, vectors: Vectors, owners: NDArray[np.int64], rows: NDArray[np.int64], weight: float) -> Vectors:
        """Returns (users, width) what `read` gave, pushed away from the rows that their owners dislike, pair by pair.

        Rocchio's formula: ``user - weight * |user| * mean(item / |item|)``.
        """
        units = self.item_vectors[rows] * self.inverse_norms[rows, None]  # (disliked, d)
        sums = np.zeros_like(vectors)
        np.add.at(sums, owners, units)
        counts = np.maximum(np.bincount(owners, minlength=len(vectors)), 1)
        lengths = np.linalg.norm(vectors, axis=1)
        pushed: Vectors = vectors - sums * (weight * lengths / counts).astype(np.float32)[:, None]
        return pushed


class JointBundle(LoadedBundle):
    """Bundle that ranks what others retrieve, and has no vectors of its own."""

    def __init__(
        self,
        manifest: Manifest,
        model: Model,
        catalogue: Catalogue,
        graphs: Mapping[str, Graph],
        retrievers: tuple[RetrievingBundle, ...],
    ) -> None:
        """Takes its parts; it keeps its retrievers, whatever else serves under their names."""
        super().__init__(manifest, model, catalogue, graphs)
        self._retrievers = retrievers

    @property
    def retrievers(self) -> tuple[RetrievingBundle, ...]:
        """The bundles that it pins."""
        return self._retrievers
