"""Serves ModelService: lists, loads and unloads bundles; lists pipelines and plugins."""

# ruff: noqa: ARG002, N802  # gRPC names the methods and their arguments
from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import grpc

from honeyguide.sdk.errors import InvalidArgument, ModelInUse, NothingServed
from honeyguide.sdk.host import PluginHost, PluginInfo
from honeyguide.sdk.manifest import Manifest
from honeyguide.server.api.paging import page
from honeyguide.server.api.peers import Peers
from honeyguide.server.bundles.repository import BundleEntry, Repository
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.v1 import model_service_pb2 as pb
from honeyguide.v1.history_pb2 import ModelVersion
from honeyguide.v1.model_service_pb2_grpc import ModelServiceServicer

__all__ = ["ModelServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(ModelServiceServicer):
    """Shows and changes what a repository serves. Whatever touches the disk runs in a thread."""

    def __init__(
        self,
        repository: Repository,
        pipelines: Pipelines,
        host: PluginHost,
        changed: Callable[[], Awaitable[None]],
        peers: Peers,
    ) -> None:
        """Takes what it shows; ``changed`` is awaited after a model was loaded or unloaded, and peers are told."""
        self._repository, self._pipelines, self._host, self._changed = repository, pipelines, host, changed
        self._peers = peers

    async def ListModels(self, request: pb.ListModelsRequest, context: _Context) -> pb.ListModelsResponse:
        """Lists the bundles."""
        entries = await asyncio.to_thread(self._repository.entries)
        shown, token = page(entries, "models", request.page_size, request.page_token)
        return pb.ListModelsResponse(models=map(_model, shown), next_page_token=token)

    async def GetModel(self, request: pb.GetModelRequest, context: _Context) -> pb.GetModelResponse:
        """Describes one bundle."""
        _check(request.version)
        entry = await asyncio.to_thread(self._repository.entry, request.name, request.version)
        return pb.GetModelResponse(model=_model(entry))

    async def LoadModel(self, request: pb.LoadModelRequest, context: _Context) -> pb.LoadModelResponse:
        """Loads a bundle and swaps it in."""
        _check(request.version)
        async with self._peers.turn():
            bundle, previous = await asyncio.to_thread(self._repository.load, request.name, request.version)
            await self._changed()
            name, version = bundle.key
            await self._peers.tell({"load": name, "version": version, "subject": f"model {name}"})
        entry = await asyncio.to_thread(self._repository.entry, *bundle.key)
        return pb.LoadModelResponse(model=_model(entry), previous_version=previous)

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: _Context) -> pb.UnloadModelResponse:
        """Stops serving a model."""
        if needed := self._pipelines.needed_by(request.name):
            raise ModelInUse(
                f"model {request.name!r} is needed by pipeline {', '.join(needed)}: take it out of the settings first"
            )
        async with self._peers.turn():
            version = await asyncio.to_thread(self._repository.unload, request.name)  # waits for a load under way
            await self._changed()
            await self._peers.tell({"unload": request.name, "subject": f"model {request.name}"})
        return pb.UnloadModelResponse(version=version)

    async def ListPipelines(self, request: pb.ListPipelinesRequest, context: _Context) -> pb.ListPipelinesResponse:
        """Lists the pipelines, the default first."""
        shown, token = page(self._pipelines.all(), "pipelines", request.page_size, request.page_token)
        return pb.ListPipelinesResponse(pipelines=map(self._pipeline, shown), next_page_token=token)

    async def ListPlugins(self, request: pb.ListPluginsRequest, context: _Context) -> pb.ListPluginsResponse:
        """Lists the plugins, broken ones too."""
        shown, token = page(self._host.plugins, "plugins", request.page_size, request.page_token)
        return pb.ListPluginsResponse(plugins=map(_plugin, shown), next_page_token=token)

    def _pipeline(self, pipeline: ServedPipeline) -> pb.Pipeline:
        options = pipeline.options
        message = pb.Pipeline(
            name=options.name,
            is_default=options.name == self._pipelines.default,
            rules=[rule.name for rule in options.rules],
        )
        try:
            plan = pipeline.plan()
        except NothingServed as error:
            message.problem = error.message
            return message
        message.retrievers.extend(_version(retriever.key) for retriever in plan.retrievers)
        message.drop_seen = plan.drop_seen
        if plan.ranker is not None:
            message.ranker.CopyFrom(_version(plan.ranker.key))
        return message


def _check(version: int) -> None:
    if version < 0:
        raise InvalidArgument("version", version, "1 or more, or 0")


def _version(key: tuple[str, int]) -> ModelVersion:
    return ModelVersion(name=key[0], version=key[1])


def _model(entry: BundleEntry) -> pb.Model:
    message = pb.Model(
        name=entry.name,
        version=entry.version,
        state=int(entry.state),  # type: ignore[arg-type]  # BundleState holds the proto's numbers
        problem=entry.problem,
        provider=entry.provider,
    )
    if entry.manifest is None:
        return message
    try:
        message.MergeFrom(_described(entry.manifest))
    except (ValueError, TypeError):  # the manifest of a bundle that was never loaded may hold anything
        message.state = pb.MODEL_STATE_FAILED
        message.problem = f"{entry.name}/{entry.version}: its manifest holds wrong values; export the model again"
    return message


def _described(manifest: Manifest) -> pb.Model:
    return pb.Model(
        model_class=manifest.model_class,
        plugin=manifest.plugin,
        dimension=manifest.dimension,
        item_count=manifest.data.items,
        has_ranker=manifest.ranks,
        max_length=manifest.max_length,
        index_kind=manifest.index.kind if manifest.index else "",
        index_recall=manifest.index.recall_at_100 if manifest.index else 0.0,
        metrics=manifest.metrics,
        create_time_ms=int(datetime.fromisoformat(manifest.created).timestamp() * 1000),
        data_fingerprint=manifest.data.fingerprint,
        retrievers=map(_version, manifest.retrievers),
    )


def _plugin(info: PluginInfo) -> pb.Plugin:
    return pb.Plugin(
        name=info.name,
        distribution=info.distribution,
        version=info.version,
        models=info.models,
        rules=info.rules,
        error_class=info.error_class,
        error_message=info.error_message,
    )
