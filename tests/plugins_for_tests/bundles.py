"""Makes small real bundles without training: random weights from a seed, exported and proven like any other."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from honeyguide.sdk import DataSpec, HistoryBatch, Model
from honeyguide.sdk.capabilities import capabilities_of
from honeyguide.sdk.config import config_from
from honeyguide.sdk.data import ItemColumn
from honeyguide.sdk.history import EvaluationSet
from honeyguide.sdk.host import ENTRY_POINT_GROUP, PluginHost
from honeyguide.sdk.manifest import MANIFEST, Manifest

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "TINY_PLUGINS",
    "evaluation_set",
    "items_table",
    "make_bundle",
    "make_joint_bundle",
    "rewrite_manifest",
    "tiny_host",
]

TINY_PLUGINS = tuple(
    metadata.EntryPoint(name, name, ENTRY_POINT_GROUP) for name in ("tiny_gru", "tiny_joint", "tiny_placed")
)


def tiny_host() -> PluginHost:
    """Loads the plugins that are installed, and the tiny ones."""
    return PluginHost.load([*metadata.entry_points(group=ENTRY_POINT_GROUP), *TINY_PLUGINS])


def items_table(items: int) -> pl.DataFrame:
    """Makes a catalogue: "item-0", "item-1" …; categories "even" or "odd", and "first" for the first ten."""
    rows = range(items)
    return pl.DataFrame(
        {
            "item_id": [f"item-{row}" for row in rows],
            "title": [f"Title {row}" for row in rows],
            "categories": [["odd" if row % 2 else "even"] + ["first"] * (row < 10) for row in rows],
            "popularity": [items - row for row in rows],
        },
        schema={"item_id": pl.String, "title": pl.String, "categories": pl.List(pl.String), "popularity": pl.Int64},
    )


def evaluation_set(items: int, users: int = 40, longest: int = 12, seed: int = 0) -> EvaluationSet:
    """Makes users with random histories without repeats, each with one target that is not in the history."""
    random = np.random.default_rng(seed)
    lists = [random.permutation(items)[: random.integers(2, min(longest, items - 1) + 2)] for _ in range(users)]
    return EvaluationSet(
        histories=HistoryBatch.from_lists([rows[:-1].tolist() for rows in lists]),
        target_users=np.arange(users),
        target_items=np.array([rows[-1] for rows in lists], np.int32),
    )


def make_bundle(
    repository: Path,
    name: str = "tiny",
    *,
    model: str | type[Model] = "tiny_gru",
    items: int = 60,
    repeats: bool = False,
    candidates: int | None = None,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    exact_up_to: int = 50_000,
    precision: str = "float32",
    ids: Sequence[str] = (),
    item_columns: Sequence[ItemColumn] = (),
) -> Manifest:
    """Exports an untrained model to ``repository/name/<next version>/`` in about two seconds.

    ``model`` is the name of a model of `tiny_host`, or a class. ``candidates`` is, by default, 20 where the network
    ranks and else 0. Different seeds give bundles that recommend differently.
    ``ids`` are the ids of the first items, in place of "item-0" …; ``item_columns`` what the data kept of them.
    """
    from honeyguide.exporters import export_bundle
    from honeyguide.exporters.precision import PRECISIONS

    instance, network = _untrained(model, items, repeats, seed, config, item_columns)
    ranks = capabilities_of(network).ranks is not None
    table = items_table(items)
    return export_bundle(
        repository,
        name,
        model=instance,
        network=network,
        items=table.with_columns(item_id=pl.Series([*ids, *table["item_id"][len(ids) :]])),
        evaluation=evaluation_set(items),
        plugin="tests 0.0.0",
        metrics={"retrieve/ndcg@10": 0.0},
        candidates=(20 if ranks else 0) if candidates is None else candidates,
        exact_up_to=exact_up_to,
        precision=PRECISIONS[precision],
    )


def make_joint_bundle(
    repository: Path,
    name: str = "joint",
    *,
    retrievers: Sequence[tuple[str, int]] = (("tiny", 1), ("tiny_ranker", 1)),
    model: str | type[Model] = "tiny_joint",
    items: int = 60,
    repeats: bool = False,
    candidates: int = 10,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    host: PluginHost | None = None,
) -> Manifest:
    """Exports an untrained joint ranker to ``repository/name/<next version>/`` in about a second.

    ``retrievers`` are bundles that `make_bundle` put into the same repository, of the same ``items`` and ``repeats``;
    ``candidates`` is how many each of them retrieves; ``host`` offers their models. The rest is as in `make_bundle`.
    """
    from honeyguide.exporters import export_bundle

    options = {"sources": len(retrievers)} | dict(config or {})
    instance, network = _untrained(model, items, repeats, seed, options)
    return export_bundle(
        repository,
        name,
        model=instance,
        network=network,
        items=items_table(items),
        evaluation=evaluation_set(items),
        plugin="tests 0.0.0",
        metrics={"rank/ndcg@10": 0.0},
        candidates=candidates,
        retrievers=retrievers,
        host=host or tiny_host(),
    )


def rewrite_manifest(folder: Path, **changes: Any) -> None:
    """Changes fields of a bundle's manifest and gives it the digest it has then, as somebody with a purpose would."""
    raw = json.loads((folder / MANIFEST).read_text("utf-8")) | changes
    rest = {name: value for name, value in raw.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    with contextlib.suppress(UnicodeEncodeError):  # there is none of a text that is no UTF-8
        raw["digest"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(raw), "utf-8")


def _untrained(
    model: str | type[Model],
    items: int,
    repeats: bool,
    seed: int,
    config: Mapping[str, Any] | None,
    item_columns: Sequence[ItemColumn] = (),
) -> tuple[Model, nn.Module]:
    """Builds a model and its network with random weights, larger than usual so that scores differ."""
    import torch

    cls = tiny_host().model(model) if isinstance(model, str) else model
    data = DataSpec(items=items, repeats=repeats, item_columns=tuple(item_columns), fingerprint="0" * 64)
    instance = cls(config_from(cls.Config, config or {}), data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = instance.network()
        for table in (module for module in network.modules() if isinstance(module, torch.nn.Embedding)):
            torch.nn.init.normal_(table.weight, std=0.5)
            with torch.no_grad():
                table.weight[0] = 0.0  # PAD
    return instance, network
