"""Serves ModelService: lists, loads and unloads bundles; lists pipelines and plugins; adds items."""

# ruff: noqa: ARG002, N802  # gRPC names the methods and their arguments
from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from time import monotonic
from typing import Any

import grpc

from honeyguide.sdk.errors import InvalidArgument, ModelInUse, NothingServed
from honeyguide.sdk.host import PluginHost, PluginInfo
from honeyguide.sdk.manifest import Manifest
from honeyguide.server.api.items import item_ids_of, items_of, new_item
from honeyguide.server.api.paging import page
from honeyguide.server.api.peers import Change, Peers, to_its_end
from honeyguide.server.bundles.folder import Oddity
from honeyguide.server.bundles.repository import BundleEntry, Repository
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.serving.arms import Shares
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.v1 import model_service_pb2 as pb
from honeyguide.v1.history_pb2 import ModelVersion
from honeyguide.v1.model_service_pb2_grpc import ModelServiceServicer

__all__ = ["ModelServicer"]

_DIGEST = re.compile("[0-9a-f]{64}")
_ITEMS_CHANGED: Change = {"items": 1, "subject": "items"}
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
        cold_items: ColdItems,
    ) -> None:
        """Takes what it shows; ``changed`` is awaited after a model was loaded or unloaded, and peers are told."""
        self._repository, self._pipelines, self._host, self._changed = repository, pipelines, host, changed
        self._peers, self._cold_items = peers, cold_items

    async def ListModels(self, request: pb.ListModelsRequest, context: _Context) -> pb.ListModelsResponse:
        """Lists the bundles."""
        models, token = await asyncio.to_thread(self._models, request)
        return pb.ListModelsResponse(models=models, next_page_token=token)

    async def GetModel(self, request: pb.GetModelRequest, context: _Context) -> pb.GetModelResponse:
        """Describes one bundle."""
        _check(request.version)
        entry = await asyncio.to_thread(self._repository.entry, request.name, request.version)
        return pb.GetModelResponse(model=_model(entry))

    @to_its_end
    async def LoadModel(self, request: pb.LoadModelRequest, context: _Context) -> pb.LoadModelResponse:
        """Loads a bundle and swaps it in."""
        _check(request.version)
        if request.digest and not _DIGEST.fullmatch(request.digest):
            raise InvalidArgument("digest", request.digest, "64 hexadecimal digits, in lower case")
        async with self._peers.turn():
            begun, load = monotonic(), self._repository.load
            bundle, previous = await asyncio.to_thread(load, request.name, request.version, request.digest)
            await self._changed()
            name, version = bundle.key
            same: Change = {"load": name, "version": version, "digest": bundle.manifest.digest}
            await self._peers.tell({**same, "subject": f"model {name}", "seconds": _seconds_since(begun)})
        entry = await asyncio.to_thread(self._repository.entry, *bundle.key)
        return pb.LoadModelResponse(model=_model(entry), previous_version=previous)

    @to_its_end
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
        everything = self._pipelines.all()
        shown, token = page(everything, "pipelines", request.page_size, request.page_token, self._pipeline)
        return pb.ListPipelinesResponse(pipelines=shown, next_page_token=token)

    @to_its_end
    async def SetTraffic(self, request: pb.SetTrafficRequest, context: _Context) -> pb.SetTrafficResponse:
        """Sets who answers for a pipeline, or goes back to what held before."""
        name, traffic = request.pipeline or self._pipelines.default, self._pipelines.traffic
        if request.previous == request.HasField("traffic"):
            given = "both" if request.previous else "neither"
            raise InvalidArgument("traffic, previous", given, "one of them")
        async with self._peers.turn():
            if request.previous:
                before = await asyncio.to_thread(traffic.roll_back, name)
            else:
                before = await asyncio.to_thread(traffic.change, name, _shares(request.traffic))
            await self._peers.tell({"traffic": traffic.state, "subject": "traffic"})
        return pb.SetTrafficResponse(traffic=_traffic(traffic.shares(name)), previous=_traffic(before))

    async def ListPlugins(self, request: pb.ListPluginsRequest, context: _Context) -> pb.ListPluginsResponse:
        """Lists the plugins, broken ones too."""
        shown, token = page(self._host.plugins, "plugins", request.page_size, request.page_token, _plugin)
        return pb.ListPluginsResponse(plugins=shown, next_page_token=token)

    @to_its_end
    async def UpsertItems(self, request: pb.UpsertItemsRequest, context: _Context) -> pb.UpsertItemsResponse:
        """Adds items, or replaces those that were added."""
        items = items_of(request)
        async with self._peers.turn():
            begun = monotonic()
            done = await asyncio.to_thread(self._cold_items.upsert, items)
            await self._peers.tell({**_ITEMS_CHANGED, "seconds": _seconds_since(begun)})
        return pb.UpsertItemsResponse(
            added_count=done.added,
            replaced_count=len(items) - done.added,
            models=[_version(bundle.key) for bundle in done.bundles],
            known_item_ids=done.known,
            unknown_columns=done.unknown_columns,
            failures=[
                pb.PlacingFailure(model=_version(key), problem=problem) for key, problem in done.failures.items()
            ],
        )

    @to_its_end
    async def DeleteItems(self, request: pb.DeleteItemsRequest, context: _Context) -> pb.DeleteItemsResponse:
        """Takes out items that were added."""
        item_ids = item_ids_of(request)
        async with self._peers.turn():
            missing = await asyncio.to_thread(self._cold_items.delete, item_ids)
            await self._peers.tell(_ITEMS_CHANGED)
        return pb.DeleteItemsResponse(deleted_count=len(item_ids) - len(missing), missing_item_ids=missing)

    async def ListItems(self, request: pb.ListItemsRequest, context: _Context) -> pb.ListItemsResponse:
        """Lists the items that were added, the newest first."""
        items = await asyncio.to_thread(self._cold_items.listed)  # which may have to read them
        shown, token = page(items, "items", request.page_size, request.page_token, new_item)
        return pb.ListItemsResponse(items=shown, next_page_token=token)

    def _models(self, request: pb.ListModelsRequest) -> tuple[list[pb.Model], str]:
        def described(place: tuple[str, int] | Oddity) -> pb.Model:
            return _model(self._repository.describe(place))

        return page(self._repository.places(), "models", request.page_size, request.page_token, described)

    def _pipeline(self, pipeline: ServedPipeline) -> pb.Pipeline:
        options = pipeline.options
        message = pb.Pipeline(
            name=options.name,
            is_default=options.name == self._pipelines.default,
            rules=[rule.name for rule in options.rules],
            traffic=_traffic(self._pipelines.traffic.shares(options.name)),
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


def _seconds_since(begun: float) -> int:
    return math.ceil(monotonic() - begun)


def _shares(message: pb.Traffic) -> Shares:
    arms = {arm.pipeline: arm.percent for arm in message.arms}
    if len(arms) < len(message.arms):
        raise InvalidArgument("traffic.arms", ", ".join(arm.pipeline for arm in message.arms), "each pipeline once")
    return Shares(arms, tuple(message.shadows))


def _traffic(shares: Shares) -> pb.Traffic:
    arms = [pb.Arm(pipeline=name, percent=percent) for name, percent in shares.arms.items()]
    return pb.Traffic(arms=arms, shadows=shares.shadows)


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
        signer=entry.signer,
        memory_bytes=entry.memory_bytes,
        load_time_ms=entry.load_time_ms,
        last_error=entry.last_error,
    )
    if entry.manifest is None:
        return message
    try:
        message.MergeFrom(_described(entry.manifest))
    except (ValueError, TypeError, OverflowError):  # figures beyond what a field holds
        message.state = pb.MODEL_STATE_FAILED
        message.problem = f"{entry.name}/{entry.version}: its manifest holds wrong values; export the model again"
        message.last_error = message.problem
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
        precision=manifest.precision,
        digest=manifest.digest,
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
