"""Talks to a Honeyguide server: recommendations, events and models, from threads or from asyncio.

A bare `pip install honeyguide` is enough; importing this loads gRPC and nothing heavier.
"""

from honeyguide.client.aio import AsyncClient
from honeyguide.client.answers import (
    BatchAnswer,
    Event,
    History,
    Item,
    LoadedModel,
    Model,
    ModelVersion,
    Pipeline,
    Plugin,
    Ranked,
    Ranking,
    Recommendations,
    Recorded,
    RejectedEvent,
    RowFailure,
    SimilarItems,
    UserRow,
)
from honeyguide.client.errors import (
    CancelledError,
    DeadlineError,
    FailedPreconditionError,
    HoneyguideClientError,
    InputError,
    InternalError,
    InvalidArgumentError,
    ModelChangedError,
    NotFoundError,
    OverCapacityError,
    ResumeError,
    UnavailableError,
    UnimplementedError,
)
from honeyguide.client.retry import RetryPolicy
from honeyguide.client.sync import Client

__all__ = [
    "AsyncClient",
    "BatchAnswer",
    "CancelledError",
    "Client",
    "DeadlineError",
    "Event",
    "FailedPreconditionError",
    "History",
    "HoneyguideClientError",
    "InputError",
    "InternalError",
    "InvalidArgumentError",
    "Item",
    "LoadedModel",
    "Model",
    "ModelChangedError",
    "ModelVersion",
    "NotFoundError",
    "OverCapacityError",
    "Pipeline",
    "Plugin",
    "Ranked",
    "Ranking",
    "Recommendations",
    "Recorded",
    "RejectedEvent",
    "ResumeError",
    "RetryPolicy",
    "RowFailure",
    "SimilarItems",
    "UnavailableError",
    "UnimplementedError",
    "UserRow",
]
