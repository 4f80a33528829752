"""Knows the pipelines by name, gives each its queues, and passes queries to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

from honeyguide.sdk import PluginHost, config_from
from honeyguide.sdk.errors import ConfigError, ItemNotFound, NothingServed, PipelineNotFound
from honeyguide.server.bundles.bundle import LoadedBundle
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.events.sqlite import EventStore
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.batching import Batcher
from honeyguide.server.serving.pipeline import Pipeline, PipelineOptions
from honeyguide.server.serving.queries import Answer, RankQuery, RecommendQuery, SimilarQuery
from honeyguide.server.settings import PipelineSettings, Settings

__all__ = ["Engine"]


class Engine:
    """Answers queries by pipeline name. With no pipelines configured, each model has one of its own name."""

    def __init__(
        self,
        settings: Settings,
        host: PluginHost,
        repository: Repository,
        store: EventStore | None,
        metrics: Metrics,
        executor: Executor,
        workers: int,
    ) -> None:
        """Checks the configured pipelines; must be called on the event loop.

        Raises `ConfigError` or `PluginError` naming the pipeline and what exists.
        """
        self._settings, self._repository, self._store, self._metrics = settings, repository, store, metrics
        self._executor = executor
        self._slots = asyncio.Semaphore(workers)
        self._batchers: dict[tuple[str, str], Batcher[Any, Any]] = {}
        self._configured = {
            name: self._pipeline(_options(name, given, host, repository)) for name, given in settings.pipelines.items()
        }
        self._own: dict[str, Pipeline] = {}
        wanted = settings.default_pipeline
        if wanted and wanted not in (there := list(self._configured) or repository.names):
            raise ConfigError(f"default_pipeline is {wanted!r}; there are: {', '.join(sorted(there))}")

    @property
    def default(self) -> str:
        """The pipeline that "" means; "" while there is none."""
        if self._settings.default_pipeline:
            return self._settings.default_pipeline
        names = list(self._configured) or list(self._repository.serving)  # the first loaded, whatever comes later
        return "default" if "default" in names else names[0] if names else ""

    def pipelines(self) -> list[Pipeline]:
        """Lists the pipelines, the default first, then by name."""
        if self._configured:
            found = list(self._configured.values())
        else:
            found = [self._own_pipeline(name) for name in self._repository.serving]
        default = self.default
        return sorted(found, key=lambda p: (p.options.name != default, p.options.name))

    def pipeline(self, name: str = "") -> Pipeline:
        """Returns a pipeline, "" is the default; raises `PipelineNotFound` or `NothingServed`."""
        name = name or self.default
        if name in self._configured:
            return self._configured[name]
        if not self._configured and name in self._repository.serving:
            return self._own_pipeline(name)
        there = [p.options.name for p in self.pipelines()]
        if not there:
            raise NothingServed("no model is loaded; an operator can load one with LoadModel")
        raise PipelineNotFound(f"no pipeline {name!r}; there are: {', '.join(there)}")

    def bundle(self, pipeline: Pipeline) -> LoadedBundle:
        """Returns the bundle that a pipeline's next batch is answered by; raises `NothingServed`."""
        return self._repository.get(pipeline.options.model)

    def models(self, name: str) -> tuple[tuple[str, int], ...]:
        """Returns name and version of the bundles that a pipeline's next batch is answered by."""
        pipeline = self.pipeline(name)
        return pipeline.models(self.bundle(pipeline))

    async def forget(self, user_id: str) -> None:
        """Drops what is kept of a user, who was deleted."""
        # Behind the batch that runs: it may have read the events before they went, and keep what they came to.
        await asyncio.get_running_loop().run_in_executor(self._executor, self._repository.forget, user_id)

    def needed_by(self, model: str) -> list[str]:
        """Returns the configured pipelines that need a model."""
        return [name for name, pipeline in self._configured.items() if pipeline.options.model == model]

    async def recommend(
        self, pipeline: str, queries: Sequence[RecommendQuery], deadline: float, *, patient: bool = False
    ) -> list[Answer]:
        """Answers queries, all from the same bundle; see `Batcher.submit`."""
        found = self.pipeline(pipeline)
        answers: list[Answer] = await self._batcher(found, "recommend", found.recommend).submit(
            queries, deadline, patient=patient
        )
        return answers

    async def rank(self, pipeline: str, query: RankQuery, deadline: float) -> Answer:
        """Scores the caller's candidates."""
        found = self.pipeline(pipeline)
        answers: list[Answer] = await self._batcher(found, "rank", found.rank).submit([query], deadline)
        return answers[0]

    async def similar(self, pipeline: str, query: SimilarQuery, deadline: float) -> Answer:
        """Finds an item's neighbours; raises `ItemNotFound`."""
        found = self.pipeline(pipeline)
        answers = await self._batcher(found, "similar", found.similar).submit([query], deadline)
        if isinstance(answers[0], ItemNotFound):
            raise answers[0]
        answer: Answer = answers[0]
        return answer

    async def close(self) -> None:
        """Lets the batches under way finish and refuses what waits."""
        await asyncio.gather(*(batcher.close() for batcher in self._batchers.values()))

    def _own_pipeline(self, model: str) -> Pipeline:
        if model not in self._own:
            self._own[model] = self._pipeline(PipelineOptions(model, model))
        return self._own[model]

    def _pipeline(self, options: PipelineOptions) -> Pipeline:
        bundle = partial(self._repository.get, options.model)
        return Pipeline(options, bundle, self._store, self._metrics, self._settings.max_batch_rows)

    def _batcher(
        self, pipeline: Pipeline, kind: str, compute: Callable[[Sequence[Any]], list[Any]]
    ) -> Batcher[Any, Any]:
        """Returns the queue of one pipeline and one kind of query."""
        key = (pipeline.options.name, kind)
        if key not in self._batchers:
            rows, waiting = self._metrics.batch_rows.labels(key[0]), self._metrics.queue_rows.labels(key[0])

            def observe(batch: int, behind: int) -> None:
                rows.observe(batch)
                waiting.set(behind)

            self._batchers[key] = Batcher(
                compute,
                self._executor,
                self._slots,
                max_batch_rows=self._settings.max_batch_rows,
                max_queue_rows=self._settings.max_queue_rows,
                observe=observe,
            )
        return self._batchers[key]


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
    return PipelineOptions(name, given.model, given.rank, given.candidates, given.drop_seen, tuple(rules))
