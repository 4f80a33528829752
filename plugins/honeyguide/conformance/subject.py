"""Builds the model under test: small, over small data, and what is made of it once for all checks."""

from __future__ import annotations

import copy
import dataclasses
import tempfile
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from honeyguide.conformance.data import ITEMS, PLAIN, RICH, bundle_items, item_table, walks
from honeyguide.conformance.fitting import fit_for_checkerboard
from honeyguide.conformance.stand_in import host_with, stand_ins
from honeyguide.sdk import Arrays, DataSpec, HistoryBatch, Model
from honeyguide.sdk.capabilities import capabilities_of, ranking_parameters
from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError, ExportError, PluginError
from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import Manifest

if TYPE_CHECKING:
    from torch import nn

__all__ = ["OBSERVED", "Subject", "check_loaded", "small_config"]

OBSERVED = (3, 9, 5, 8)
"""Events of each made-up user whom a network observes."""

_WIDEST = 16
_MOST = {"max_length": 8, "events": 2, "sources": 2, "users": 256, "listed": 256}
_NOISE = 0.1  # small beside 1, where gains start
_LOUD = 50.0  # what matrices are multiplied by: scores between two of them become thousands


def small_config(cls: type[Model]) -> Any:
    """Returns a model's default options with every integer lowered to 16 or, by its name, to what `_MOST` says.

    Widths, neighbours and the like shrink, so that a check takes seconds. Where the model refuses, its defaults stand.
    """
    config = cls.Config()
    given = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    small = {name: min(value, _MOST.get(name, _WIDEST)) for name, value in given.items() if type(value) is int}
    try:
        return config_from(cls.Config, small)
    except ConfigError:
        return config


def check_loaded(name: str, host: PluginHost) -> type[Model]:
    """Returns a registered model; raises `PluginError` where there is none, and why a plugin of that name broke."""
    for plugin in host.plugins:
        if plugin.error is not None and plugin.name == name:
            raise PluginError(
                f"plugin {name!r} did not load: {plugin.error_class}: {plugin.error_message}; "
                "`honeyguide plugins --verbose` shows where"
            ) from plugin.error
    return host.model(name)


class Subject:
    """Registered model under test; ``with Subject(name, host) as subject`` gives it a folder of its own for a while."""

    def __init__(self, name: str, host: PluginHost) -> None:
        """Raises `PluginError` where no plugin offers the model, with the reason where its plugin did not load."""
        self.cls = check_loaded(name, host)
        self.name = name
        self.host = host_with(host)
        self.config = small_config(self.cls)
        self._folder = tempfile.TemporaryDirectory(prefix=f"honeyguide-{name}-")
        self.folder = Path(self._folder.name)
        """Empty at first; gone with the subject."""
        self.network = cache(self._network)
        """By data spec, the network in evaluation mode, its weights moved so that each of them matters."""
        self.loud = cache(self._loud)
        """By data spec, such a network with weights larger than any training should come to."""

    def __enter__(self) -> Subject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Removes the folder."""
        self._folder.cleanup()

    def model(self, spec: DataSpec) -> Model:
        """Builds the model with its small options."""
        return self.cls(self.config, spec)

    @cached_property
    def longest(self) -> int:
        """How many events the model encodes at most."""
        return self.model(PLAIN).max_length

    @property
    def sources(self) -> int:
        """How many retrievers' scores its ranker reads: the option ``sources``, a number or a list, else 1."""
        sources = getattr(self.config, "sources", 1)
        return sources if isinstance(sources, int) else len(sources)

    @cached_property
    def retrievers(self) -> list[tuple[Model, Any]]:
        """What retrieves for a model that only ranks: models and their networks."""
        return stand_ins(self.sources, RICH)

    @cached_property
    def user_output(self) -> str:
        """What its user graph gives first: "user_vector", or "item_scores" where it scores the catalogue."""
        return "item_scores" if capabilities_of(self.network(RICH)).scores else "user_vector"

    @cached_property
    def graphs(self) -> dict[str, Path]:
        """Exports the graphs of all that the network has, by their first output; raises `ExportError`."""
        from honeyguide.exporters import graphs

        model, network = self.model(RICH), self.network(RICH)
        made: dict[str, Path] = {}

        def path(output: str) -> Path:
            made[output] = self.folder / f"{output}.onnx"
            return made[output]

        if self.cls.retrieves:
            graphs.export_user_graph(model, network, path(self.user_output))
        can = capabilities_of(network)
        if can.steps:
            graphs.export_step_graph(model, network, path("next_state"))
        if can.ranks:
            graphs.export_rank_graph(model, network, path("scores"), self.sources)
        if can.explains:
            graphs.export_explain_graph(model, network, path("shares"))
        if can.places and model.item_inputs():
            graphs.export_item_graph(model, network, path("item_vector"))
        return made

    @cached_property
    def fitted(self) -> tuple[Any, list[float]]:
        """Fits a network for the checkerboard; returns it with the validation NDCG@10 of each epoch."""
        network = self.fresh(RICH)
        scores = fit_for_checkerboard(self.model(RICH), network, [] if self.cls.retrieves else self.retrievers)
        _move(network, ranking_parameters(network))
        return network, scores

    @cached_property
    def bundle(self) -> Manifest | ExportError:
        """Exports the fitted network into ``models`` in the folder; returns why not where that fails."""
        from honeyguide.exporters import export_bundle

        network, scores = self.fitted
        owner = self.host.owner(self.name)
        given: dict[str, Any] = {"items": bundle_items(), "evaluation": walks(8, 60)}
        folder = self.folder / "models"
        try:
            pinned = [
                export_bundle(folder, f"source-{place}", model=model, network=source, plugin="", metrics={}, **given)
                for place, (model, source) in enumerate([] if self.cls.retrieves else self.retrievers)
            ]
            return export_bundle(
                folder,
                self.name,
                model=self.model(RICH),
                network=network,
                plugin=f"{owner.distribution or owner.name} {owner.version}".strip(),
                metrics={"ndcg@10": max(scores)},
                candidates=ITEMS if capabilities_of(network).ranks else 0,
                retrievers=[(manifest.name, manifest.version) for manifest in pinned],
                host=self.host,
                **given,
            )
        except ExportError as error:
            return error

    def fresh(self, spec: DataSpec) -> Any:
        """Builds the network as it is before training."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.model(spec).network()

    def encode(self, spec: DataSpec, batch: HistoryBatch) -> dict[str, Any]:
        """Encodes histories as torch tensors."""
        import torch

        arrays: Arrays = self.model(spec).encode(batch)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def _network(self, spec: DataSpec) -> Any:
        network = self.fresh(spec)
        if (observer := capabilities_of(network).observes) is not None:
            observer.observe(example_histories(spec, OBSERVED), item_table())
        _move(network, network.parameters())
        return network.eval()

    def _loud(self, spec: DataSpec) -> Any:
        import torch

        network = copy.deepcopy(self.network(spec))
        with torch.no_grad():
            for parameter in network.parameters():
                if parameter.ndim >= 2:  # tables and matrices
                    parameter *= _LOUD
        return network


def _move(network: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Moves some parameters of a network a little, so that those that start at 0 show."""
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.add_(_NOISE * torch.randn_like(parameter))
        for module in network.modules():  # training never moves the row of PAD
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0.0
