"""Serves the protocol's rpcs that run on the event loop: all but ModelInfer, whose stream is answered by it."""

# ruff: noqa: ARG002, N802  # gRPC names the methods and their arguments
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import grpc

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import InvalidArgument, NotFound, NothingServed, NotOffered
from honeyguide.server.api.model_service import ModelServicer
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.oip.models import GraphModel, InferenceModel, Models
from honeyguide.server.oip.statistics import Statistics
from honeyguide.server.oip.streams import InferStreams
from honeyguide.server.oip.tensors import BYTES, MAX_ROWS, Tensor
from honeyguide.v1.model_service_pb2 import LoadModelRequest, UnloadModelRequest

__all__ = ["InferenceServicer"]

_EXTENSIONS = ("model_repository", "model_configuration", "parameters", "statistics")
_UNLOAD_DEPENDENTS = "unload_dependents"
_Context = grpc.aio.ServicerContext[Any, Any]


class InferenceServicer:
    """Servicer of `inference.GRPCInferenceService`."""

    def __init__(
        self,
        models: Models,
        statistics: Statistics,
        streams: InferStreams,
        repository: Repository,
        servicer: ModelServicer,
    ) -> None:
        """Takes what it shows; ``servicer`` loads and unloads bundles."""
        self._models, self._statistics, self._streams = models, statistics, streams
        self._repository, self._servicer = repository, servicer

    async def ServerLive(self, request: pb.ServerLiveRequest, context: _Context) -> pb.ServerLiveResponse:
        """Says yes."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: _Context) -> pb.ServerReadyResponse:
        """Says whether a model is loaded."""
        return pb.ServerReadyResponse(ready=bool(self._repository.serving))

    async def ModelReady(self, request: pb.ModelReadyRequest, context: _Context) -> pb.ModelReadyResponse:
        """Says whether a model answers."""
        try:
            self._models.find(request.name, request.version)
        except (NotFound, NothingServed):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: _Context) -> pb.ServerMetadataResponse:
        """Names the server."""
        return pb.ServerMetadataResponse(name="honeyguide", version=version("honeyguide"), extensions=_EXTENSIONS)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: _Context) -> pb.ModelMetadataResponse:
        """Describes a model."""
        model = self._models.find(request.name, request.version)
        return pb.ModelMetadataResponse(
            name=model.name,
            versions=[str(model.version)],
            platform=model.platform,
            inputs=map(_metadata, model.inputs),
            outputs=map(_metadata, model.outputs),
        )

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: _Context) -> pb.ModelConfigResponse:
        """Describes a model as Triton's configuration does."""
        return pb.ModelConfigResponse(config=_config(self._models.find(request.name, request.version)))

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: _Context
    ) -> pb.ModelStatisticsResponse:
        """Tells what models have done."""
        if not request.name:
            models = self._models.all()
        else:
            try:
                models = [self._models.find(request.name, request.version)]
            except NotFound as error:  # Triton calls it an argument here, and nowhere else
                allowed = "a model that serves: RepositoryIndex and ListPipelines list them"
                raise InvalidArgument("name, version", f"{request.name}, {request.version}", allowed) from error
        return pb.ModelStatisticsResponse(model_stats=self._statistics.of((m.name, m.version) for m in models))

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: _Context
    ) -> pb.RepositoryIndexResponse:
        """Lists the bundles."""
        _check_repository(request.repository_name)
        entries = await asyncio.to_thread(self._repository.entries)
        index = pb.RepositoryIndexResponse()
        for entry in entries:
            serves = entry.state == BundleState.SERVING
            if serves or not request.ready:
                state = "READY" if serves else "UNAVAILABLE"
                index.models.add(name=entry.name, version=str(entry.version), state=state, reason=entry.problem)
        return index

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: _Context
    ) -> pb.RepositoryModelLoadResponse:
        """Loads the newest version of a bundle."""
        _check_repository(request.repository_name)
        for name in request.parameters:
            if name == "config" or name.startswith("file:"):
                raise NotOffered(f"the parameter {name!r}: bundles are served as they were exported")
            raise InvalidArgument("parameters", name, "none")
        await self._servicer.LoadModel(LoadModelRequest(name=request.model_name), context)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: _Context
    ) -> pb.RepositoryModelUnloadResponse:
        """Stops serving a bundle."""
        _check_repository(request.repository_name)
        for name, value in request.parameters.items():
            if name != _UNLOAD_DEPENDENTS:
                raise InvalidArgument("parameters", name, _UNLOAD_DEPENDENTS)
            if value.WhichOneof("parameter_choice") != "bool_param":
                raise InvalidArgument(f"parameters[{name}]", "another type", "bool_param")
            if value.bool_param:
                raise NotOffered(f"the parameter {name!r}: what a joint bundle pins stays as long as that serves")
        await self._servicer.UnloadModel(UnloadModelRequest(name=request.model_name), context)
        return pb.RepositoryModelUnloadResponse()

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: _Context
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Answers requests in their order."""
        async with aclosing(self._streams.answer(request_iterator, context)) as responses:
            async for response in responses:
                yield response


def _check_repository(name: str) -> None:
    if name:
        raise NotOffered(f'repository_name is {name!r}; there is one repository, which "" means')


def _metadata(tensor: Tensor) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)


def _config(model: InferenceModel) -> pb.ModelConfig:
    return pb.ModelConfig(
        name=model.name,
        platform=model.platform,
        backend="onnxruntime" if isinstance(model, GraphModel) else "honeyguide",
        max_batch_size=MAX_ROWS,
        input=[
            pb.ModelInput(name=t.name, data_type=_data_type(t), dims=t.dims, optional=t.optional) for t in model.inputs
        ],
        output=[pb.ModelOutput(name=t.name, data_type=_data_type(t), dims=t.dims) for t in model.outputs],
        dynamic_batching=pb.ModelDynamicBatching(),
    )


def _data_type(tensor: Tensor) -> Any:
    word = "STRING" if tensor.datatype == BYTES else tensor.datatype
    return pb.DataType.Value(f"DATA_TYPE_{word}")
