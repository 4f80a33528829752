"""Knows the pipelines of a repository by name: those configured, or one for each model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import structlog

from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import BundleError, ConfigError, ModelNotFound, NothingServed, PipelineNotFound
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.cold_items.placing import ColdItems
from honeyguide.server.events.store import EventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.arms import Shares
from honeyguide.server.serving.circuit import CircuitOptions
from honeyguide.server.serving.pipeline import ServedPipeline
from honeyguide.server.serving.plan import PipelineOptions
from honeyguide.server.serving.traffic import PipelineTraffic
from honeyguide.server.settings import PipelineSettings, Settings

__all__ = ["Pipelines"]


class Pipelines:
    """Pipelines of one repository by name. With none configured, each model has one of its own name."""

    def __init__(
        self,
        settings: Settings,
        host: PluginHost,
        repository: Repository,
        store: EventStore | None,
        metrics: Metrics,
        traffic_file: Path | None = None,
        cold_items: ColdItems | None = None,
    ) -> None:
        """Checks the configured pipelines.

        Args:
            settings: name them.
            host: the plugins.
            repository: what they answer with.
            store: the stored events; None: inline histories alone.
            metrics: where they are measured.
            traffic_file: where changes of traffic are kept; None: nowhere.
            cold_items: the items that were added; None: there are none.

        Raises `ConfigError` or `PluginError` naming the pipeline and what exists.
        """
        self._settings, self._repository, self._store, self._metrics = settings, repository, store, metrics
        self._cold_items = cold_items
        self._pinned: list[LoadedBundle] = []
        self._configured = {
            name: self._pipeline(_options(name, given, host, repository), given.version)
            for name, given in settings.pipelines.items()
        }
        for pipeline in self._configured.values():
            _check_rules(pipeline)
        shares = {name: Shares(given.arms, given.shadows) for name, given in settings.pipelines.items()}
        self.traffic = PipelineTraffic(list(self._configured), shares, traffic_file)
        """Who answers for whom."""
        self._own: dict[str, ServedPipeline] = {}
        default = settings.default_pipeline
        if default and default not in (there := list(self._configured) or repository.names):
            raise ConfigError(f"default_pipeline is {default!r}; there are: {', '.join(sorted(there))}")

    @property
    def default(self) -> str:
        """The pipeline that "" means; "" while there is none."""
        if self._settings.default_pipeline:
            return self._settings.default_pipeline
        names = list(self._configured) or list(self._repository.serving)  # the first loaded, whatever comes later
        return "default" if "default" in names else names[0] if names else ""

    def all(self) -> list[ServedPipeline]:
        """Lists the pipelines, the default first, then by name."""
        if self._configured:
            pipelines = list(self._configured.values())
        else:
            pipelines = [self._own_pipeline(name) for name in self._repository.serving]
        default = self.default
        return sorted(pipelines, key=lambda p: (p.options.name != default, p.options.name))

    def get(self, name: str = "") -> ServedPipeline:
        """Returns a pipeline, "" is the default; raises `PipelineNotFound` or `NothingServed`."""
        name = name or self.default
        if name in self._configured:
            return self._configured[name]
        if not self._configured and name in self._repository.serving:
            return self._own_pipeline(name)
        there = [p.options.name for p in self.all()]
        if not there:
            raise NothingServed("no model is loaded; an operator can load one with LoadModel")
        raise PipelineNotFound(f"no pipeline {name!r}; there are: {', '.join(there)}", "pipeline", name, there)

    def forget(self, user_id: str) -> None:
        """Drops what the bundles keep of a user."""
        self._repository.forget(user_id)
        for bundle in self._pinned:
            for retriever in bundle.retrievers:
                retriever.cache.forget(user_id)

    def needed_by(self, model: str) -> list[str]:
        """Returns the configured pipelines that need the version of a model that serves."""
        given = self._settings.pipelines
        return [name for name in self._configured if given[name].model == model and not given[name].version]

    def answering(self, name: str, key: str) -> tuple[ServedPipeline, str]:
        """Returns the pipeline that answers for another, or for itself, and its arm; "": none was drawn.

        Args:
            name: "" is the default.
            key: of whom it is asked: the user's id, or the request's.
        """
        pipeline = self.get(name)
        arms = self.traffic.arms.get(pipeline.options.name)
        if arms is None or not arms.splits:
            return pipeline, ""
        drawn = self._configured[arms.draw(key)]
        answers = drawn if drawn.serves else pipeline
        return answers, answers.options.name

    def _own_pipeline(self, model: str) -> ServedPipeline:
        if model not in self._own:
            self._own[model] = self._pipeline(PipelineOptions(model, model), 0)
        return self._own[model]

    def _pipeline(self, options: PipelineOptions, version: int) -> ServedPipeline:
        bundle = self._pin(options, version) if version else partial(self._repository.get, options.model)
        return ServedPipeline(
            options, bundle, self._store, self._metrics, self._settings.max_batch_rows, self._cold_items
        )

    def _pin(self, options: PipelineOptions, version: int) -> Callable[[], LoadedBundle]:
        """Loads one version for a pipeline alone; where that fails, the others start, and its callers are told."""
        try:
            bundle = self._repository.pin(options.model, version)
        except (BundleError, ModelNotFound) as error:
            problem = f"pipeline {options.name!r} needs version {version} of model {options.model!r}: {error.message}"
            structlog.get_logger("honeyguide.pipelines").error("pipeline cannot answer", problem=problem)
            return partial(_fail, problem)
        self._pinned.append(bundle)
        return lambda: bundle


def _fail(problem: str) -> LoadedBundle:
    raise NothingServed(problem)


def _check_rules(pipeline: ServedPipeline) -> None:
    """Raises `ConfigError` where a rule compares item vectors and the model that serves now has none."""
    rule = next((rule for rule in pipeline.options.rules if rule.needs_vectors), None)
    if rule is None or not pipeline.serves:
        return
    retriever = pipeline.plan().retrievers[0]
    if not retriever.item_vectors.shape[1]:
        raise ConfigError(
            f"pipelines.{pipeline.options.name}, rule {rule.name!r}: it compares item vectors, and model "
            f"{retriever.key[0]!r} has none, since it scores the whole catalogue; leave the rule out, or take a model "
            "with vectors"
        )


def _options(name: str, given: PipelineSettings, host: PluginHost, repository: Repository) -> PipelineOptions:
    if given.model not in (there := repository.names):
        raise ConfigError(
            f"pipelines.{name}.model is {given.model!r}, which the repository lacks; there are: {', '.join(there)}"
        )
    rules = []
    for rule in given.rules:
        rule_class = host.rule(rule.name)
        try:
            rules.append(rule_class(config_from(rule_class.Config, rule.options)))
        except ConfigError as error:
            raise ConfigError(f"pipelines.{name}, rule {rule.name!r}: {error.message}") from error
    return PipelineOptions(
        name=name,
        model=given.model,
        rank=given.rank,
        candidates=given.candidates,
        drop_seen=given.drop_seen,
        rules=tuple(rules),
        budgets={
            stage: ms / 1000
            for stage, ms in (("RETRIEVE", given.retrieve_budget_ms), ("RANK", given.rank_budget_ms))
            if ms
        },
        circuit=CircuitOptions(given.circuit_failures, given.circuit_window_seconds, given.circuit_rest_seconds),
        negative_types=given.negative_types,
        negative_weight=given.negative_weight,
        explore=given.explore,
    )
