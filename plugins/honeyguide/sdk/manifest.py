"""Reads, writes and verifies ``bundle.json``, the manifest that makes a folder a bundle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeyguide.sdk.data import DataSpec
from honeyguide.sdk.errors import CorruptBundle, ForeignBundle
from honeyguide.sdk.model import TensorSpec

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "IndexInfo",
    "Manifest",
    "file_sha256",
    "read_manifest",
    "read_verified",
    "verify",
    "vocabulary_hash",
]

FORMAT_VERSION = 2
MANIFEST = "bundle.json"
USER_GRAPH = "user.onnx"
RANK_GRAPH = "rank.onnx"
STEP_GRAPH = "step.onnx"
EXPLAIN_GRAPH = "explain.onnx"
ITEM_VECTORS = "item_vectors.npy"
INDEX = "index.faiss"
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
    "state" [batch, S]."""
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
    """None where it does not retrieve."""
    metrics: Mapping[str, float]
    """Offline metrics on validation users, such as "retrieve/ndcg@10"."""
    proof: Mapping[str, float]
    """What the export measured: largest differences torch − ONNX, ΔNDCG@10 served − torch."""
    files: Mapping[str, str]
    """SHA-256 of every other file of the bundle, by name."""
    precision: str = "float32"
    """What its graphs compute with: "float32", "float16" or "int8"; the proof says what that costs."""

    def differences(self, other: Manifest) -> tuple[str, ...]:
        """Names what keeps two bundles from being used together: in what their data or their item ids differ.

        The data sets' fingerprints may differ: they cover the events as well, and these do not reach a bundle.
        """
        own, others = dataclasses.asdict(self.data), dataclasses.asdict(other.data)
        names = [name for name in own if name != "fingerprint" and own[name] != others[name]]
        return (*names, *["item ids"] * (self.vocabulary != other.vocabulary))

    def to_json(self) -> str:
        """Returns the manifest as JSON text."""
        plain = dataclasses.asdict(self) | {"config": dict(self.config)}
        return json.dumps({"format_version": FORMAT_VERSION} | plain, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parses a manifest; raises `ForeignBundle` for another format, `CorruptBundle` where it is broken."""
        try:
            raw = json.loads(text)
            if not isinstance(raw, dict) or "format_version" not in raw:
                raise ForeignBundle(f"{MANIFEST} has no format_version: it is not a Honeyguide bundle")
            version = raw.pop("format_version")
            if version != FORMAT_VERSION:
                raise ForeignBundle(
                    f"{MANIFEST} has format {version!r}; this server reads {FORMAT_VERSION}: export the model again"
                )
            raw["data"] = DataSpec.from_dict(raw["data"])
            raw["inputs"] = tuple(TensorSpec(i["name"], i["dtype"], tuple(i["axes"])) for i in raw["inputs"])
            raw["index"] = None if raw["index"] is None else IndexInfo(**raw["index"])
            raw["retrievers"] = tuple((name, version) for name, version in raw["retrievers"])
            return cls(**raw)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptBundle(
                f"{MANIFEST} cannot be read ({type(error).__name__}: {error}); export the model again"
            ) from error


def vocabulary_hash(item_ids: Iterable[str]) -> str:
    """Returns the SHA-256 of item ids in row order, joined by newlines, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(item_ids).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Returns a file's SHA-256 as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Reads a folder's manifest; raises `ForeignBundle` or `CorruptBundle`."""
    try:
        text = (folder / MANIFEST).read_text("utf-8")
    except FileNotFoundError:
        raise ForeignBundle(
            f"no {MANIFEST} in {folder.parent.name}/{folder.name}: it is not a Honeyguide bundle"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorruptBundle(f"{MANIFEST} cannot be read: {type(error).__name__}; export the model again") from error
    manifest = Manifest.from_json(text)
    if (manifest.name, str(manifest.version)) != (folder.parent.name, folder.name):
        raise ForeignBundle(
            f"the bundle in {folder.parent.name}/{folder.name} says it is {manifest.name}/{manifest.version}: "
            "put it back where it belongs"
        )
    return manifest


def verify(folder: Path, manifest: Manifest, later: Container[str] = ()) -> None:
    """Raises `CorruptBundle` naming the first file that is missing, added or changed.

    Args:
        folder: the bundle.
        manifest: its manifest.
        later: files of which only the names are looked at, since `read_verified` will read them.
    """
    present = {path.name for path in folder.iterdir()} - {MANIFEST}
    if missing := sorted(set(manifest.files) - present):
        raise CorruptBundle(f"{manifest.name}/{manifest.version}: file {missing[0]} is missing; export the model again")
    if added := sorted(present - set(manifest.files)):
        raise CorruptBundle(f"{manifest.name}/{manifest.version}: file {added[0]} is not in the manifest; remove it")
    for name in manifest.files:
        if name not in later:
            _compare(manifest, name, file_sha256(folder / name))


def read_verified(folder: Path, manifest: Manifest, name: str) -> bytes:
    """Reads a file of a bundle once and returns the very bytes that were hashed; raises `CorruptBundle` naming it.

    So nothing can come between the proof and the use, and the file may change as soon as it is read.
    """
    content = (folder / name).read_bytes()
    _compare(manifest, name, hashlib.sha256(content).hexdigest())
    return content


def _compare(manifest: Manifest, name: str, digest: str) -> None:
    if manifest.files.get(name) != digest:
        raise CorruptBundle(f"{manifest.name}/{manifest.version}: file {name} was changed; export the model again")
