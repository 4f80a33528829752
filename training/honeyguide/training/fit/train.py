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
from honeyguide.sdk.errors import ConfigError, DataError, InvalidArgument, PluginError
from honeyguide.sdk.host import PluginHost
from honeyguide.training.dataset_folder import check_source
from honeyguide.training.fit.minimum import check_validated
from honeyguide.training.fit.options import FitOptions
from honeyguide.training.folder_lock import sole_use
from honeyguide.training.forked import check_not_forked
from honeyguide.training.runs.checkpoint import (
    CHECKPOINT,
    RETRIEVERS,
    Checkpoint,
    copy_run,
    plugin_of,
    put_in_place,
    read_checkpoint,
    save_checkpoint,
)
from honeyguide.training.runs.history import HISTORY
from honeyguide.training.runs.run import Run
from honeyguide.training.runs.unfinished import check_unclaimed, discard, discard_empty, is_under_way, set_aside
from honeyguide.training.runs.vocabulary import save_vocabulary
from honeyguide.training.target_folder import GOES_ON, writing

if TYPE_CHECKING:  # heavy; imported when the arguments are checked
    from honeyguide.sdk.model import Model
    from honeyguide.training.dataset import Dataset
    from honeyguide.training.fit.progress import OnProgress
    from honeyguide.training.fit.recipe import Trained
    from honeyguide.training.runs.retrievers import RetrieverRun

__all__ = ["train"]

_RANKERS_OWN = {
    "epochs": "ranker_epochs",
    "patience": "ranker_patience",
    "lr": "ranker_lr",
    "weight_decay": "ranker_weight_decay",
}
"""What these are called for a ranker: so they mean the same for a model that only ranks."""
_RETRIEVERS_OWN = {"batch_tokens": "give --fit ranker_batch=…", "final_epochs": "give --epochs"}
"""What means nothing for such a model, and what does."""
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
        epochs: the most epochs, of every retriever; of the ranker for a model that only ranks, as the next three.
        patience: epochs without a better validation NDCG@10 before training stops.
        lr: AdamW's learning rate.
        weight_decay: AdamW's weight decay.
        batch_tokens: sequences × longest length of a batch; refused for a model that only ranks.
        candidates: how many items the ranker reorders, for each retriever; 0 trains no ranker.
        seed: of all that is random.
        force: whether to begin anew: a trained model in ``out`` is replaced once this training is done, an unfinished
            one is given up.
        progress: called after every batch with how far the training is.

    Returns:
        The finished run.

    Raises:
        ConfigError: an option is unknown or not allowed, or another training lies unfinished in ``out``.
        DataError: a folder is none of ours or broken, ``out`` holds a trained model or is trained into by another
            process, there is too little to learn from, or the disk refuses what is written.
        FailedPrecondition: this process was forked from one that had data sets open.
        InvalidArgument: the model needs retrievers and none is named, or the other way round.
        PluginError: no installed plugin offers the model, or it failed; the original error is its cause. Where its
            numbers are no longer finite, what was learnt lies in ``out/progress.failed``, and other options may be
            tried at once.
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
    if not cls.retrieves:
        given = _of_ranker(cls, given)
    elif epochs is not None:
        given.setdefault("final_epochs", 0)  # it holds for every retriever, whatever the model's default
    options = FitOptions.for_model(cls, given)
    unfinished = folder / "progress"
    check_unclaimed(unfinished)
    _check_free(folder, unfinished, force=force)
    if isinstance(data, str | os.PathLike):
        check_source(Path(data))
    for run in retriever:
        read_checkpoint(run)
    check_not_forked()

    from honeyguide.training.dataset import Dataset
    from honeyguide.training.fit.recipe import fit_model
    from honeyguide.training.runs.retrievers import read_retrievers

    with sole_use(folder, folder.resolve() / ".training-lock", "training"):
        _check_free(folder, unfinished, force=force)  # somebody may have been quicker
        dataset = data if isinstance(data, Dataset) else Dataset.open(data)
        retrievers = read_retrievers([Path(run) for run in retriever], host, dataset.spec.fingerprint)
        check_validated(dataset)
        if force:
            discard(unfinished)
        try:
            with _ONE_AT_A_TIME:
                trained = fit_model(
                    host.build(model, config_to(config), dataset.spec),
                    dataset.training(),
                    dataset.validation(),
                    options,
                    retrievers=retrievers,
                    items=dataset.item_table(),
                    state=unfinished,
                    progress=progress,
                )
        except PluginError as error:
            if error.facts.get("cause") != "diverged" or not unfinished.exists():
                discard_empty(unfinished)
                raise
            aside = set_aside(unfinished)
            where = f"; what was learnt until then lies in {aside}" if aside else ""
            raise PluginError(f"{error.message}{where}").with_facts(**error.facts) from error
        except BaseException:
            discard_empty(unfinished)
            raise
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
            retrievers=tuple(f"{RETRIEVERS}/{place}-{run.checkpoint.model}" for place, run in enumerate(retrievers)),
            options=dataclasses.asdict(options),
            report={**trained.report, "protocol": dataset.protocol},
        )
        _save(folder, unfinished, checkpoint, trained, retrievers, dataset)
    return Run.open(folder)


def _check_free(folder: Path, unfinished: Path, *, force: bool) -> None:
    """Raises `DataError` where a trained model would be replaced; who began with force and was stopped goes on."""
    if (folder / CHECKPOINT).exists() and not force and not is_under_way(unfinished):
        raise DataError(
            "a trained model lies in here", file=str(folder), remedy="choose another --out, or give --force"
        )


def _save(
    folder: Path,
    unfinished: Path,
    checkpoint: Checkpoint,
    trained: Trained,
    retrievers: Sequence[RetrieverRun],
    dataset: Dataset,
) -> None:
    """Writes the whole run beneath ``unfinished``, and only then puts it in the place of what lay in ``folder``."""
    fresh = unfinished / "finished"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with writing(folder, "the trained model", remedy=GOES_ON):
            fresh.mkdir(parents=True)
            for source, copy in zip(retrievers, checkpoint.retrievers, strict=True):
                copy_run(source.folder, fresh / copy)
            if (unfinished / HISTORY).exists():  # a ranker that counts alone has none
                shutil.copyfile(unfinished / HISTORY, fresh / HISTORY)
            save_vocabulary(fresh, dataset.items["item_id"])
            save_checkpoint(fresh, checkpoint, trained.network, trained.first)
            put_in_place(fresh, folder)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    discard(unfinished)


def _of_ranker(cls: type[Model], given: Mapping[str, Any]) -> dict[str, Any]:
    """Renames the options of a retriever for a model that only ranks; `ConfigError` where one would have no effect."""
    for name, remedy in _RETRIEVERS_OWN.items():
        if name in given:
            raise ConfigError(f"option {name!r} is of what retrieves, and model {cls.name!r} only ranks: {remedy}")
    for name, own in _RANKERS_OWN.items():
        if name in given and own in given:
            raise ConfigError(f"options {name!r} and {own!r} are the same for {cls.name!r}, which only ranks: give one")
    return {_RANKERS_OWN.get(name, name): value for name, value in given.items()}


def _check_retrievers(cls: type[Model], retriever: Sequence[str | os.PathLike[str]]) -> None:
    if isinstance(retriever, str | os.PathLike):  # a text would pass as a list of its letters
        raise InvalidArgument("retriever", str(retriever), "a list of runs")
    if retriever and cls.retrieves:
        raise InvalidArgument(
            "retriever", [str(run) for run in retriever], f"none: model {cls.name!r} retrieves for itself"
        )
    if not retriever and not cls.retrieves:
        raise InvalidArgument(
            "retriever", [], f"one or more runs, as by --retriever RUN: model {cls.name!r} ranks what others retrieve"
        )
