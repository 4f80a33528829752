"""Trains a model on a data set: `train` is the library under the verb of the same name."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.sdk.config import config_from, config_to
from honeyguide.sdk.errors import DataError, InvalidArgument
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset_folder import check_source
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.runs.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    copy_run,
    plugin_of,
    read_checkpoint,
    save_checkpoint,
)
from honeyguide.training.runs.history import HISTORY
from honeyguide.training.runs.run import Run
from honeyguide.training.runs.unfinished import check_unclaimed

if TYPE_CHECKING:  # heavy; imported when the arguments are checked
    from honeyguide.sdk.model import Model
    from honeyguide.training.dataset import Dataset
    from honeyguide.training.fit.progress import OnProgress

__all__ = ["train"]

_ONE_AT_A_TIME = threading.RLock()
"""Torch has one random state a process: two trainings at once would draw from each other's, and no seed would hold."""


def train(
    model: str,
    data: Dataset | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    option: Mapping[str, Any] | None = None,
    fit: Mapping[str, Any] | None = None,
    retriever: Sequence[str | os.PathLike[str]] = (),
    epochs: int | None = None,
    patience: int | None = None,
    lr: float | None = None,
    weight_decay: float | None = None,
    batch_tokens: int | None = None,
    candidates: int | None = None,
    seed: int | None = None,
    force: bool = False,
    progress: OnProgress | None = None,
) -> Run:
    """Trains a model with early stopping; stopped and called again with the same arguments, it goes on.

    Trainings in several threads take turns: each uses all cores. None stands for the model's own default, else that of
    `honeyguide.training.fit.options.FitOptions`.

    Args:
        model: the model's name; `honeyguide plugins` lists them.
        data: the data set or its folder.
        out: the folder for the run; an unfinished training lies in its ``progress``.
        option: options of the model by name.
        fit: fields of `FitOptions` that have no keyword here.
        retriever: runs that retrieve for a model that only ranks, such as "joint".
        epochs: the most epochs, of every retriever.
        patience: epochs without a better validation NDCG@10 before training stops.
        lr: AdamW's learning rate.
        weight_decay: AdamW's weight decay.
        batch_tokens: sequences × longest length of a batch.
        candidates: how many items the ranker reorders, for each retriever; 0 trains no ranker.
        seed: of all that is random.
        force: whether a trained model in ``out`` is replaced.
        progress: called after every batch with how far the training is.

    Returns:
        The finished run.

    Raises:
        ConfigError: an option is unknown or not allowed, or another training lies unfinished in ``out``.
        DataError: a folder is none of ours, ``out`` holds a trained model, or there is too little to learn from.
        InvalidArgument: the model needs retrievers and none is named, or the other way round.
        PluginError: no installed plugin offers the model.
    """
    folder, host = Path(out), PluginHost.load()
    cls = host.model(model)
    _check_retrievers(cls, retriever)
    sources = {} if cls.retrieves else {"sources": len(retriever)}
    config = config_from(cls.Config, {**(option or {}), **sources})
    keywords = {
        "epochs": epochs,
        "patience": patience,
        "lr": lr,
        "weight_decay": weight_decay,
        "batch_tokens": batch_tokens,
        "candidates": candidates,
        "seed": seed,
    }
    given = {**(fit or {}), **{name: value for name, value in keywords.items() if value is not None}}
    if epochs is not None:
        given.setdefault("final_epochs", 0)  # it holds for every retriever, whatever the model's default
    options = FitOptions.for_model(cls, given)
    unfinished = folder / "progress"
    if (folder / CHECKPOINT).exists() and not force:
        raise DataError(
            "a trained model lies in here", file=str(folder), remedy="choose another --out, or give --force"
        )
    check_unclaimed(unfinished)
    if isinstance(data, str | os.PathLike):
        check_source(Path(data))
    for run in retriever:
        read_checkpoint(run)

    from honeyguide.training.dataset import Dataset
    from honeyguide.training.fit.recipe import fit_model
    from honeyguide.training.runs.retrievers import read_retrievers

    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    retrievers = read_retrievers([Path(run) for run in retriever], host, dataset.spec.fingerprint)
    with _ONE_AT_A_TIME:
        trained = fit_model(
            cls(config, dataset.spec),
            dataset.training(),
            dataset.evaluation("validation"),
            options,
            retrievers=retrievers,
            items=dataset.item_table(),
            state=unfinished,
            progress=progress,
        )
    folders = tuple(f"retrievers/{place}-{run.checkpoint.model}" for place, run in enumerate(retrievers))
    for source, copy in zip(retrievers, folders, strict=True):
        copy_run(source.folder, folder / copy)
    checkpoint = Checkpoint(
        model=model,
        config=config_to(config),
        plugin=plugin_of(host, model),
        spec=dataset.spec,
        dataset=dataset.name,
        seed=options.seed,
        candidates=trained.candidates,
        epochs=trained.epochs,
        metrics=trained.metrics,
        retrievers=folders,
        options=dataclasses.asdict(options),
        report=trained.report,
    )
    (folder / CHECKPOINT).unlink(missing_ok=True)  # from here on, what lay here before is incomplete
    (folder / HISTORY).unlink(missing_ok=True)
    if (unfinished / HISTORY).exists():  # a ranker that counts alone has none
        shutil.copyfile(unfinished / HISTORY, folder / HISTORY)
    save_checkpoint(folder, checkpoint, trained.network, trained.first)
    shutil.rmtree(unfinished)
    return Run.open(folder)


def _check_retrievers(cls: type[Model], retriever: Sequence[str | os.PathLike[str]]) -> None:
    if isinstance(retriever, str | os.PathLike):  # a text would pass as a list of its letters
        raise InvalidArgument("retriever", str(retriever), "a list of runs")
    if retriever and cls.retrieves:
        raise InvalidArgument(
            "retriever", [str(run) for run in retriever], f"none: model {cls.name!r} retrieves for itself"
        )
    if not retriever and not cls.retrieves:
        raise InvalidArgument("retriever", [], f"runs that retrieve: model {cls.name!r} ranks what others retrieve")
