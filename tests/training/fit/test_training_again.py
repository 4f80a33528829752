"""Trains again after a training failed: each remedy that a message names works, and nothing that was whole is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from checkerboard import Tiny, TinyConfig, _LastItem, checkerboard_host
from small_disk import files_end_at
from torch import Tensor, nn

from honeyguide import training
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.errors import ConfigError, DataError, PluginError
from honeyguide.sdk.host import PluginHost, PluginInfo
from honeyguide.training.dataset import Dataset
from honeyguide.training.runs.run import Run
from honeyguide.training.runs.unfinished import is_under_way

pytestmark = pytest.mark.slow(7)

Train = Callable[..., Run]


class _Troubled(_LastItem):
    """Learns for one epoch, and then what its trouble says."""

    def __init__(self, items: int, config: TroubledConfig) -> None:
        super().__init__(items, config.width, 0.0)
        self.trouble, self.batches = config.trouble, 0

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        self.batches += 1
        if self.trouble == "nan" and self.batches > 1:
            return super().loss(batch) * float("nan")
        if self.trouble == "raises" and self.batches > 1:
            raise IndexError("index 7 is out of range")
        if self.trouble == "gradient":
            return super().loss(batch).detach()
        return super().loss(batch)


@dataclass(frozen=True)
class TroubledConfig(TinyConfig):
    trouble: str = ""

    def __post_init__(self) -> None:
        if self.trouble == "options":
            raise ValueError("these options do not go together")


class Troubled(Tiny):
    name = "troubled"
    Config = TroubledConfig
    fit_defaults: Mapping[str, Any] = {"epochs": 3, "candidates": 0}

    def network(self) -> nn.Module:
        if self.config.trouble == "network":
            raise RuntimeError("not enough memory: you tried to allocate 9 TB")
        return _Troubled(self.data.items, self.config)

    def encode(self, histories: HistoryBatch) -> Any:
        if self.config.trouble == "encode":
            raise KeyError("dwell")
        return super().encode(histories)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("data")
    log = folder / "log.csv"
    log.write_text("user_id,item_id\n" + "".join(f"u{u},i{(u + i) % 9}\n" for u in range(30) for i in range(6)))
    return training.prepare(log, out=folder / "data")


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, data: Dataset, tmp_path: Path) -> Train:
    """Trains the model with troubles into the folder "run"."""
    tiny = checkerboard_host()
    info = PluginInfo("troubled", "troubled-plugin", "1.0", models=("troubled",))
    host = PluginHost((info,), {**tiny.models, "troubled": Troubled}, {}, {"troubled": info, "tiny": info})
    monkeypatch.setattr(PluginHost, "load", lambda: host)

    def call(trouble: str = "", **options: Any) -> Run:
        option = {"trouble": trouble} if trouble else {}
        return training.train("troubled", data, **{"out": tmp_path / "run", "option": option} | options)

    return call


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_after_numbers_that_are_not_finite_another_learning_rate_is_tried_at_once(train: Train, tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"smaller learning rate \(--lr\).*progress\.failed") as raised:
        train("nan")
    assert raised.value.__cause__ is not None
    assert (tmp_path / "run" / "progress.failed" / "retriever.safetensors").exists()  # an epoch was done
    with pytest.raises(PluginError, match=r"progress\.failed"):
        train("nan")  # the same again comes to the same
    run = train(lr=1e-4)
    assert run.checkpoint.options["lr"] == 1e-4
    assert {path.name for path in run.folder.iterdir()} == {
        "checkpoint.json",
        "history.csv",
        "items.parquet",
        "weights.safetensors",
    }


def test_an_unfinished_training_is_kept_from_others_until_force_begins_anew(train: Train, tmp_path: Path) -> None:
    with pytest.raises(PluginError):
        train("raises")
    with pytest.raises(ConfigError, match=r"another config lies in .*or begin anew with --force"):
        train()
    assert train(force=True).checkpoint.report["resumed"] is False


def test_who_began_with_force_and_was_stopped_goes_on_without(train: Train, tmp_path: Path) -> None:
    first = train(epochs=1)

    def stop(progress: Any) -> None:
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(force=True, progress=stop)
    assert Run.open(first).checkpoint == first.checkpoint
    again = train()
    assert again.checkpoint.report["resumed"] is True
    assert len(again.history) == 4
    with pytest.raises(DataError, match="a trained model lies in here"):
        train()


def test_a_data_set_that_is_too_short_leaves_the_folder_free(train: Train, tmp_path: Path) -> None:
    log = tmp_path / "short.csv"
    log.write_text("user_id,item_id\n" + "".join(f"u{u},i{(u + i) % 9}\n" for u in range(30) for i in range(3)))
    short = training.prepare(log, out=tmp_path / "short", trainable=False)
    with pytest.raises(DataError, match=r"two baskets of training events.*\n.*--split") as raised:
        training.train("troubled", short, out=tmp_path / "run")
    assert "--split global-time" not in str(raised.value)  # these have no times
    assert not (tmp_path / "run").exists()
    train()


@pytest.mark.parametrize(
    ("trouble", "cause", "message"),
    [
        (
            "raises",
            IndexError,
            r"failed in loss on a batch of 30 users × 3 events \(IndexError: index 7",
        ),
        ("gradient", RuntimeError, r"failed in loss on a batch of 30 users × 3 events \(RuntimeError: "),
        ("network", RuntimeError, r"failed in network \(RuntimeError: not enough memory.*allocate 9 TB"),
        ("encode", KeyError, r"failed in encode on a batch of 30 users × \d events \(KeyError: 'dwell'\)"),
    ],
)
def test_what_a_plugin_raises_names_model_call_batch_and_options(
    train: Train, trouble: str, cause: type[Exception], message: str
) -> None:
    with pytest.raises(PluginError, match=rf"model 'troubled' {message}.*max_length=5, trouble={trouble}") as raised:
        train(trouble)
    assert isinstance(raised.value.__cause__, cause)
    assert str(raised.value).endswith("memory is short" if trouble == "network" else "or ask its author")


def test_a_constructor_that_refuses_is_a_plain_error(train: Train) -> None:
    with pytest.raises(ConfigError, match="these options do not go together"):
        train("options")


@pytest.mark.parametrize("name", ["training.json", "retriever.safetensors", "history.csv"])
@pytest.mark.parametrize("torn", [b"", b"garbage \xff\x00", b"{}", None])
def test_a_torn_file_of_an_unfinished_training_is_named_with_a_remedy_that_works(
    train: Train, tmp_path: Path, name: str, torn: bytes | None
) -> None:
    def stop(progress: Any) -> None:
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(progress=stop)
    file = tmp_path / "run" / "progress" / name
    file.write_bytes(file.read_bytes()[:-7] if torn is None else torn)
    if name == "history.csv":  # it is made again from the other
        assert len(train().history) == 4
        return
    with pytest.raises((DataError, ConfigError), match=rf"(?s)(progress.*{name}.*cannot be read|lies in).*--force"):
        train()
    assert train(force=True).checkpoint.report["resumed"] is False


def test_a_second_training_into_one_folder_is_refused_and_the_first_goes_on(train: Train, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from honeyguide.training.folder_lock import sole_use\n"
        "with sole_use(Path(sys.argv[1]), Path(sys.argv[1], '.training-lock'), 'training'):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DataError, match=rf"another training works on this now \(process {other.pid}\)"):
            train(force=True)
        other.kill()
    assert (tmp_path / "run" / ".training-lock").exists()  # it holds nobody up
    train()
    assert not (tmp_path / "run" / ".training-lock").exists()


def test_threads_do_not_train_into_one_folder_either(train: Train) -> None:
    refused: list[Exception] = []

    def second() -> None:
        try:
            train()
        except DataError as error:
            refused.append(error)

    def meanwhile(progress: Any) -> None:
        if (progress.epoch, progress.batch) == (1, 1):
            thread = threading.Thread(target=second)
            thread.start()
            thread.join(60)

    train(progress=meanwhile)
    assert f"process {os.getpid()}" in str(refused[0])


@pytest.mark.parametrize("size", [0, 300, 1_500])
def test_a_disk_that_is_full_keeps_the_model_that_was_there(train: Train, tmp_path: Path, size: int) -> None:
    run = train(epochs=1)
    before = content(run.folder)
    with files_end_at(size), pytest.raises(DataError, match=r"cannot be written: .*File too large(?s:.)*remedy:"):
        train(force=True, epochs=2)
    assert {name: data for name, data in content(run.folder).items() if not name.startswith("progress/")} == before
    assert not [name for name in content(run.folder) if name.endswith(".part") or "finished" in name]
    assert train(epochs=2, force=not is_under_way(run.folder / "progress")).checkpoint.options["epochs"] == 2


def test_a_link_that_leads_nowhere_yet_is_trained_into(train: Train, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "disk" / "run")
    run = train()
    assert run.folder.is_symlink()
    assert json.loads((tmp_path / "disk" / "run" / "checkpoint.json").read_text())["model"] == "troubled"
