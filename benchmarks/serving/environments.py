"""Builds, once, what a run needs beside this environment: the peers', an older commit's, and the demo's bundle by both.

peers/<name>/            an environment for each peer, of its `requirements.txt` and this one's ONNX Runtime
cache/old-commit/        the sources of `OLD_COMMIT` and an environment that lays them over this one's packages
cache/bundle, cache/bundle-old/
    data, runs, models   what `honeyguide demo` makes of its transformer, by this commit and by the old one
    job                  the bundle's own graphs as the peers and the ceilings load them
    histories.json       of each real user, the items in order
    events.db            real users, and `STORED` users with 50 events each
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.processes import clean_environment

__all__ = [
    "LENGTH",
    "OLD_COMMIT",
    "PEERS",
    "REPOSITORY",
    "STORED",
    "Bundle",
    "Python",
    "bundle",
    "old_python",
    "peer_python",
    "sources_now",
]

REPOSITORY = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"
OLD_COMMIT = "43ba241"
"""What the bars compare with: the server before this work."""
LENGTH = 50
"""Events of a history."""
STORED = [f"stored-{number}" for number in range(4096)]
_ROOTS = ("protos", "plugins", "training", "exporters", "server", "clients/python", "cli")
_SHORT = ("--option", "tied=true", "--option", "dimension=64", "--epochs", "4", "--fit", "final_epochs=2")
"""How `honeyguide demo` trains its transformer."""


@dataclass(frozen=True)
class Python:
    """An interpreter with what it can import."""

    path: Path

    @property
    def packages(self) -> Path:
        """Its folder of packages."""
        return next(self.path.parents[1].glob("lib/python3*/site-packages"))

    def honeyguide(self, *words: object) -> list[str]:
        """Returns the command of a verb."""
        return [str(self.path), "-m", "honeyguide.cli", *map(str, words)]


@dataclass(frozen=True)
class Bundle:
    """The demo's transformer, as one commit exports it."""

    folder: Path

    @property
    def repository(self) -> Path:
        """What a server serves."""
        return self.folder / "models"

    @property
    def job(self) -> Path:
        """What peers load."""
        return self.folder / "job"

    @property
    def events(self) -> Path:
        """The stored users; copy it before events are recorded."""
        return self.folder / "events.db"

    def items(self) -> list[str]:
        """Returns the ids of the catalogue, row by row."""
        items: list[str] = json.loads((self.job / "items.json").read_text("utf-8"))
        return items

    def histories(self) -> dict[str, list[str]]:
        """Returns what each real user did, oldest first."""
        histories: dict[str, list[str]] = json.loads((self.folder / "histories.json").read_text("utf-8"))
        return histories

    def history(self) -> list[str]:
        """Returns the newest events of the first user who has enough of them."""
        return next(items[-LENGTH:] for items in self.histories().values() if len(items) >= LENGTH)


def peer_python(name: str, peers: Path) -> Python:
    """Returns a peer's interpreter; makes its environment where there is none."""
    import onnxruntime  # type: ignore[import-untyped]  # it ships no types

    python = Python(peers / name / "bin" / "python")
    if not python.path.exists():
        _new_environment(python)
        _run(python.path, "-m", "pip", "install", "--quiet", "-r", PEERS / name / "requirements.txt")
        # The same release for all: it does most of the job.
        _run(python.path, "-m", "pip", "install", "--quiet", f"onnxruntime=={onnxruntime.__version__}")
    return python


def old_python(cache: Path) -> Python:
    """Returns an interpreter with the honeyguide of `OLD_COMMIT` and otherwise this environment's packages."""
    home = cache / "old-commit"
    sources, python = home / "source", Python(home / "env" / "bin" / "python")
    if not sources.exists():
        sources.mkdir(parents=True)
        archive = subprocess.run(["git", "-C", REPOSITORY, "archive", OLD_COMMIT], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", sources], input=archive.stdout, check=True)
    if not python.path.exists():
        _new_environment(python)
        ours = [path for path in sys.path if path.endswith("site-packages")]
        # Read in this order: the old sources hide the new ones.
        (python.packages / "a.pth").write_text("".join(f"{sources / root}\n" for root in _ROOTS))
        (python.packages / "b.pth").write_text("".join(f"{path}\n" for path in ours))
        _run(python.path, "-m", "pip", "install", "--quiet", "lightning>=2.5")  # it trained with that
    return python


def bundle(folder: Path, python: Python, sources: str) -> Bundle:
    """Returns the demo's transformer by one commit; makes it where there is none, or where the sources are others.

    Args:
        folder: where it is kept.
        python: of that commit.
        sources: what tells one commit's models and exports from another's.
    """
    made, stamp = Bundle(folder), folder / "made-by"
    if not stamp.exists() or stamp.read_text() != sources:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run(*python.honeyguide("prepare", "--preset", "demo", "--out", folder / "data"))
        _run(*python.honeyguide("train", "transformer", folder / "data", "--out", folder / "runs", *_SHORT))
        _run(*python.honeyguide("export", folder / "runs", folder / "data", "--repository", made.repository))
        _make_job(made)
        _make_histories(made)
        _store_users(made)
        stamp.write_text(sources)
    return made


def sources_now() -> str:
    """Returns the hashes of the folders that decide what a bundle holds."""
    words = [f"HEAD:{folder}" for folder in ("plugins", "training", "exporters")]
    return subprocess.run(
        ["git", "-C", REPOSITORY, "rev-parse", *words], check=True, capture_output=True, text=True
    ).stdout


def _make_job(made: Bundle) -> None:
    import numpy as np
    import polars as pl

    source = made.repository / "transformer" / "1"
    made.job.mkdir()
    for name in ("user.onnx", "rank.onnx", "item_vectors.npy"):
        shutil.copy(source / name, made.job)
    items = pl.read_parquet(source / "items.parquet", columns=["item_id"])["item_id"].to_list()
    (made.job / "items.json").write_text(json.dumps(items))
    np.savez(made.job / "absent.npz", **_absent(source))


def _absent(source: Path) -> dict[str, Any]:
    """Returns what the graphs are given for an event of which the item alone is known, by the model's encode."""
    import numpy as np

    from honeyguide.sdk import HistoryBatch
    from honeyguide.sdk.host import PluginHost
    from honeyguide.server.bundles.loading import load_bundle
    from honeyguide.server.bundles.runtime import Runtime

    loaded = load_bundle(source, PluginHost.load(), Runtime.detect())
    unknown = np.full(LENGTH, np.nan, np.float32)
    features = {scaler.name: scaler(unknown) for scaler in loaded.manifest.data.features}
    arrays = loaded.encode(
        HistoryBatch(np.arange(LENGTH, dtype=np.int32), np.array([0, LENGTH]), np.zeros(LENGTH, np.int64), features)
    )
    rest = {name: array[0] for name, array in arrays.items() if name != "tokens"}  # (length, width)
    if any((array != array[0]).any() for array in rest.values()):
        raise RuntimeError("events of which nothing is known differ: the job of the peers must be told how")
    return {name: array[0] for name, array in rest.items()}


def _make_histories(made: Bundle) -> None:
    import polars as pl

    data = made.folder / "data"
    items = pl.read_parquet(data / "items.parquet")["item_id"].to_list()
    users = pl.read_parquet(data / "users.parquet")["user_id"].to_list()
    events = pl.read_parquet(data / "events.parquet")
    rows = events.group_by("user", maintain_order=True).agg("item").iter_rows()
    histories = {str(users[user]): [str(items[item]) for item in own] for user, own in rows}
    (made.folder / "histories.json").write_text(json.dumps(histories))


def _store_users(made: Bundle) -> None:
    """Imports the real users as the demo does, and users with exactly `LENGTH` events, cut from all real ones."""
    import polars as pl

    from honeyguide.server.events.sqlite import SqliteEventStore

    _run(*Python(Path(sys.executable)).honeyguide("events", "import", made.folder / "data", "--events", made.events))
    stream = [item for items in made.histories().values() for item in items]
    starts = [number * 7 % (len(stream) - LENGTH) for number in range(len(STORED))]
    frame = pl.DataFrame(
        {
            "user_id": [user for user in STORED for _ in range(LENGTH)],
            "item_id": [item for start in starts for item in stream[start : start + LENGTH]],
            "time_ms": [1_600_000_000_000 + place * 3_600_000 for _ in STORED for place in range(LENGTH)],
        }
    )
    with SqliteEventStore(made.events) as store:
        for part in frame.iter_slices(20_000):
            store.import_events(part)


def _new_environment(python: Python) -> None:
    _run(sys.executable, "-m", "venv", python.path.parents[1])


def _run(*command: object) -> None:
    words: Sequence[str] = [str(word) for word in command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=clean_environment())
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
