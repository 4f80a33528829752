"""Lists what is measured on which data: how a log is prepared, which models, and which differences count."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from honeyguide import training
from honeyguide.sdk.model import Model

__all__ = ["SUITES", "Entry", "Suite", "missing"]

JOINT = ("attention_lstm", "transformer", "cf")
"""What retrieves for the joint ranker."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a table: a model with its options."""

    model: str
    minutes: int
    """About how long one seed takes on two free cores."""
    label: str = ""
    """What it is called; "" as the model."""
    option: Mapping[str, Any] = field(default_factory=dict)
    over: Sequence[str] = ()
    """Names of the entries that retrieve for it; one that stands there n times does so with n runs of other seeds."""

    @property
    def name(self) -> str:
        """What row, run and bundle are called."""
        return self.label or self.model

    def members(self, seed: int) -> list[tuple[str, int]]:
        """Returns what retrieves for a seed: names with their runs' seeds, which no other seed of it shares."""
        of = self.over
        return [(name, seed * of.count(name) + of[:place].count(name)) for place, name in enumerate(of)]


@dataclass(frozen=True, slots=True)
class Suite:
    """Data with one split, and what is measured on it."""

    out: str
    """File below benchmarks/results; suites may share one."""
    prepare: Callable[[Path, Path, Path], object]
    """Prepares the raw data of a folder, with a folder for what it writes on the way, into a data set."""
    entries: Sequence[Entry]
    targets: Sequence[str | None] = (None,)
    """What test asks for, as in `Dataset.evaluation`; one training serves all."""
    pairs: Sequence[tuple[str, str]] = ()
    """Entries whose difference is told, the second being the base; each is compared with the transitions besides."""


def missing(entry: Entry, models: Mapping[str, type[Model]]) -> str:
    """Says why an entry cannot be made: no plugin offers the model, or it has no such option; "" where it can."""
    if entry.model not in models:
        return f"no plugin offers model {entry.model!r}"
    unknown = set(entry.option) - set(models[entry.model].Config.__dataclass_fields__)
    return f"model {entry.model!r} has no option {', '.join(sorted(unknown))}" if unknown else ""


def _movies(data: Path, work: Path, ids: Mapping[int, int] | None = None) -> Path:
    """Writes titles and genres, under the ids of the log where they are others than the films' own."""
    lines = [line.split("::") for line in (data / "ml-1m" / "movies.dat").read_text("latin-1").splitlines()]
    films = pl.DataFrame(lines, schema=["item_id", "title", "genres"], orient="row")
    if ids is not None:
        own = pl.DataFrame({"own": [str(own) for own in ids], "item_id": [str(film) for film in ids.values()]})
        films = own.join(films, on="item_id", how="left").drop("item_id").rename({"own": "item_id"})
    films.write_csv(work / "movies.csv")
    return work / "movies.csv"


_FILMS = {"item_id": "item_id", "title": "title", "categories": "genres", "repeats": "no"}


def _ml_1m(data: Path, work: Path, out: Path) -> object:
    """The file of the papers: ids alone, in order, each event a basket of its own."""
    rows = (line.split() for line in (data / "ml-1m" / "sas_to_original_items.txt").read_text().splitlines())
    movies = _movies(data, work, {int(own): int(film) for own, film in rows})
    log = data / "ml-1m" / "ml-1m_sasrec.txt"
    return training.prepare(log, preset="sequence", items=movies, name="data", out=out, **_FILMS)


def _ml_1m_times(data: Path, work: Path, out: Path, **split: Any) -> object:
    """The same events with their times; of equal times the nth is n ms later, so each is a basket in the file's order.

    Who has an exact time for the last event is written to exact-users.json; other times lie between known ones.
    """
    log = pl.read_parquet(data / "ml-1m" / "interactions.parquet").sort("user_id", "pos")
    nth = pl.int_range(pl.len()).over("user_id", "timestamp")
    log = log.with_columns(time_ms=pl.col("timestamp") * 1000 + nth)
    exact = log.group_by("user_id").agg(pl.col("ts_exact").last()).filter("ts_exact")["user_id"]
    (work / "exact-users.json").write_text(json.dumps(sorted(str(user) for user in exact)))
    log.select("user_id", "movie_id", "time_ms").write_parquet(work / "log.parquet")
    columns = {"user": "user_id", "item": "movie_id", "time": "time_ms", "time_unit": "milliseconds"}
    core = {"min_user_events": 5, "min_item_events": 5}
    movies = _movies(data, work)
    return training.prepare(work / "log.parquet", items=movies, out=out, **_FILMS, **columns, **core, **split)


def _ml_1m_global(data: Path, work: Path, out: Path) -> object:
    return _ml_1m_times(data, work, out, split="global-time", quantile=0.9, targets="last")


def _beauty(data: Path, work: Path, out: Path) -> object:
    """S3Rec's file: ids alone, in order; attributes are numbers, which stand for categories here."""
    attributes = json.loads((data / "beauty" / "Beauty_item2attributes.json").read_text())
    rows = [(item, "|".join(f"a{number}" for number in numbers)) for item, numbers in attributes.items()]
    pl.DataFrame(rows, schema=["item_id", "attributes"], orient="row").write_csv(work / "items.csv")
    items = {"items": work / "items.csv", "item_id": "item_id", "categories": "attributes", "repeats": "no"}
    return training.prepare(data / "beauty" / "Beauty.txt", preset="sequences", out=out, **items)


def _retail(data: Path, work: Path, out: Path) -> object:  # noqa: ARG001  # nothing is written on the way
    """The whole log; people buy again, so nothing is masked, and a target is the user's last invoice."""
    folder = data / "online-retail"
    core = {"min_user_events": 5, "min_item_events": 5}
    split = {"split": "global-time", "quantile": 0.9, "targets": "last"}
    log = folder / "events_full.csv.gz"
    return training.prepare(log, preset="online-retail", items=folder / "items.csv", out=out, **core, **split)


_FAMILIES = (
    Entry("item_knn", 2),
    Entry("user_knn", 5),
    Entry("ease", 3),
    Entry("content", 10),
    Entry("text", 3),
    Entry("mlp", 15),
)
_WITHOUT_TEXT = tuple(entry for entry in _FAMILIES if entry.model != "text")
_SEQUENCES = (Entry("cf", 12), Entry("gru", 20), Entry("attention_lstm", 36), Entry("transformer", 26))
_JOINT = Entry("joint", 14, over=JOINT)
_COUNTING = (Entry("item_knn", 2), Entry("ease", 3))
_JOINT_COUNTING = Entry("joint", 3, "joint-counting", over=("cf", "item_knn", "ease"))
"""Over what counts, beside the best of what learns there."""
_WIDE = Entry("joint", 16, "joint-wide", over=("attention_lstm", "transformer", "gru", "cf"))
"""With `gru`, the best but one of what retrieves there."""
_THREE = Entry("joint", 130, "joint-ensemble", over=("attention_lstm", "attention_lstm", "attention_lstm", "cf"))
"""Three trainings of the best of what retrieves there: they err differently (Lakshminarayanan et al., NeurIPS 2017)."""
_SIX = Entry("joint", 250, "joint-ensemble-6", over=("attention_lstm",) * 6)
"""More of them, beside which `cf` and `gru` gained nothing on validation users."""
_TEXT = tuple(Entry(entry.model, entry.minutes, f"{entry.model}-text", {"items": "text"}) for entry in _SEQUENCES[1:])
_CONTENT = tuple(
    Entry(entry.model, entry.minutes, f"{entry.model}-content", {"items": "content"}) for entry in _SEQUENCES[2:]
)
_SPARSE = {"tied": True, "dropout": 0.5}
_TIED = (
    *(Entry(entry.model, entry.minutes, f"{entry.model}-tied", _SPARSE) for entry in _SEQUENCES[2:]),
    Entry("joint", 14, "joint-tied", over=("attention_lstm-tied", "transformer-tied", "cf")),
)
"""For data with few events an item."""
_TIED_CONTENT = (
    Entry("transformer", 13, "transformer-tied-content", {**_SPARSE, "negatives": 4096, "items": "content"}),
    Entry("joint", 5, "joint-content", over=("transformer-tied-content", "cf", "item_knn")),
)
"""The same with what is known of the items."""
_CLOCK = {"ranker_time": True}
_TIMED = (
    Entry("attention_lstm", 40, "attention_lstm-time", {"gap_to_now": True, **_CLOCK}),
    Entry("transformer", 32, "transformer-time", {"time_bias": True, "gap_to_now": True, **_CLOCK}),
    Entry("joint", 16, "joint-time", _CLOCK, over=("attention_lstm-time", "transformer-time", "cf")),
)
_TIMED_PAIRS = (*((entry.name, entry.model) for entry in _TIMED), ("joint-time", "attention_lstm-time"))

SUITES: Mapping[str, Suite] = {
    "ml-1m": Suite(
        "quality-ml-1m.json",
        _ml_1m,
        (*_FAMILIES, *_SEQUENCES, _JOINT, _WIDE, _THREE, _SIX),
        pairs=(
            *((name, "attention_lstm") for name in ("joint", "joint-wide", "joint-ensemble", "joint-ensemble-6")),
            ("joint-ensemble-6", "joint-ensemble"),
            ("mlp", "cf"),
        ),
    ),
    "ml-1m-time": Suite(
        "quality-ml-1m-time.json",
        _ml_1m_times,
        (*_SEQUENCES, _JOINT, *_TIMED),
        pairs=(("joint", "attention_lstm"), *_TIMED_PAIRS),
    ),
    "ml-1m-global": Suite(
        "quality-ml-1m-time.json",
        _ml_1m_global,
        (*_SEQUENCES, _JOINT, *_TIMED),
        targets=("last", "successive"),
        pairs=(("joint", "attention_lstm"), *_TIMED_PAIRS),
    ),
    "beauty": Suite(
        "quality-beauty.json",
        _beauty,
        (*_WITHOUT_TEXT, *_SEQUENCES, _JOINT, *_CONTENT, *_TIED, *_TIED_CONTENT),
        pairs=(
            ("joint", "cf"),
            *((entry.name, entry.model) for entry in (*_CONTENT, *_TIED)),
            ("joint-tied", "cf"),
            ("transformer-tied-content", "transformer-tied"),
            ("transformer-tied-content", "cf"),
            ("joint-content", "transformer-tied-content"),
        ),
    ),
    "retail": Suite(
        "quality-retail.json",
        _retail,
        (Entry("text", 3), *_COUNTING, *_SEQUENCES, *_TEXT, _JOINT, _JOINT_COUNTING),
        pairs=(*((entry.name, entry.model) for entry in _TEXT), ("joint", "cf"), ("joint-counting", "cf")),
    ),
}
"""By the word that names them."""
