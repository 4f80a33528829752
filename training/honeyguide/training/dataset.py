"""Keeps a prepared data set: events in catalogue rows, users, items, the split, and the figures that normalise.

A data set is a folder:

    dataset.json    format version, name, spec, kind of split, counts, report of what was read, dropped and kept
    events.parquet  user, item (rows), split (0 train, 1 validation, 2 test), and of time_ms, event_type, dwell_seconds,
                    clicks, quantity, value those that the data has, raw; by user, each user's events oldest first
    users.parquet   row i: user_id
    items.parquet   row i: item_id, title, categories, popularity (training events), and the columns of the items file
                    that were kept: text ("" missing), float64 (NaN missing) or arrays of float32 (all NaN missing)
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk import Categories, DataSpec, HistoryBatch, ItemColumn, ItemTable
from honeyguide.sdk.errors import DataError
from honeyguide.sdk.event import EVENT_FEATURES
from honeyguide.sdk.history import EvaluationSet
from honeyguide.training.dataset_folder import HEADER, check_source, check_target
from honeyguide.training.forked import check_not_forked, first_process
from honeyguide.training.held_out import check_targets, protocol_words, requests_in_turn
from honeyguide.training.preparation.splits import basket_starts
from honeyguide.training.target_folder import writing

__all__ = ["SPLITS", "Dataset", "fingerprint", "item_columns", "number_categories"]

_FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
"""Names of the codes 0, 1, 2 in the column ``split``."""
_ITEM_COLUMNS = ("item_id", "title", "categories", "popularity")


class Dataset:
    """Prepared data set, which gives training and evaluation their histories."""

    def __init__(
        self,
        *,
        name: str,
        spec: DataSpec,
        split: str,
        targets: str = "all",
        events: pl.DataFrame,
        users: pl.DataFrame,
        items: pl.DataFrame,
        report: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        """What the data set is called."""
        self.spec = spec
        """What a model may know of the data."""
        self.split = split
        """How it was split: "leave-one-out", "global-time" or "random"."""
        self.targets = targets
        """What is predicted of a user's events in a part: one of `honeyguide.training.held_out.TARGETS`."""
        self.events = events
        """All events, as in events.parquet."""
        self.users = users
        """(users) column user_id."""
        self.items = items
        """(items) columns item_id, title, categories, popularity, and those of the items file that were kept."""
        self.report: Mapping[str, Any] = report or {}
        """What was read, dropped and kept."""
        self.folder: Path | None = None
        """Where it lies, once it is written or opened."""
        first_process()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Dataset:
        """Reads a data set folder; raises `DataError` where it is none, or a file of it is missing or broken."""
        folder = Path(path)
        check_source(folder)
        check_not_forked()
        try:
            raw = _read_header(folder / HEADER)
            version = raw.get("format_version")
            if version != _FORMAT_VERSION:
                raise DataError(
                    f"the format is {version!r}; this version reads {_FORMAT_VERSION}",
                    file=str(folder / HEADER),
                    remedy="run `honeyguide prepare` again",
                )
            data = cls(
                name=raw["name"],
                spec=DataSpec.from_dict(raw["spec"]),
                split=raw["split"],
                targets=raw.get("targets", "all"),  # older data sets have no other
                events=pl.read_parquet(folder / "events.parquet", glob=False),
                users=pl.read_parquet(folder / "users.parquet", glob=False),
                items=pl.read_parquet(folder / "items.parquet", glob=False),
                report=raw["report"],
            )
            marks = fingerprint(data.events, data.users, data.items)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, pl.exceptions.PolarsError) as error:
            raise DataError(
                f"the data set cannot be read ({type(error).__name__}: {error})",
                file=str(folder),
                remedy="run `honeyguide prepare` again",
            ) from error
        data.folder = folder
        if data.spec.fingerprint and data.spec.fingerprint != marks:
            raise DataError(
                "the tables are not those that dataset.json describes: a file was changed",
                file=str(folder),
                remedy="run `honeyguide prepare` again",
            )
        return data

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Writes the folder, whole or not at all.

        Args:
            path: the folder; its parents are made.
            force: whether a data set that is there already is replaced. Any other folder is never touched.
        """
        check_target(Path(path), force=force)
        folder = Path(path).resolve()  # a link stays one, and where it leads to is written
        with writing(folder, "the data set", pl.exceptions.PolarsError):  # Polars' name for a full disk
            folder.parent.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                self._write(fresh)
                old = fresh.with_name(fresh.name + ".old")
                check_target(Path(path), force=force)  # somebody may have been quicker
                if folder.exists():
                    folder.rename(old)
                try:
                    fresh.rename(folder)
                except OSError:
                    if old.exists():
                        old.rename(folder)
                    raise
                self.folder = Path(path)
                shutil.rmtree(old, ignore_errors=True)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        self.events.write_parquet(folder / "events.parquet", statistics=False)
        self.users.write_parquet(folder / "users.parquet")
        self.items.write_parquet(folder / "items.parquet")
        (folder / HEADER).write_text(json.dumps(self._header(), indent=2, ensure_ascii=False) + "\n", "utf-8")
        folder.chmod(0o755)  # mkdtemp makes it private to the owner

    @property
    def counts(self) -> dict[str, int]:
        """How many events, users, items, and how many events in each part of the split."""
        parts = np.bincount(self.events["split"].to_numpy(), minlength=len(SPLITS))
        sizes = {"events": self.events.height, "users": self.users.height, "items": self.items.height}
        return sizes | {name: int(n) for name, n in zip(SPLITS, parts, strict=True)}

    @property
    def protocol(self) -> str:
        """How it is split and what is predicted, in words; figures of different protocols cannot be compared."""
        return protocol_words(self.split, self.targets)

    def item_table(self) -> ItemTable:
        """Returns the catalogue as networks observe it."""
        categories, names = number_categories(self.items["categories"])
        extra = self.items.drop(_ITEM_COLUMNS)
        return ItemTable(
            ids=self.items["item_id"].to_numpy(),
            titles=self.items["title"].fill_null("").to_numpy(),
            categories=categories,
            category_names=names,
            texts={column.name: column.to_numpy() for column in extra if _kind(column) == "text"},
            # Writable, or torch warns when it shares their memory.
            numbers={column.name: column.to_numpy(writable=True) for column in extra if _kind(column) == "number"},
            vectors={column.name: column.to_numpy(writable=True) for column in extra if _kind(column) == "vector"},
        )

    def training(self) -> HistoryBatch:
        """Returns the training events of every user who has one."""
        return self._histories(self.events["split"].to_numpy() == 0)[0]

    def validation(self) -> EvaluationSet:
        """Returns the users that training, its gate and an export's proof watch.

        They are those of `evaluation`; of successive targets the last of each user alone, which costs a fraction.
        """
        return self.evaluation("validation", "last" if self.targets == "successive" else None)

    def evaluation(self, part: str, targets: str | None = None) -> EvaluationSet:
        """Returns the users with targets in a part of the split and what each did before, never empty.

        The input of "test" includes the validation events. A user's `request_times_ms` is the time of the first target.

        Args:
            part: "validation" or "test".
            targets: one of `honeyguide.training.held_out.TARGETS`; None: those that it was prepared for. All of a part
                but "all" are of a global-time split.

        Raises:
            DataError: no user has a target in this part and a history before it, the split has no such targets, or the
                histories before successive targets are more than memory should hold.
        """
        targets = targets or self.targets
        check_targets(targets, self.split)
        if part not in SPLITS[1:]:
            raise DataError(f"there is no part {part!r} to evaluate", remedy=f"choose one of {', '.join(SPLITS[1:])}")
        code = SPLITS.index(part)
        user = self.events["user"].to_numpy()
        split = self.events["split"].to_numpy()
        if targets != "all":
            begins = basket_starts(user, self.events["time_ms"].to_numpy())
            everything, _ = self._histories(np.ones(len(user), bool))
            if (made := requests_in_turn(everything, user, begins, split, code, targets)) is None:
                raise self._nobody(part)
            requests, owners = made
            return dataclasses.replace(requests, user_ids=tuple(self.users["user_id"].gather(owners).to_list()))
        known = np.bincount(user[split < code], minlength=self.users.height) > 0  # (users,)
        target = np.flatnonzero((split == code) & known[user])
        if not len(target):
            raise self._nobody(part)
        evaluated, first = np.unique(user[target], return_index=True)
        chosen = np.zeros(self.users.height, bool)
        chosen[evaluated] = True
        histories, _ = self._histories((split < code) & chosen[user])
        if self.spec.has_time:
            histories = dataclasses.replace(
                histories, request_times_ms=self.events["time_ms"].to_numpy()[target[first]]
            )
        place = np.searchsorted(evaluated, user[target])
        pairs = np.unique(place * np.int64(self.spec.items) + self.events["item"].to_numpy()[target])
        return EvaluationSet(
            histories=histories,
            target_users=pairs // self.spec.items,
            target_items=(pairs % self.spec.items).astype(np.int32),
            user_ids=tuple(self.users["user_id"].gather(evaluated).to_list()),
        )

    def _nobody(self, part: str) -> DataError:
        return DataError(
            f"data set {self.name!r} has no {part} users: nobody has events in that part and others before it",
            remedy="prepare it again: `honeyguide prepare` says which --split works",
        )

    def histories_for_import(self, batch_events: int = 50_000) -> Iterator[pl.DataFrame]:
        """Yields every event, all parts of the split, by user and oldest first, for the server's event store.

        Where the data has no times, an event's time is its place in its user's history: 1 ms after 1970-01-01 for the
        first, 2 ms for the second, and so on. So the order survives, and importing twice gives the same events.

        Args:
            batch_events: how many events a frame holds at most; a user may go on in the next one.

        Yields:
            Frames with columns user_id, item_id (text), time_ms (int64), event_type (text, "" unknown), and of
            dwell_seconds, clicks, quantity, value (float32, NaN missing, raw) those that the data has.
        """
        user = self.events["user"].to_numpy()
        starts = np.searchsorted(user, np.arange(self.users.height))
        for begin in range(0, self.events.height, batch_events):
            part = self.events.slice(begin, batch_events)
            rows = part["user"].to_numpy()
            place = np.arange(begin, begin + len(rows)) - starts[rows] + 1
            yield pl.DataFrame(
                [
                    self.users["user_id"].gather(part["user"]),
                    self.items["item_id"].gather(part["item"]),
                    part["time_ms"] if self.spec.has_time else pl.Series("time_ms", place, pl.Int64),
                    part["event_type"]
                    if "event_type" in part.columns
                    else pl.Series("event_type", [""]).new_from_index(0, part.height),
                    *(part[name] for name in EVENT_FEATURES if name in part.columns),
                ]
            )

    def _histories(self, mask: NDArray[np.bool_]) -> tuple[HistoryBatch, NDArray[np.int64]]:
        """Returns the marked events as a batch of the users who have any, and these users' rows."""
        check_not_forked()
        events = self.events.filter(pl.Series(mask))
        lengths = np.bincount(events["user"].to_numpy(), minlength=self.users.height)
        users = np.flatnonzero(lengths)
        types = None
        if self.spec.event_types:
            places = {name: i + 1 for i, name in enumerate(self.spec.event_types)}
            types = events["event_type"].replace_strict(places, default=0, return_dtype=pl.Int32).to_numpy()
        batch = HistoryBatch(
            items=events["item"].to_numpy(),
            offsets=np.concatenate([[0], np.cumsum(lengths[users])]).astype(np.int64),
            times_ms=events["time_ms"].to_numpy() if self.spec.has_time else None,
            features={f.name: f(events[f.name].to_numpy()) for f in self.spec.features},
            event_types=types,
        )
        return batch, users

    def _header(self) -> dict[str, Any]:
        return {
            "format_version": _FORMAT_VERSION,
            "name": self.name,
            "split": self.split,
            "targets": self.targets,
            "spec": dataclasses.asdict(self.spec),
            "counts": self.counts,
            "report": dict(self.report),
        }


def _read_header(file: Path) -> dict[str, Any]:
    raw = json.loads(file.read_text("utf-8"))
    if not isinstance(raw, dict):
        raise ValueError(f"{HEADER} holds no JSON object")  # noqa: TRY004  # told as other broken content is
    return raw


def item_columns(items: pl.DataFrame) -> tuple[ItemColumn, ...]:
    """Describes the columns of an items table that were kept, in its order."""
    return tuple(
        ItemColumn(column.name, _kind(column), column.dtype.size if isinstance(column.dtype, pl.Array) else 1)
        for column in items.drop(_ITEM_COLUMNS)
    )


def _kind(column: pl.Series) -> str:
    return "text" if column.dtype == pl.String else "vector" if isinstance(column.dtype, pl.Array) else "number"


def number_categories(lists: pl.Series) -> tuple[Categories, tuple[str, ...]]:
    """Numbers the categories of items by name, with their names; an item may have none, or one of them twice."""
    own = lists.fill_null([]).list.drop_nulls().list.unique()
    offsets = np.concatenate([[0], np.cumsum(own.list.len().to_numpy())]).astype(np.int64)
    names = own.list.explode().drop_nulls()
    codes = names.rank("dense").to_numpy().astype(np.int32) - 1
    owners = np.repeat(np.arange(len(own)), np.diff(offsets))
    return Categories(offsets, codes[np.lexsort((codes, owners))]), tuple(names.unique().sort().to_list())


def fingerprint(events: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> str:
    """Returns the SHA-256 of the content: ids in row order, then every event column and every kept item column by name.

    Titles and categories are left out, so that they can be mended without training again.
    """
    digest = hashlib.sha256()
    for ids in (users["user_id"], items["item_id"]):
        digest.update("\n".join(ids.to_list()).encode() + b"\0")
    for column in (*events, *items.drop(_ITEM_COLUMNS)):
        digest.update(column.name.encode() + b"\0")
        digest.update(_content(column))
    return digest.hexdigest()


def _content(column: pl.Series) -> bytes | memoryview:
    if column.dtype == pl.String:
        return "\n".join(column.to_list()).encode()
    return column.to_numpy().tobytes() if isinstance(column.dtype, pl.Array) else column.to_numpy().data
