"""Trains a model from histories to a network that may serve: retriever, ranker, and the gate between them.

There is one recipe. A model that retrieves is the only source of its own candidates; one that only ranks has several,
which are trained already. Either ranker learns from the lists of first retrievers, which never saw what they are asked
about (see `honeyguide.training.fit.ranker`), and serves over the final ones.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from honeyguide.sdk.capabilities import capabilities_of, ranking_parameters
from honeyguide.sdk.config import config_to
from honeyguide.sdk.errors import ConfigError, DataError, PluginError
from honeyguide.sdk.history import EvaluationSet, HistoryBatch
from honeyguide.sdk.items import ItemTable
from honeyguide.sdk.model import Model, Network
from honeyguide.training.fit.gate import judge
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.fit.progress import OnProgress
from honeyguide.training.fit.ranker import FEWEST_LISTS, first_baskets, fit_ranker, hold_back, make_lists
from honeyguide.training.fit.retriever import check_target_weight, fit, observe
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.runs.retrievers import RetrieverRun
from honeyguide.training.runs.tensor_file import state_of
from honeyguide.training.runs.unfinished import claim
from honeyguide.training.scoring.candidates import Source
from honeyguide.training.scoring.device import best_device

__all__ = ["Trained", "fit_model"]


@dataclass(frozen=True, slots=True)
class Trained:
    """Outcome of a training."""

    network: nn.Module
    """In eval mode, on the CPU, with its best weights."""
    epochs: int
    """The final retriever's best epoch; 0 where none was better than its start, or there is none."""
    candidates: int
    """How many retrieved items to rerank; 0 where there is no ranker, or it did not earn its place."""
    metrics: Mapping[str, float]
    """On the validation users, such as "retrieve/ndcg@10"."""
    first: Mapping[str, Tensor] | None
    """The first retriever's weights, where there was one; a joint ranker learns from its lists."""
    report: Mapping[str, Any]
    """What happened, JSON-ready: scores by epoch of each phase; "ranker", the gate's verdict in words; "seconds", and
    "resumed", whether these are only those since training was resumed."""


def fit_model(
    model: Model,
    training: HistoryBatch,
    validation: EvaluationSet,
    options: FitOptions,
    *,
    retrievers: Sequence[RetrieverRun] = (),
    items: ItemTable | None = None,
    state: Path | None = None,
    progress: OnProgress | None = None,
) -> Trained:
    """Trains a model; where its network ranks, with a ranker that must earn its place.

    With a ranker to fit, first retrievers learn on part A (those of ``retrievers`` did so already), the ranker on their
    lists, and a model that retrieves goes on from both on all training events. Then one look at the validation users
    decides whether the ranker stays.

    Args:
        model: a model with its config.
        training: all training histories, the same that the retrievers learnt from.
        validation: the users that early stopping and the gate watch.
        options: how to train; ``candidates`` counts for each source.
        retrievers: what retrieves for a model that only ranks, as many as its config's ``sources``. Their first ones
            held back as many events as ``options`` asks for, or more, by one seed.
        items: what is known of the catalogue; None: nothing but its rows.
        state: a folder for the state of an unfinished training. Called again with the same arguments after a kill, it
            goes on and ends with the same network. The caller removes it at the end; the history of all epochs lies
            in it then, see `honeyguide.training.runs.history`.
        progress: called after every batch.

    Raises:
        ConfigError: ``state`` holds a training with other arguments, a retriever held back less, an option makes no
            sense for a model that only ranks, or the data or the model knows no such ``target_weight``.
        DataError: there is nothing to predict, a retriever kept no first one, there are too few candidate lists for a
            model that only ranks, or nothing is known of the items that tells them apart for a model that needs it.
        PluginError: the network has half of a capability, one that only ranks ranks nothing, or the plugin's code
            fails.
    """
    started = time.perf_counter()
    _check_retrievers(retrievers, options)
    check_target_weight(model, training, options, items)  # before anything is written
    torch.manual_seed(options.seed)
    with plugin_call(model, "network"):
        network = model.network()
    one = training.take(np.arange(len(training))[:1])
    observe(model, network, one, items)  # a network may refuse the items, before anything is written
    if items is not None:
        _check_items_differ(model, network)
    ranks = capabilities_of(network).ranks is not None
    if retrievers and not ranks:
        raise PluginError(f"the network of model {model.name!r} ranks nothing, and retrieves nothing either")
    n = min(options.candidates, model.data.items) if ranks and model.data.items > 1 else 0
    verdict = "" if n else ("switched off" if ranks else "the model has none")
    resumed = state is not None and claim(state, _identity(model, options, retrievers))
    report: dict[str, Any] = {"resumed": resumed}
    learns = bool(n and ranking_parameters(network))  # one that counts alone goes straight to the gate
    progress = _planned(progress, model, options, ranker=learns)
    first: Mapping[str, Tensor] | None = None
    epochs = 0
    if learns:
        part, examples = hold_back(training, options.ranker_tail, options.seed)
        lists = None
        if len(examples) >= FEWEST_LISTS:
            sources: list[Source] = [_first_of(run, part, items) for run in retrievers]
            if model.retrieves:
                watched = first_baskets(training, examples)
                result = fit(
                    model, network, part, watched, options, items=items, phase="first", state=state, progress=progress
                )
                report["first"] = dataclasses.asdict(result)
                first = state_of(network)
                sources = [(model, network.to(best_device()))]
            else:
                observe(model, network, part, items)
            examples = examples.sample(options.ranker_lists, options.seed)
            lists = make_lists(sources, training, examples, n)
            network.cpu()
        if lists is not None and lists.suffice:
            result = fit_ranker(model, network, training, lists, options, state=state, progress=progress)
            report["ranker_fit"] = dataclasses.asdict(result) | {
                "lists": len(lists),
                "target_retrieved": len(lists) / len(examples),
            }
        elif model.retrieves:
            n, verdict = 0, f"not fitted: fewer than {FEWEST_LISTS} candidate lists with their target, or one user's"
        else:
            raise DataError(
                f"only {0 if lists is None else len(lists)} candidate lists hold their target; a ranker learns from "
                f"{FEWEST_LISTS} or more, of several users",
                remedy="give more --candidates, or train on more data",
            )
    if model.retrieves:
        if "first" in report and options.final_epochs:
            options = dataclasses.replace(options, epochs=options.final_epochs)
        result = fit(model, network, training, validation, options, items=items, state=state, progress=progress)
        report["retriever"] = dataclasses.asdict(result)
        epochs = result.epochs
    else:
        observe(model, network, training, items)
    judged = judge(model, network.to(best_device()), retrievers, training, validation, n, options.seed)
    report |= judged.report
    report |= {"ranker": judged.words or verdict, "seconds": round(time.perf_counter() - started, 1)}
    return Trained(network.cpu(), epochs, judged.candidates, judged.metrics, first, report)


def _first_of(run: RetrieverRun, part: HistoryBatch, items: ItemTable | None) -> Source:
    """Returns a first retriever, which never saw the events held back; one that only counts does so once more."""
    if run.checkpoint.first or not run.counts:
        return run.first()
    with plugin_call(run.model, "network"):
        network = run.model.network()
    observe(run.model, network, part, items)
    return run.model, network.eval().to(best_device())


def _check_items_differ(model: Model, network: nn.Module) -> None:
    """Raises `DataError` where a network that places items by what is known of them cannot tell any two apart."""
    if model.data.items < 2 or capabilities_of(network).places is None or not model.item_inputs():
        return
    with plugin_call(model, "items"), torch.no_grad():
        vectors = cast("Network", network).items()
    if bool((vectors == vectors[:1]).all()):
        raise DataError(
            f"model {model.name!r} knows items by what is said of them, and the data says nothing that it reads of any "
            f"of its {model.data.items:,} items",
            remedy="prepare it with --items and what that file says: --title, --categories, --item-columns or "
            "--item-vectors; or choose a model that learns items by their ids, such as cf",
        )


def _check_retrievers(retrievers: Sequence[RetrieverRun], options: FitOptions) -> None:
    """Raises `ConfigError` where options and retrievers do not go together."""
    for run in retrievers:
        held = int(run.checkpoint.options.get("ranker_tail", 0))
        if not run.counts and held < options.ranker_tail:
            raise ConfigError(
                f"{run.folder} held {held} baskets back, the ranker is to learn from {options.ranker_tail}: "
                f"give --fit ranker_tail={held}"
            )
    if retrievers and options.candidates < 2:
        raise ConfigError(f"option 'candidates' is {options.candidates}; a joint ranker needs 2 or more")
    if retrievers and options.target_weight:
        raise ConfigError("option 'target_weight' is for what retrieves: give it where the retrievers are trained")


def _identity(model: Model, options: FitOptions, retrievers: Sequence[RetrieverRun]) -> dict[str, Any]:
    """Says which training this is, so that no other goes on from its state."""
    return {
        "model": model.name,
        "config": config_to(model.config),
        "options": dataclasses.asdict(options),
        "data": model.data.fingerprint,
        "retrievers": [run.checkpoint.weights for run in retrievers],
    }


def _planned(progress: OnProgress | None, model: Model, options: FitOptions, *, ranker: bool) -> OnProgress | None:
    """Adds to each report the phases that there will be, and the most epochs of each."""
    if progress is None:
        return None
    plan = {}
    if ranker:
        plan = {"first": options.epochs} if model.retrieves else {}
        plan["ranker"] = options.ranker_epochs
    if model.retrieves:
        plan["retriever"] = (ranker and options.final_epochs) or options.epochs
    return lambda now: progress(dataclasses.replace(now, plan=plan))
