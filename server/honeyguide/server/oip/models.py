"""Finds the models of the protocol by name: each pipeline, and the graphs of each bundle that serves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

import numpy as np

from honeyguide.sdk.errors import InvalidArgument, ModelNotFound, NothingServed, PipelineNotFound
from honeyguide.sdk.manifest import Manifest
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.oip.tensors import BYTES, DATATYPES, Tensor
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.plan import Plan

__all__ = ["GraphModel", "InferenceModel", "Models", "PipelineModel", "token_ranges"]

MAX_EVENTS, MAX_CANDIDATES = 4096, 1000
_PIPELINE_INPUTS = (
    Tensor("history", BYTES, (-1,), MAX_EVENTS),
    Tensor("k", "INT32", (1,), optional=True, single=True),
    Tensor("user_id", BYTES, (1,), optional=True),
)
_PIPELINE_OUTPUTS = (Tensor("ids", BYTES, (-1,)), Tensor("scores", "FP32", (-1,)))
_VERSION = re.compile(r"0*[1-9][0-9]{0,17}")
_DATATYPE_OF = {np.dtype(dtype): name for name, dtype in DATATYPES.items()}


@dataclass(frozen=True, slots=True)
class InferenceModel:
    """Model as the protocol knows it, with what answers for it now."""

    name: str
    version: int
    platform: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


@dataclass(frozen=True, slots=True)
class PipelineModel(InferenceModel):
    """Pipeline: from histories to items."""

    pipeline: ServedPipeline
    plan: Plan


@dataclass(frozen=True, slots=True)
class GraphModel(InferenceModel):
    """Graph of a bundle: from encoded users to vectors, or to scores of candidates."""

    bundle: LoadedBundle
    graph: Literal["user", "rank"]


class Models:
    """All models of one server, as they are at the moment of asking."""

    def __init__(self, pipelines: Pipelines, repository: Repository) -> None:
        self._pipelines, self._repository = pipelines, repository

    def find(self, name: str, version: str = "") -> InferenceModel:
        """Returns a model; ``version`` "": whichever serves.

        Raises `ModelNotFound` naming what exists, `NothingServed` for a pipeline whose bundle is not loaded, or
        `InvalidArgument` for a version that is no number.
        """
        wanted = _number(version)
        model = self._find(name)
        if wanted not in (0, model.version):
            text = f"no version {wanted} of model {name!r}; version {model.version} serves"
            raise ModelNotFound(text, "model_version", wanted, (model.version,))
        return model

    def all(self) -> list[InferenceModel]:
        """Lists the models that can answer: the pipelines, the default first, then the graphs by name."""
        models: list[InferenceModel] = []
        for pipeline in self._pipelines.all():
            with suppress(NothingServed):
                models.append(_of_pipeline(pipeline))
        bundles = self._repository.serving
        return models + [graph for name in sorted(bundles) for graph in _graphs(bundles[name])]

    def _find(self, name: str) -> InferenceModel:
        bundle_name, dot, _ = name.partition(".")  # no name of a pipeline or a bundle has one
        if dot:
            bundle = self._repository.serving.get(bundle_name)
            for graph in () if bundle is None else _graphs(bundle):
                if graph.name == name:
                    return graph
        elif name:
            with suppress(PipelineNotFound):
                return _of_pipeline(self._pipelines.get(name))
        there = [model.name for model in self.all()]
        raise ModelNotFound(f"no model {name!r}; there are: {', '.join(there) or 'none'}", "model_name", name, there)


def _of_pipeline(pipeline: ServedPipeline) -> PipelineModel:
    plan, name = pipeline.plan(), pipeline.options.name
    return PipelineModel(name, plan.bundle.key[1], "honeyguide", _PIPELINE_INPUTS, _PIPELINE_OUTPUTS, pipeline, plan)


def _graphs(bundle: LoadedBundle) -> Iterator[GraphModel]:
    """Lists the graphs of a bundle whose inputs can be checked."""
    manifest = bundle.manifest
    name, version = bundle.key
    inputs = _inputs(manifest)
    if inputs is None:
        return
    if isinstance(bundle, RetrievingBundle):
        outputs = (Tensor(manifest.user_output, "FP32", (manifest.user_width,)),)
        yield GraphModel(f"{name}.user", version, "onnxruntime_onnx", inputs, outputs, bundle, "user")
    if manifest.ranks:
        sources = max(len(manifest.retrievers), 1)
        candidates = (
            Tensor("candidates", "INT64", (-1,), MAX_CANDIDATES),
            Tensor("retrieval_scores", "FP32", (-1, sources), MAX_CANDIDATES),
        )
        scores = (Tensor("scores", "FP32", (-1,)),)
        yield GraphModel(f"{name}.rank", version, "onnxruntime_onnx", (*inputs, *candidates), scores, bundle, "rank")


def _inputs(manifest: Manifest) -> tuple[Tensor, ...] | None:
    """Returns a user graph's inputs; None: there is one that is no tensor of the protocol or has an unknown range."""
    ranges, tensors = token_ranges(manifest), []
    for spec in manifest.inputs:
        dtype = np.dtype(spec.dtype)
        if dtype not in _DATATYPE_OF or (dtype.kind in "iu" and spec.name not in ranges) or spec.axes[:1] != ("batch",):
            return None
        dims = tuple(-1 if isinstance(axis, str) else axis for axis in spec.axes[1:])
        tensors.append(Tensor(spec.name, _DATATYPE_OF[dtype], dims, manifest.max_length if -1 in dims else 0))
    return tuple(tensors)


def token_ranges(manifest: Manifest) -> Mapping[str, int]:
    """Returns the largest number that an input of whole numbers may hold, by its name; each begins at 0."""
    return {"tokens": manifest.data.items, "types": len(manifest.data.event_types)}


def _number(version: str) -> int:
    if not version:
        return 0
    if not _VERSION.fullmatch(version):
        raise InvalidArgument("model_version", version, 'a whole number of 1 or more, or "" for whichever serves')
    return int(version)
