"""Loads one bundle: verifies it, opens its graphs and index, and proves that it answers before it serves."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it ships no types
from numpy.typing import NDArray

from honeyguide.sdk import API_VERSION, Arrays, HistoryBatch, Manifest, Model, PluginHost, config_from, read_manifest
from honeyguide.sdk import verify as verify_files
from honeyguide.sdk.errors import ConfigError, CorruptBundle, ForeignBundle, HoneyguideError, PluginMissing
from honeyguide.sdk.manifest import INDEX, ITEM_VECTORS, ITEMS, RANK_GRAPH, USER_GRAPH
from honeyguide.server.catalogue import Catalogue
from honeyguide.server.histories import InlineHistory, StoreNumbers, UserInput, build_histories
from honeyguide.server.runtime import Runtime

__all__ = ["LoadedBundle"]

Vectors = NDArray[np.float32]


class LoadedBundle:
    """Answers for one version of one model. Immutable, so that calls under way keep the version they began with."""

    def __init__(
        self,
        manifest: Manifest,
        model: Model,
        catalogue: Catalogue,
        item_vectors: Vectors,
        index: faiss.Index,
        user_graph: ort.InferenceSession,
        rank_graph: ort.InferenceSession | None,
    ) -> None:
        self.manifest = manifest
        self.catalogue = catalogue
        self.item_vectors = item_vectors
        """(items, d), memory-mapped."""
        self.index = index
        self.numbers = StoreNumbers(catalogue, manifest.data.event_types)
        """The event store's numbers in this bundle's rows."""
        norms = np.linalg.norm(item_vectors, axis=1)
        self.inverse_norms: Vectors = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        """(items,) 1 / length of each item vector, 0 for a vector of zeros."""
        self._model = model
        self._user_graph = user_graph
        self._rank_graph = rank_graph
        self._user_inputs = {i.name for i in user_graph.get_inputs()}
        self._rank_inputs = {i.name for i in rank_graph.get_inputs()} if rank_graph else set()

    @classmethod
    def load(cls, folder: Path, host: PluginHost, runtime: Runtime) -> LoadedBundle:
        """Loads and proves a bundle.

        Raises `CorruptBundle`, `ForeignBundle` or `PluginMissing`, naming the bundle and what to do.
        """
        label = f"{folder.parent.name}/{folder.name}"
        try:
            manifest = read_manifest(folder)
            verify_files(folder, manifest)
            bundle = cls(
                manifest,
                _model(manifest, host),
                Catalogue.read(folder / ITEMS),
                np.load(folder / ITEM_VECTORS, mmap_mode="r", allow_pickle=False),
                faiss.read_index(str(folder / INDEX), faiss.IO_FLAG_MMAP_IFC),
                runtime.session(folder / USER_GRAPH),
                runtime.session(folder / RANK_GRAPH) if manifest.ranks else None,
            )
            bundle._check()
        except HoneyguideError:
            raise
        except Exception as error:  # boundary: three libraries and a plugin, each with errors of its own
            raise CorruptBundle(
                f"{label} does not load or does not answer its warm-up batch ({type(error).__name__}): "
                "export the model again"
            ) from error
        return bundle

    @property
    def key(self) -> tuple[str, int]:
        """Name and version."""
        return self.manifest.name, self.manifest.version

    @property
    def exact(self) -> bool:
        """Whether the index finds the very best items."""
        return self.manifest.index is not None and self.manifest.index.kind == "flat"

    @property
    def provider(self) -> str:
        """Where the graphs run."""
        return str(self._user_graph.get_providers()[0])

    def encode(self, histories: HistoryBatch) -> tuple[Arrays, Vectors]:
        """Returns the graph inputs and the (batch, d) vectors of users, none of whose histories is empty."""
        arrays = self._model.encode(histories.newest(self.manifest.max_length))
        feed = {name: arrays[name] for name in self._user_inputs}
        vectors = self._user_graph.run(["user_vector"], feed)[0]
        return arrays, np.asarray(vectors, np.float32)

    def rank(self, arrays: Arrays, rows: NDArray[np.int32], retrieval_scores: Vectors) -> Vectors:
        """Returns (batch, n) scores of candidate rows; what stands where rows is -1 means nothing.

        Args:
            arrays: the first result of `encode`.
            rows: (batch, n) catalogue rows, -1 where there are fewer.
            retrieval_scores: (batch, n), 0 where rows is -1.
        """
        if self._rank_graph is None:
            raise ConfigError(f"model {self.manifest.name!r} has no ranker")
        everything = {
            **arrays,
            "candidates": rows.astype(np.int64) + 1,  # a token is row + 1, PAD is 0
            "retrieval_scores": retrieval_scores[:, :, None],
        }
        scores = self._rank_graph.run(["scores"], {name: everything[name] for name in self._rank_inputs})[0]
        return np.asarray(scores, np.float32)

    def _check(self) -> None:
        """Compares every part with the manifest and runs a batch through all of them."""
        manifest, items = self.manifest, self.manifest.data.items
        label = f"{manifest.name}/{manifest.version}"
        shapes = {
            "items": (len(self.catalogue), items),
            "item vectors": (self.item_vectors.shape, (items, manifest.dimension)),
            "index": ((self.index.ntotal, self.index.d), (items, manifest.dimension)),
        }
        for part, (found, said) in shapes.items():
            if found != said:
                raise CorruptBundle(f"{label}: {part} are {found}, the manifest says {said}; export the model again")
        if not self.catalogue.unique or self.catalogue.vocabulary() != manifest.vocabulary:
            raise CorruptBundle(f"{label}: the item ids are not those of the manifest; export the model again")
        rows = np.array([0, items - 1, 0, items // 2], np.int32)
        ids = self.catalogue.item_ids(rows)
        users = [UserInput(history=InlineHistory(part), now_ms=1) for part in (ids[:1], ids[1:])]
        arrays, vectors = self.encode(build_histories(users, None, self.numbers, self.catalogue, manifest.data).batch)
        scores, found = self.index.search(vectors, min(2, items))
        ranked = self.rank(arrays, found.astype(np.int32), scores) if self._rank_graph else scores
        if vectors.shape != (2, manifest.dimension) or ranked.shape != found.shape:
            raise CorruptBundle(f"{label}: its graphs answer with shapes {vectors.shape}, {ranked.shape}; export again")
        if not (np.isfinite(vectors).all() and np.isfinite(ranked).all()):
            raise CorruptBundle(f"{label}: its graphs answer with numbers that are not finite; train and export again")


def _model(manifest: Manifest, host: PluginHost) -> Model:
    label = f"{manifest.name}/{manifest.version}"
    if manifest.api_version != API_VERSION:
        raise ForeignBundle(
            f"{label} needs plugin API {manifest.api_version}; this server has {API_VERSION}: "
            f"{'upgrade honeyguide' if manifest.api_version > API_VERSION else 'export the model again'}"
        )
    if manifest.model_class not in host.models:
        broken = [p.name for p in host.plugins if p.error is not None]
        raise PluginMissing(
            f"{label} needs model class {manifest.model_class!r} of {manifest.plugin}, which is not installed"
            + (f" (plugins that did not load: {', '.join(broken)})" if broken else "")
            + f"; pip install {manifest.plugin.partition(' ')[0] or 'its plugin'}"
        )
    model_class = host.models[manifest.model_class]
    try:
        return model_class(config_from(model_class.Config, manifest.config), manifest.data)
    except ConfigError as error:
        raise ForeignBundle(
            f"{label} was made by {manifest.plugin}, whose options differ from the installed plugin's: {error}; "
            "install that version or export the model again"
        ) from error
    except Exception as error:  # boundary: the plugin's constructor
        raise ForeignBundle(f"{label}: plugin {manifest.model_class!r} refuses it ({type(error).__name__})") from error
