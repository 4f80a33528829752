"""Says which role each rpc needs: the one table of it, which a test holds against all services."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from honeyguide.server.settings.access import AccessSettings, RoleName

__all__ = ["OPENED", "ROLES", "ROLES_OF", "is_carried", "service_of"]

ROLES: tuple[RoleName, ...] = get_args(RoleName)

_RECOMMENDER = "/honeyguide.v1.RecommenderService"
_EVENTS = "/honeyguide.v1.EventService"
_MODELS = "/honeyguide.v1.ModelService"
_INFERENCE = "/inference.GRPCInferenceService"

ROLES_OF: Mapping[str, tuple[RoleName, ...]] = MappingProxyType(
    {
        f"{_RECOMMENDER}/Recommend": ("recommend",),
        f"{_RECOMMENDER}/RecommendStream": ("recommend",),
        f"{_RECOMMENDER}/Rank": ("recommend",),
        f"{_RECOMMENDER}/SimilarItems": ("recommend",),
        f"{_EVENTS}/RecordEvents": ("record",),
        f"{_EVENTS}/ListEvents": ("history",),
        f"{_EVENTS}/ListUsers": ("history",),
        f"{_EVENTS}/DeleteUser": ("history",),
        # Who asks for recommendations pins versions and names pipelines, and so must be able to look them up.
        f"{_MODELS}/ListModels": ("recommend", "admin"),
        f"{_MODELS}/GetModel": ("recommend", "admin"),
        f"{_MODELS}/ListPipelines": ("recommend", "admin"),
        f"{_MODELS}/ListPlugins": ("admin",),
        f"{_MODELS}/LoadModel": ("admin",),
        f"{_MODELS}/UnloadModel": ("admin",),
        f"{_MODELS}/SetTraffic": ("admin",),
        f"{_MODELS}/UpsertItems": ("admin",),
        f"{_MODELS}/DeleteItems": ("admin",),
        f"{_MODELS}/ListItems": ("admin",),
        f"{_INFERENCE}/ServerLive": ("recommend", "admin"),
        f"{_INFERENCE}/ServerReady": ("recommend", "admin"),
        f"{_INFERENCE}/ServerMetadata": ("recommend", "admin"),
        f"{_INFERENCE}/ModelReady": ("recommend", "admin"),
        f"{_INFERENCE}/ModelMetadata": ("recommend", "admin"),
        f"{_INFERENCE}/ModelConfig": ("recommend", "admin"),
        f"{_INFERENCE}/ModelStatistics": ("recommend", "admin"),
        f"{_INFERENCE}/ModelInfer": ("recommend",),
        f"{_INFERENCE}/ModelStreamInfer": ("recommend",),
        f"{_INFERENCE}/RepositoryIndex": ("admin",),
        f"{_INFERENCE}/RepositoryModelLoad": ("admin",),
        f"{_INFERENCE}/RepositoryModelUnload": ("admin",),
    }
)
"""Roles by path of the rpc, "/package.Service/Method"; any one of them will do. A path that is missing is refused."""


OPENED = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
"""Rpcs of health and reflection, which the settings open or close; a role is no matter to them."""


def is_carried(method: str, settings: AccessSettings, *, by_admin_port: bool) -> bool:
    """Says whether a port answers an rpc at all: the admin port, where there is one, or the other."""
    if service := service_of(method):
        where = getattr(settings, service)
        return where != "off" and (by_admin_port or where != "admin")
    if by_admin_port:
        return method.startswith(_MODELS) or ROLES_OF.get(method) == ("admin",)
    return settings.admin_port < 0 or ROLES_OF.get(method) != ("admin",)


def service_of(method: str) -> str:
    """Returns "health" or "reflection" for their rpcs, whose openness is a setting; "" for all others."""
    if method not in OPENED:
        return ""
    return "health" if method.startswith("/grpc.health.") else "reflection"
