"""Measures a trained run on held-out events, stage by stage, beside what only counts, and what rules do to it."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError, InvalidArgument
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.rule import Rule
from honeyguide.training.held_out import TARGETS, protocol_words
from honeyguide.training.runs.checkpoint import read_checkpoint
from honeyguide.training.runs.vocabulary import read_vocabulary

if TYPE_CHECKING:  # heavy; imported when the arguments are checked
    import polars as pl

    from honeyguide.training.dataset import Dataset

__all__ = ["evaluate"]

_LONGEST = 100_000
"""The largest cut: lists of this length are kept for every user."""
_SPLITS = ("test", "validation")


def evaluate(
    run: str | os.PathLike[str],
    data: Dataset | str | os.PathLike[str],
    *,
    split: str = "test",
    targets: str | None = None,
    k: Sequence[int] = (5, 10, 20),
    rule: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> pl.DataFrame:
    """Measures a trained model by full ranking over the catalogue.

    Accuracy, and what goes beyond it: coverage, diversity (1 − the mean cosine of a list's item vectors), categories
    in a list, and novelty (mean −log2 of an item's share of the events). See `honeyguide.sdk.metrics`.

    Args:
        run: what `honeyguide.training.train` returned, or its folder.
        data: the data set that it was trained on, or another, or its folder. Of another it is asked about what it
            knows, by item ids: a target that it does not know is a miss, a user of whose events it knows none is left
            out.
        split: which held-out events are predicted: "test" or "validation".
        targets: what of them, in a global-time split: "all" at once, the "last" of each user, or each in turn
            ("successive"); None: what the data set was prepared for. See `honeyguide.training.held_out`.
        k: the cuts, from 1.
        rule: rules that are applied to the last stage, each alone: "NAME" or "NAME:KEY=VALUE,KEY=VALUE".
        progress: called with what is being done, for a person who waits.

    Returns:
        A row for each stage ("popularity", "transitions", "retrieve", "rank", "rank + diversity" …): ``stage``,
        ``protocol`` (how the data was split and what was predicted), ``users`` (how many were asked about), and the
        metrics, such as ``ndcg@10`` and ``auc``; null where a stage has none. ``above_gain``, ``above_low`` and
        ``above_high`` say how much better its NDCG is than that of the row above, at 10 or the cut closest to it, with
        the 95 % interval of a paired bootstrap over users; ``transitions_gain`` and so on, than that of what followed
        what, which only counts; null where there is nothing to compare, and after rules. Where the data are others
        there is also, in each row alike, how much of them the run knows: ``items_known``, ``items_total``, and as much
        for ``users``, ``events`` and ``targets`` (see `honeyguide.training.evaluation.other_data.Known`).

    Raises:
        InvalidArgument: an argument is out of its range.
        ConfigError: a rule has no such option.
        DataError: a folder is none of ours, or the run knows nothing of the data.
        FailedPrecondition: this process was forked from one that had data sets open.
        PluginError: no installed plugin offers the model or a rule, or it failed; the original error is its cause.
    """
    if split not in _SPLITS:
        raise InvalidArgument("split", split, " or ".join(_SPLITS))
    if targets not in (None, *TARGETS):
        raise InvalidArgument("targets", targets, ", ".join(TARGETS))
    ks = sorted(set(k))
    if not ks or ks[0] < 1 or ks[-1] > _LONGEST:
        raise InvalidArgument("k", list(k), f"one or more whole numbers from 1 to {_LONGEST:,}")
    folder, checkpoint = Path(run), read_checkpoint(Path(run))
    host = PluginHost.load()
    rules = {text: _built(text, host) for text in rule}

    from honeyguide.training.dataset import Dataset

    dataset = data if isinstance(data, Dataset) else Dataset.open(Path(data))
    items, known = dataset.items, None
    if checkpoint.spec.fingerprint == dataset.spec.fingerprint and checkpoint.spec.items == dataset.spec.items:
        held_out, training = dataset.evaluation(split, targets), dataset.training()
    else:
        from honeyguide.training.evaluation.other_data import as_known

        vocabulary = read_vocabulary(folder, checkpoint.spec.items)
        other = as_known(dataset, split, checkpoint.spec, vocabulary, folder, targets)
        held_out, training, items = other.held_out, other.training, other.items
        known = dataclasses.asdict(other.known)
    report = progress or (lambda _: None)
    report("reading the run")

    import polars as pl

    from honeyguide.training.evaluation.baselines import counted_baselines
    from honeyguide.training.evaluation.rules import ItemFacts, list_length, measure
    from honeyguide.training.evaluation.stages import compare_stages, rank_targets
    from honeyguide.training.runs.checkpoint import load_checkpoint
    from honeyguide.training.runs.retrievers import sources_of
    from honeyguide.training.scoring.device import best_device

    _, model, network = load_checkpoint(folder, host)
    device = best_device()
    sources = [(retriever, part.to(device)) for retriever, part in sources_of(folder, checkpoint, host)]
    candidates = checkpoint.candidates * max(len(sources), 1)
    stages = rank_targets(
        model,
        network.to(device),
        held_out,
        candidates=checkpoint.candidates,
        baselines=counted_baselines(training, len(items)),
        sources=sources,
        longest=list_length(ks, candidates) if rules else ks[-1],
        progress=lambda done: report(f"ranking, user {done:,} of {len(held_out):,}"),
    )
    facts = ItemFacts.of(items, sources[0][1] if sources else network)
    measured = measure(stages, rules, held_out, facts, ks=ks, candidates=candidates)
    compared = compare_stages(stages, held_out, min(ks, key=lambda cut: (abs(cut - 10), cut)))
    common = {"protocol": protocol_words(dataset.split, targets or dataset.targets), "users": held_out.users}
    rows = [
        {"stage": stage, **common, **metrics, **compared.get(stage, {}), **(known or {})}
        for stage, metrics in measured.items()
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def _built(text: str, host: PluginHost) -> Rule:
    """Builds the rule that "NAME" or "NAME:KEY=VALUE,KEY=VALUE" asks for."""
    name, colon, options = text.partition(":")
    # A value may hold commas: the next option begins where KEY= follows one.
    pairs = [pair.partition("=") for pair in re.split(r",(?=\w+=)", options)] if colon else []
    if any(not equals for _, equals, _ in pairs):
        raise InvalidArgument("rule", text, "NAME or NAME:KEY=VALUE,KEY=VALUE")
    cls = host.rule(name)
    try:
        return cls(config_from(cls.Config, {key: value for key, _, value in pairs}))
    except ConfigError as error:
        raise ConfigError(f"rule {name!r}: {error}") from error
