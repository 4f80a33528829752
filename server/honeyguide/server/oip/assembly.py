"""Puts together what serves the Open Inference Protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from honeyguide.server.api.model_service import ModelServicer
from honeyguide.server.api.outcomes import Outcomes
from honeyguide.server.api.unary import UnaryMethods
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.oip.infer import InferMethod
from honeyguide.server.oip.models import Models
from honeyguide.server.oip.pipeline_work import ItemBytes, PipelineTools
from honeyguide.server.oip.service import InferenceServicer
from honeyguide.server.oip.statistics import Statistics
from honeyguide.server.oip.streams import InferStreams
from honeyguide.server.oip.wire import INFER
from honeyguide.server.oip.work import Book
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.calls import RequestIds
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.serving.shadows import Shadows
from honeyguide.server.serving.workers import Workers
from honeyguide.server.settings import Settings

if TYPE_CHECKING:
    from honeyguide.server.exposure.log import ExposureLog

__all__ = ["make_inference"]


def make_inference(
    settings: Settings,
    pipelines: Pipelines,
    repository: Repository,
    metrics: Metrics,
    workers: Workers,
    unary: UnaryMethods,
    outcomes: Outcomes,
    request_ids: RequestIds,
    servicer: ModelServicer,
    exposures: ExposureLog | None,
    shadows: Shadows,
) -> InferenceServicer:
    """Makes the servicer, and has the workers answer its unary method, too."""
    models, statistics = Models(pipelines, repository), Statistics()
    tools = PipelineTools(
        pipelines,
        metrics,
        Book(outcomes, statistics),
        ItemBytes(),
        expose=None if exposures is None else exposures.add,
        offer=shadows.offer,
    )
    unary.add(INFER, InferMethod(models, tools, workers, settings.max_queue_rows).answer)
    streams = InferStreams(workers, request_ids, settings.max_open_streams)
    return InferenceServicer(models, statistics, streams, repository, servicer)
