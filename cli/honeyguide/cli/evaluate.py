"""Adds the verb ``evaluate``: a checkpoint's quality, stage by stage, beside popularity, and what rules do to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honeyguide.sdk.host import PluginHost
    from honeyguide.sdk.rule import Rule

__all__ = ["add_to"]


class Split(StrEnum):
    """Which held-out events are predicted."""

    test = "test"
    validation = "validation"


def add_to(app: typer.Typer) -> None:
    """Adds ``evaluate`` to the command."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder that `honeyguide train` wrote.")],
    dataset: Annotated[Path, typer.Argument(help="Folder that `honeyguide prepare` wrote.")],
    split: Annotated[Split, typer.Option(help="Which held-out events to predict.")] = Split.test,
    k: Annotated[str, typer.Option(help="The cuts, with commas between.")] = "5,10,20",
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:KEY=VALUE,…]",
            help="A rule to apply to the last stage; repeated: each is applied alone.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Measures a trained model by full ranking over the catalogue, beside popularity.

    Accuracy, and what goes beyond it: coverage, diversity (1 − the mean cosine of a list's item vectors), categories
    in a list, and novelty (mean −log2 of an item's share of the events).

    Example: honeyguide evaluate runs/cf data/shop --k 10,50 --rule diversity --rule category_cap:cap=2
    """
    from honeyguide.cli.output import print_json, print_metrics, print_next
    from honeyguide.sdk.errors import DataError
    from honeyguide.sdk.host import PluginHost
    from honeyguide.training.dataset import Dataset
    from honeyguide.training.evaluation.rules import ItemFacts, list_length, measure
    from honeyguide.training.evaluation.stages import rank_targets
    from honeyguide.training.fit.joint import sources_of
    from honeyguide.training.runs.checkpoint import load_checkpoint
    from honeyguide.training.scoring.device import best_device

    try:
        ks = sorted({int(part) for part in k.split(",")})
    except ValueError:
        ks = [0]
    if ks[0] < 1:
        raise typer.BadParameter(f"{k!r}; allowed: whole numbers from 1 with commas between", param_hint="--k")
    host = PluginHost.load()
    rules = _rules(rule or (), host)
    data = Dataset.open(dataset)
    checkpoint, model, network = load_checkpoint(run, host)
    if checkpoint.spec.fingerprint != data.spec.fingerprint or checkpoint.spec.items != data.spec.items:
        raise DataError(
            f"the model was trained on {checkpoint.dataset!r} as it was then; this is {data.name!r} with other content",
            file=str(dataset),
            remedy="evaluate on the data set it was trained on, or train again",
        )
    held_out = data.evaluation(split.value)
    device = best_device()
    sources = [(retriever, part.to(device)) for retriever, part in sources_of(run, checkpoint, host)]
    candidates = checkpoint.candidates * max(len(sources), 1)
    ranked = rank_targets(
        model,
        network.to(device),
        held_out,
        candidates=checkpoint.candidates,
        popularity=data.items["popularity"].to_numpy(),
        sources=sources,
        longest=list_length(ks, candidates) if rules else ks[-1],
    )
    facts = ItemFacts.of(data.items, sources[0][1] if sources else network)
    stages = measure(ranked, rules, held_out, facts, ks=ks, candidates=candidates)
    if json:
        print_json(
            {
                "model": checkpoint.model,
                "dataset": data.name,
                "split": split.value,
                "users": len(held_out),
                "items": data.spec.items,
                "candidates": checkpoint.candidates,
                "stages": stages,
            }
        )
    else:
        title = f"{checkpoint.model} on {data.name}: {split.value}, {len(held_out)} users, {data.spec.items} items"
        print_metrics(title, stages)
    print_next(f"honeyguide export {run} {dataset}")


def _rules(given: Sequence[str], host: PluginHost) -> dict[str, Rule]:
    """Builds the rules, each under the text that asked for it."""
    from honeyguide.sdk.config import config_from
    from honeyguide.sdk.errors import ConfigError

    rules = {}
    for text in given:
        name, colon, options = text.partition(":")
        # A value may hold commas: the next option begins where KEY= follows one.
        pairs = [pair.partition("=") for pair in re.split(r",(?=\w+=)", options)] if colon else []
        if any(not equals for _, equals, _ in pairs):
            raise typer.BadParameter(f"{text!r} is not NAME or NAME:KEY=VALUE,KEY=VALUE", param_hint="--rule")
        cls = host.rule(name)
        try:
            rules[text] = cls(config_from(cls.Config, {key: value for key, _, value in pairs}))
        except ConfigError as error:
            raise ConfigError(f"rule {name!r}: {error}") from error
    return rules
