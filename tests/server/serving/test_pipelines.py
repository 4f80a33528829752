"""Pipelines are known by name: those that are configured, or one for each model that serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk.errors import ConfigError, NothingServed, PipelineNotFound
from honeyguide.sdk.host import PluginHost
from honeyguide.server.bundles.repository import Repository
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.serving.pipelines import Pipelines
from honeyguide.server.settings import make_settings


@pytest.fixture
def served(shared_repository: Path, host: PluginHost) -> Repository:
    repository = Repository(shared_repository, host, Runtime(1, 1))
    repository.load_newest()
    return repository


def pipelines(served: Repository, host: PluginHost, **settings: Any) -> Pipelines:
    return Pipelines(make_settings(**settings), host, served, None, Metrics())


def test_without_settings_each_model_that_serves_has_its_own(served: Repository, host: PluginHost) -> None:
    own = pipelines(served, host)
    assert [pipeline.options.name for pipeline in own.all()] == ["tiny", "tiny_ranker"]
    assert own.get() is own.get("tiny")
    assert own.get("tiny_ranker").plan().models == (("tiny_ranker", 1),)
    served.unload("tiny")
    assert own.default == "tiny_ranker"
    with pytest.raises(PipelineNotFound, match="no pipeline 'tiny'; there are: tiny_ranker"):
        own.get("tiny")
    served.unload("tiny_ranker")
    assert (own.default, own.all()) == ("", [])
    with pytest.raises(NothingServed, match="no model is loaded"):
        own.get()


def test_configured_ones_stand_alone_and_say_what_they_need(served: Repository, host: PluginHost) -> None:
    settings = {"b": {"model": "tiny"}, "a": {"model": "tiny", "rank": False}, "c": {"model": "tiny_ranker"}}
    configured = pipelines(served, host, pipelines=settings, default_pipeline="c", max_batch_rows=7)
    assert [pipeline.options.name for pipeline in configured.all()] == ["c", "a", "b"]
    assert configured.get().options.name == "c"
    assert configured.get().max_batch_rows == 7
    assert configured.needed_by("tiny") == ["b", "a"]
    with pytest.raises(PipelineNotFound):
        configured.get("tiny")
    served.unload("tiny")
    with pytest.raises(NothingServed, match="no version of model 'tiny'"):
        configured.get("a").plan()


def test_one_called_default_is_the_default(served: Repository, host: PluginHost) -> None:
    settings = {"a": {"model": "tiny"}, "default": {"model": "tiny_ranker"}}
    assert pipelines(served, host, pipelines=settings).default == "default"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"pipelines": {"p": {"model": "huge"}}}, "pipelines.p.model is 'huge'.*there are: tiny, tiny_ranker"),
        ({"default_pipeline": "huge"}, "default_pipeline is 'huge'; there are: tiny, tiny_ranker"),
    ],
)
def test_what_names_nothing_is_refused(
    served: Repository, host: PluginHost, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        pipelines(served, host, **settings)
