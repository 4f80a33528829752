import asyncio
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from honeyguide import training
from honeyguide.sdk.errors import DataError, InvalidArgument
from honeyguide.training.dataset_folder import HEADER, TABLE_FILES
from honeyguide.training.runs.run import Run


def write_log(folder: Path) -> Path:
    path = folder / "log.csv"
    path.write_text("user_id,item_id\n" + "".join(f"u{u},i{(u + i) % 9}\n" for u in range(30) for i in range(5)))
    return path


def test_a_run_stands_where_a_path_may(tmp_path: Path) -> None:
    log = write_log(tmp_path)
    words: list[str] = []
    data = training.prepare(log, out=tmp_path / "data", progress=words.append)
    assert "writing" in words
    run = training.train("cf", data, out=tmp_path / "run", epochs=1, candidates=0, option={"dimension": 4})
    assert Path(run) == run.folder == tmp_path / "run"
    assert run.history["epoch"].to_list() == [0, 1]
    assert run.history.columns == ["phase", "epoch", "loss", "ndcg@10", "seconds"]
    again = Run.open(run)
    assert again == run
    assert again.checkpoint.config["dimension"] == 4


def test_a_retriever_that_is_not_there_is_refused_before_the_data_is_read(tmp_path: Path) -> None:
    for name in (HEADER, *TABLE_FILES):
        (tmp_path / name).touch()  # no data set could be read from these
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        training.train("joint", tmp_path, out=tmp_path / "run", retriever=[tmp_path / "nowhere"])


@pytest.mark.parametrize("name", ["text", "content"])
def test_items_that_nothing_tells_apart_are_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    data = training.prepare(write_log(tmp_path), out=tmp_path / "data")
    with pytest.raises(DataError, match=r"(?s)nothing that it reads of any of its 9 items.*--item-columns"):
        training.train(name, data, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_items_that_are_told_apart_train(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,genres\n" + "".join(f"i{i},{'even' if i % 2 else 'odd'}\n" for i in range(9)))
    about = {"items": items, "item_id": "item_id", "categories": "genres"}
    data = training.prepare(write_log(tmp_path), out=tmp_path / "data", **about)
    training.train("content", data, out=tmp_path / "run", epochs=1, candidates=0, option={"dimension": 4})


def test_a_notebook_may_train_in_its_event_loop_and_in_a_thread(tmp_path: Path) -> None:
    log = write_log(tmp_path)
    data = training.prepare(log, out=tmp_path / "data")
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def train(name: str) -> Run:
        return training.train("cf", data, out=tmp_path / name, epochs=1, candidates=0, option={"dimension": 4})

    async def cells() -> None:
        here = train("here")
        there = await asyncio.to_thread(train, "there")
        assert here.checkpoint.metrics == there.checkpoint.metrics

    asyncio.run(cells())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_two_threads_train_as_one_does(tmp_path: Path) -> None:
    data = training.prepare(write_log(tmp_path), out=tmp_path / "data")

    def train(name: str) -> str:
        option = {"dimension": 4, "dropout": 0.5}
        run = training.train("cf", data, out=tmp_path / name, epochs=3, candidates=0, option=option)
        return run.checkpoint.weights

    with ThreadPoolExecutor(2) as threads:
        assert {*threads.map(train, ("one", "two"))} == {train("alone")}


def test_one_path_is_no_list_of_retrievers(tmp_path: Path) -> None:
    for path in ("runs/shop", Path("runs/shop")):
        with pytest.raises(InvalidArgument, match="retriever is 'runs/shop'; allowed: a list of runs"):
            training.train("joint", tmp_path, out=tmp_path / "out", retriever=path)  # type: ignore[arg-type]  # on purpose


def test_threads_of_torch_do_not_spin_while_they_wait() -> None:
    code = "import os, honeyguide.training; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for set_before, policy in (({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment | set_before, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == policy
