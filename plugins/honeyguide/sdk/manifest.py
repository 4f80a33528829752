"""Reads, writes and verifies ``bundle.json``, the manifest that makes a folder a bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from honeyguide.sdk.data import DataSpec
from honeyguide.sdk.errors import BundleError, CorruptBundle, ForeignBundle
from honeyguide.sdk.model import TensorSpec
from honeyguide.sdk.untrusted import open_regular, parse_json, read_bounded

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "SIGNATURE",
    "IndexInfo",
    "Manifest",
    "file_sha256",
    "manifest_bytes",
    "parse_manifest",
    "read_manifest",
    "read_verified",
    "verify",
    "vocabulary_hash",
]

FORMAT_VERSION = 3
_WITHOUT_VECTORS = 4
"""Format of bundles that score the whole catalogue: a server that knows no such ones refuses them by it."""
_WITHOUT_DIGEST = 2
"""Format of before manifests had a digest; such bundles go on serving."""
MANIFEST = "bundle.json"
SIGNATURE = "bundle.sig"
_LARGEST = 1_048_576
"""Bytes of a manifest; those we write have a few thousand."""
USER_GRAPH = "user.onnx"
RANK_GRAPH = "rank.onnx"
STEP_GRAPH = "step.onnx"
EXPLAIN_GRAPH = "explain.onnx"
ITEM_GRAPH = "item.onnx"
ITEM_VECTORS = "item_vectors.npy"
INDEX = "index.faiss"
NEIGHBOURS = "neighbours.npy"
NEIGHBOUR = np.dtype([("row", "<i4"), ("score", "<f4")])
"""An entry of `NEIGHBOURS`, which has (items, n): a catalogue row, -1 where there are fewer, and its similarity."""
ITEMS = "items.parquet"


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """Description of the retrieval index."""

    kind: str
    """"flat" is exact; others are approximate."""
    recall_at_100: float
    """Against exact search on held-out users, 0–1."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of one bundle: everything a server needs to serve it without torch."""

    name: str
    """The bundle's name, the folder it lies in."""
    version: int
    """1 or more."""
    created: str
    """ISO 8601 in UTC, to the second."""
    model_class: str
    """Name of the plugin model class."""
    api_version: int
    """The plugin contract's version the class was written for."""
    plugin: str
    """Distribution and version of the plugin, such as "honeyguide 0.1.0"."""
    config: Mapping[str, Any]
    """The model class's options."""
    weights: str
    """SHA-256 of the checkpoint's weights, 64 hexadecimal digits; "" where it was made from none."""
    data: DataSpec
    """What it was trained on."""
    inputs: tuple[TensorSpec, ...]
    """Inputs of the user graph; its output is "user_vector" [batch, dimension]. Where the bundle steps, there is also
    "state" [batch, S]. Where it scores the catalogue, its only output is "item_scores" [batch, items]."""
    dimension: int
    """Length of user and item vectors; 0 where there are none."""
    max_length: int
    """How many newest events are encoded."""
    ranks: bool
    """Whether there is a rank graph: the user graph's inputs, "candidates" [batch, n] int64 tokens and
    "retrieval_scores" [batch, n, sources] float32 → "scores" [batch, n]. A PAD candidate's score means nothing."""
    candidates: int
    """How many candidates the ranker was fitted on; how many to retrieve for it. 0 where it does not rank."""
    steps: bool
    """Whether there is a step graph: "state" [batch, S] and the user graph's inputs for one event, their length 1 →
    "next_state" [batch, S] and "user_vector"."""
    explains: bool
    """Whether there is an explain graph: the user graph's inputs and "candidates" → "shares" [batch, n, length]."""
    retrievers: tuple[tuple[str, int], ...]
    """Name and version of the bundles that retrieve for this one, in the order of the rank graph's sources. Empty where
    it retrieves itself; otherwise it has neither user graph nor vectors nor index."""
    vocabulary: str
    """The item ids' `vocabulary_hash`."""
    index: IndexInfo | None
    """None where it does not retrieve, or scores the whole catalogue."""
    metrics: Mapping[str, float]
    """Offline metrics on validation users, such as "retrieve/ndcg@10"."""
    proof: Mapping[str, float]
    """What the export measured: largest differences torch − ONNX, ΔNDCG@10 served − torch."""
    files: Mapping[str, str]
    """SHA-256 of every other file of the bundle, by name."""
    precision: str = "float32"
    """What its graphs compute with: "float32", "float16" or "int8"; the proof says what that costs."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of every other file, by name; empty in format 2."""
    item_inputs: tuple[TensorSpec, ...] = ()
    """Inputs of the item graph, as `Model.encode_items` makes them; its output is "item_vector" [batch, dimension], in
    the space of the bundle's item vectors. Empty where there is no such graph."""
    scores_catalogue: bool = False
    """Whether the user graph scores every item: then there are neither vectors nor index, and, where it says which
    items are alike, `NEIGHBOURS`."""
    digest: str = ""
    """SHA-256 of all the above as `sealed` computes it, and so of every byte of the bundle; "" in format 2."""

    @property
    def user_output(self) -> str:
        """Name of the user graph's first output."""
        return "item_scores" if self.scores_catalogue else "user_vector"

    @property
    def user_width(self) -> int:
        """Numbers of a user in that output."""
        return self.data.items if self.scores_catalogue else self.dimension

    def differences(self, other: Manifest) -> tuple[str, ...]:
        """Names what keeps two bundles from being used together: in what their data or their item ids differ.

        The data sets' fingerprints may differ: they cover the events as well, and these do not reach a bundle.
        """
        own, others = dataclasses.asdict(self.data), dataclasses.asdict(other.data)
        names = [name for name in own if name != "fingerprint" and own[name] != others[name]]
        return (*names, *["item ids"] * (self.vocabulary != other.vocabulary))

    def sealed(self) -> Manifest:
        """Returns it with its digest."""
        return dataclasses.replace(self, digest=_digest(json.loads(self.to_json())))

    def to_json(self) -> str:
        """Returns the manifest as JSON text."""
        plain = dataclasses.asdict(self) | {"config": dict(self.config)}
        if not self.scores_catalogue:  # as before there were such bundles, so that servers of then read it
            del plain["scores_catalogue"]
        version = _WITHOUT_VECTORS if self.scores_catalogue else FORMAT_VERSION
        return json.dumps({"format_version": version} | plain, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, content: str | bytes) -> Manifest:
        """Parses a manifest; raises `ForeignBundle` for another format, `CorruptBundle` for a broken or changed one."""
        try:
            raw = parse_json(content.encode() if isinstance(content, str) else content)
            if not isinstance(raw, dict) or "format_version" not in raw:
                raise ForeignBundle(f"{MANIFEST} has no format_version: it is not a Honeyguide bundle")
            version = raw["format_version"]
            if version not in (FORMAT_VERSION, _WITHOUT_VECTORS, _WITHOUT_DIGEST):
                raise ForeignBundle(
                    f"{MANIFEST} has format {version!r}; this server reads {FORMAT_VERSION} and {_WITHOUT_VECTORS}: "
                    "export the model again"
                )
            if (version != _WITHOUT_DIGEST or "digest" in raw) and raw["digest"] != _digest(raw):
                raise CorruptBundle(f"{MANIFEST} was changed; export the model again")
            if raw.get("scores_catalogue", False) is not (version == _WITHOUT_VECTORS):
                raise CorruptBundle(f"{MANIFEST} has a format that is not its kind's; export the model again")
            del raw["format_version"]
            raw["data"] = DataSpec.from_dict(raw["data"])
            raw["inputs"], raw["item_inputs"] = _specs(raw["inputs"]), _specs(raw.get("item_inputs", ()))
            raw["index"] = None if raw["index"] is None else IndexInfo(**raw["index"])
            raw["retrievers"] = tuple((name, version) for name, version in raw["retrievers"])
            return _of_its_types(cls(**raw))
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptBundle(
                f"{MANIFEST} cannot be read ({type(error).__name__}: {error}); export the model again"
            ) from error


def _specs(raw: Iterable[Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(spec["name"], spec["dtype"], tuple(spec["axes"])) for spec in raw)


def _digest(raw: Mapping[str, Any]) -> str:
    """Returns the SHA-256 of a parsed manifest, but for the digest in it, in the one form that its values have."""
    rest = {name: value for name, value in raw.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _of_its_types(manifest: Manifest) -> Manifest:
    """Returns the manifest; raises `TypeError` naming the first field of another type, or range, than it says."""
    kinds = {"str": str, "int": int, "bool": bool}
    mappings = {"metrics": int | float, "proof": int | float, "files": str, "sizes": int, "config": object}
    for each in dataclasses.fields(manifest):
        value = getattr(manifest, each.name)
        kind: Any = kinds.get(str(each.type))
        if each.name in mappings:
            fits = isinstance(value, dict) and all(isinstance(v, mappings[each.name]) for v in value.values())
        elif each.name == "retrievers":
            fits = all(type(name) is str and type(version) is int for name, version in value)
        else:
            fits = kind is None or (type(value) is kind and (kind is not int or 0 <= value < 2**63))
        if not fits:
            raise TypeError(f"{each.name} is {value!r:.80}")
    if manifest.index is not None and not (
        isinstance(manifest.index.kind, str) and isinstance(manifest.index.recall_at_100, int | float)
    ):
        raise TypeError(f"index is {manifest.index!r:.80}")
    datetime.fromisoformat(manifest.created)
    return manifest


def vocabulary_hash(item_ids: Iterable[str]) -> str:
    """Returns the SHA-256 of item ids in row order, joined by newlines, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(item_ids).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Returns a file's SHA-256 as 64 hexadecimal digits; raises `OSError` for anything but a regular file."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Reads a folder's manifest; raises `ForeignBundle` or `CorruptBundle`."""
    return parse_manifest(folder, manifest_bytes(folder))


def manifest_bytes(folder: Path) -> bytes:
    """Reads the bytes of a folder's manifest, which are what is signed; raises `ForeignBundle` or `CorruptBundle`."""
    try:
        return read_bounded(folder / MANIFEST, _LARGEST)
    except FileNotFoundError:
        raise ForeignBundle(f"no {MANIFEST} in {_place(folder)}: it is not a Honeyguide bundle") from None
    except OSError as error:
        raise CorruptBundle(f"{_place(folder)}: {MANIFEST} {_problem(error)}; export the model again") from error


def parse_manifest(folder: Path, content: bytes) -> Manifest:
    """Parses what `manifest_bytes` read of a folder; raises `ForeignBundle` or `CorruptBundle`."""
    try:
        manifest = Manifest.from_json(content)
    except BundleError as error:
        raise type(error)(f"{_place(folder)}: {error.message}") from error.__cause__
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise ForeignBundle(
            f"the bundle in {_place(folder)} says it is {manifest.name}/{manifest.version}: "
            "put it back where it belongs"
        )
    return manifest


def verify(folder: Path, manifest: Manifest, later: Container[str] = ()) -> None:
    """Raises `CorruptBundle` naming the first file that is missing, added, changed or no file at all.

    Args:
        folder: the bundle.
        manifest: its manifest.
        later: files of which only the names are looked at, since `read_verified` will read them.
    """
    try:
        present = {path.name for path in folder.iterdir()} - {MANIFEST, SIGNATURE}
    except OSError as error:
        raise CorruptBundle(f"{manifest.name}/{manifest.version} {_problem(error)}; export the model again") from error
    if missing := sorted(set(manifest.files) - present):
        raise CorruptBundle(f"{manifest.name}/{manifest.version}: file {missing[0]} is missing; export the model again")
    if added := sorted(present - set(manifest.files)):
        raise CorruptBundle(f"{manifest.name}/{manifest.version}: file {added[0]} is not in the manifest; remove it")
    for name in manifest.files:
        if name not in later:
            with _opened(folder, manifest, name) as file:
                _compare(manifest, name, hashlib.file_digest(file, "sha256").hexdigest())


def read_verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Reads a file of a bundle once and returns the very bytes that were hashed; raises `CorruptBundle` naming it.

    So nothing can come between the proof and the use, and the file may change as soon as it is read.
    """
    with _opened(folder, manifest, name) as file:
        content = file.read()
    _compare(manifest, name, hashlib.sha256(content).hexdigest())
    return content


@contextmanager
def _opened(folder: Path, manifest: Manifest, name: str) -> Iterator[BufferedReader]:
    """Opens a file of a bundle; of another size than the manifest says it is not even read."""
    label = f"{manifest.name}/{manifest.version}"
    try:
        with open_regular(folder / name) as file:
            size = os.fstat(file.fileno()).st_size
            if size != manifest.sizes.get(name, size):
                raise CorruptBundle(f"{label}: file {name} was changed; export the model again")
            yield file
    except OSError as error:
        raise CorruptBundle(f"{label}: file {name} {_problem(error)}; export the model again") from error


def _place(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _problem(error: OSError) -> str:
    """Says what is wrong with a file: what it is, in `open_regular`'s words, or what the system says."""
    text = error.strerror or type(error).__name__
    return text if text.startswith("is ") else f"cannot be read ({text})"


def _compare(manifest: Manifest, name: str, digest: str) -> None:
    if manifest.files.get(name) != digest:
        raise CorruptBundle(f"{manifest.name}/{manifest.version}: file {name} was changed; export the model again")
