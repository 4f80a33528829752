"""Says in a few lines what a server serves, where, and by which provider."""

from __future__ import annotations

from honeyguide.answers.plain_text import plain_line
from honeyguide.sdk.errors import NothingServed
from honeyguide.server.bundles.repository import BundleState, Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.doors import Doors
from honeyguide.server.events.opening import describe_store
from honeyguide.server.ops.banner import describe_addresses, describe_pipeline
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.settings import Settings
from honeyguide.server.transport.choice import Choice
from honeyguide.server.transport.ports import address_of

__all__ = ["summarise"]

_MOST_FAILED = 20
"""Lines about bundles that do not serve."""


def summarise(
    settings: Settings, repository: Repository, pipelines: Pipelines, runtime: Runtime, choice: Choice, doors: Doors
) -> list[str]:
    """Returns a line for each pipeline, for what does not serve, and for the addresses."""
    lines = [_pipeline(pipelines, name) for name in (pipeline.options.name for pipeline in pipelines.all())]
    failed = [entry for entry in repository.entries() if entry.state == BundleState.FAILED]
    lines += [f"not served: {entry.problem}" for entry in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        lines.append(f"not served: {len(failed) - _MOST_FAILED:,} more; `honeyguide models` lists them")

    def shown(host: str, port: int) -> str:
        return address_of(host, port) if port >= 0 else ""

    lines.append(
        describe_addresses(
            address_of(settings.host, doors.port),
            shown(settings.metrics_host, doors.metrics_port),
            events=describe_store(settings.events),
            workers=runtime.workers,
            threads=runtime.threads,
            transport="native" if choice.native else "grpcio",
            why=choice.why,
            tls=settings.tls_certificate is not None,
            admin_address=shown(settings.admin_host, doors.admin_port),
            web_address=shown(settings.web_host, doors.web_port),
        )
    )
    return list(map(plain_line, lines))  # names and words of bundles stand in them


def _pipeline(pipelines: Pipelines, name: str) -> str:
    pipeline = pipelines.get(name)
    try:
        plan = pipeline.plan()
    except NothingServed:
        return f"pipeline {name}: model {pipeline.options.model} is not loaded"
    manifests = [bundle.manifest for bundle in plan.bundles]
    is_default = name == pipelines.default
    return describe_pipeline(name, plan.stages, manifests, plan.bundle.provider, is_default=is_default)
