"""Measures how fast a real server answers, beside what gRPC, ONNX Runtime and numpy allow in the same run.

    python benchmarks/serve.py --out benchmarks/results/serve.json

The bundle and the stored events are made on the spot (`synthetic`). Server, caller and the empty gRPC server are three
processes on the same cores. Every run starts a server of its own and takes every figure in turn, so that a busy moment
of the machine hits each alike. A row has the median over the runs, and the least and the most.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

# As `honeyguide serve` does, before FAISS and numpy are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import faiss
import grpc
import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # it ships no types
import polars as pl

from honeyguide.client import Client, Event, Ranked, UserRow
from honeyguide.sdk import HistoryBatch
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import RANK_GRAPH, USER_GRAPH
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.v1.recommender_service_pb2 import RecommendRequest
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from record import machine, over_runs, write
from synthetic import CANDIDATES, ITEM_IDS, ITEMS, USER_IDS, USERS, draw

CALLERS = (1, 8, 64)
PIPELINES = ("retrieve", "rank")
"""Of ``cf``; the pipeline "gru" retrieves with ``gru``."""
STREAM_USERS = 256
"""Users in one message of a stream: what `honeyguide score` sends."""
FRESH = 100
"""Events whose effect on the answer is timed."""
LIVE_USERS, LIVE_EVENTS = 40, 150
"""Users who do one thing after another, and what they have done before; ``gru`` reads 200 events."""
SCORE_K = 100
FETCHED = 512
"""Items that an index must find where a user has seen 165 of the best and 200 candidates are wanted."""
Figures = dict[str, float]


def spread(seconds: Sequence[float]) -> Figures:
    p50, p99 = np.percentile(seconds, (50, 99)) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


def repeat(duration: float, users: int, work: Callable[[], object]) -> Figures:
    """Does the work of ``users`` users again and again, in this thread."""
    work()
    seconds: list[float] = []
    start = perf_counter()
    while (begun := perf_counter()) - start < duration:
        work()
        seconds.append(perf_counter() - begun)
    return {"users_per_s": len(seconds) * users / (perf_counter() - start)} | spread(seconds)


async def callers(count: int, duration: float, call: Callable[[int], Awaitable[object]]) -> Figures:
    """Keeps ``count`` callers busy, each with one call at a time."""
    await call(0)
    seconds: list[float] = []
    numbers = iter(range(1, sys.maxsize))
    start = perf_counter()

    async def caller() -> None:
        while (begun := perf_counter()) - start < duration:
            await call(next(numbers))
            seconds.append(perf_counter() - begun)

    await asyncio.gather(*(caller() for _ in range(count)))
    return {"requests_per_s": len(seconds) / (perf_counter() - start)} | spread(seconds)


async def unary(port: int, pipeline: str, count: int, duration: float) -> Figures:
    """Asks for ten items for one stored user after the other."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = RecommenderServiceStub(channel)

        async def call(number: int) -> None:
            answer = await stub.Recommend(
                RecommendRequest(user_id=USER_IDS[number * 7 % USERS], k=10, pipeline=pipeline)
            )
            if len(answer.items) != 10 or answer.degraded:
                raise RuntimeError(
                    f"a user was answered with {len(answer.items)} items, {list(answer.degraded_reasons)}"
                )

        return await callers(count, duration, call)


async def empty_calls(port: int, count: int, duration: float) -> Figures:
    """Calls a method that does nothing, of a server without interceptors."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        nothing: Any = channel.unary_unary("/bench.Bench/Nothing")
        return await callers(count, duration, lambda _: nothing(bytes(20)))


def stream(client: Client, pipeline: str, users: Sequence[UserRow | str]) -> Figures:
    """Answers all users over one stream."""
    batches = (users[start : start + STREAM_USERS] for start in range(0, len(users), STREAM_USERS))
    start = perf_counter()
    answered = 0
    for answer in client.recommend_stream(batches, k=10, pipeline=pipeline):
        answered += sum(isinstance(row, Ranked) and len(row.item_ids) == 10 for row in answer.rows)
    if answered != len(users):
        raise RuntimeError(f"{answered} of {len(users)} users were answered")
    return {"users_per_s": answered / (perf_counter() - start)}


def freshness(client: Client, run: int) -> Figures:
    """Times from recording an event until the item is gone from the answer; every answer in between counts."""
    seconds, answers = [], 0
    for number in range(FRESH):
        user = f"fresh-{run}-{number % 10}"
        best = client.recommend(user, pipeline="rank").item_ids[0]
        begun = perf_counter()
        client.record_event(user, best)
        while True:
            answers += 1
            if best not in client.recommend(user, pipeline="rank").item_ids:
                break
        seconds.append(perf_counter() - begun)
    return spread(seconds) | {"answers_until_changed": answers / FRESH}


def live(client: Client, prefix: str) -> Figures:
    """Times the answers to users each of whom has done one more thing since the last answer."""
    users = [f"{prefix}-{number}" for number in range(LIVE_USERS)]
    for number, user in enumerate(users):
        items = ITEM_IDS[number : number + LIVE_EVENTS]
        client.record(Event(user, item) for item in items.tolist())
        client.recommend(user, pipeline="gru")
    seconds = []
    for number in range(LIVE_USERS * 5):
        user = users[number % LIVE_USERS]
        client.record_event(user, ITEM_IDS[-1 - number])
        begun = perf_counter()
        client.recommend(user, pipeline="gru")
        seconds.append(perf_counter() - begun)
    return spread(seconds)


def alone(folder: Path, histories: HistoryBatch, duration: float) -> dict[str, Figures]:
    """Runs the graphs and the searches with nothing around them, as many threads as the server has."""
    runtime = Runtime.detect(workers=1)
    (bundle,) = load_bundle(folder / "models" / "cf" / "1", PluginHost.load(), runtime).retrievers
    home = folder / "models" / "cf" / "1"
    user_graph, rank_graph = (runtime.session((home / graph).read_bytes()) for graph in (USER_GRAPH, RANK_GRAPH))
    index = faiss.IndexFlatIP(bundle.manifest.dimension)
    index.add(bundle.item_vectors)
    faiss.omp_set_num_threads(runtime.threads)
    figures: dict[str, Figures] = {}
    for users in (1, 64):
        arrays = bundle.encode(bundle.recent(histories.take(np.arange(users))))
        vectors, _ = bundle.read(arrays)
        scores, rows = index.search(vectors, CANDIDATES)
        inputs = {**arrays, "candidates": rows + 1, "retrieval_scores": scores[:, :, None]}
        feeds = [{i.name: inputs[i.name] for i in graph.get_inputs()} for graph in (user_graph, rank_graph)]

        def search(vectors: np.ndarray = vectors) -> object:
            scores = vectors @ bundle.item_vectors.T
            return np.argpartition(-scores, CANDIDATES, axis=1)[:, :CANDIDATES]

        for what, work in {
            "ONNX Runtime alone, user graph": lambda feeds=feeds: user_graph.run(None, feeds[0]),
            f"ONNX Runtime alone, rank graph, {CANDIDATES} candidates": lambda feeds=feeds: rank_graph.run(
                None, feeds[1]
            ),
            f"numpy exact search alone, best {CANDIDATES}": search,
            f"FAISS flat search alone, best {FETCHED}": lambda v=vectors: index.search(v, FETCHED),
        }.items():
            figures[f"ceiling: {what}, batch of {users}"] = repeat(duration, users, work)
    return figures


@contextmanager
def nothing_served() -> Iterator[int]:
    """Serves a method that does nothing from a process of its own; gives the port."""
    own_end, server_end = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve_nothing, args=(server_end,))
    process.start()
    try:
        yield own_end.recv()
    finally:
        own_end.send("stop")
        process.join()


def serve_nothing(pipe: Connection) -> None:
    async def nothing(request: bytes, context: object) -> bytes:  # noqa: ARG001  # gRPC's signature
        return request

    async def run() -> None:
        server = grpc.aio.server()
        handlers: dict[str, Any] = {"Nothing": grpc.unary_unary_rpc_method_handler(nothing)}
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("bench.Bench", handlers)])
        pipe.send(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await asyncio.to_thread(pipe.recv)
        await server.stop(1)

    asyncio.run(run())


@contextmanager
def serving(folder: Path, *more: str) -> Iterator[tuple[int, subprocess.Popen[bytes], float]]:
    """Runs ``honeyguide serve``; gives port, process, and the seconds from its start to its first recommendation.

    A process of its own, so that the caller's threads do not slow it, and its memory and its start can be measured.

    Args:
        folder: has the bundles and the events.
        more: lines for the settings file.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    lines = [f'host = "127.0.0.1"\nport = {port}\nmetrics_port = -1\nlog_level = "warning"', *more]
    places = {"repository": "models", "events": "events.db", "cold_items": "items.db"}
    lines += [f"{name} = {json.dumps(str(folder / place))}" for name, place in places.items()]
    lines += [f'[pipelines.{name}]\nmodel = "cf"\nrank = {str(name == "rank").lower()}' for name in PIPELINES]
    lines += ['[pipelines.gru]\nmodel = "gru"\nrank = false']
    config = folder / "serve.toml"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    begun = perf_counter()
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "honeyguide.cli", "serve", "--config", str(config)], stderr=log
        )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if server.poll() is not None or perf_counter() - begun > 60:
                raise RuntimeError((folder / "serve.log").read_text("utf-8"))
            time.sleep(0.01)
        with Client(f"127.0.0.1:{port}") as client:
            client.recommend(USER_IDS[0])
        yield port, server, perf_counter() - begun
    finally:
        server.terminate()
        server.wait(30)


def memory(server: subprocess.Popen[bytes]) -> Figures:
    """Reads what of a process is in memory now, and was at most."""
    lines = Path(f"/proc/{server.pid}/status").read_text("utf-8").splitlines()
    sizes = {
        name: int(size.split()[0]) / 1024 for name, _, size in (line.partition(":") for line in lines) if "kB" in size
    }
    return {"resident_mib": sizes["VmRSS"], "peak_mib": sizes["VmHWM"]}


def score(port: int, users: Path, out: Path) -> subprocess.Popen[bytes]:
    """Begins ``honeyguide score`` in a process of its own, which can be killed."""
    words = [
        "score",
        str(users),
        str(out),
        "-k",
        str(SCORE_K),
        "--pipeline",
        "rank",
        "--server",
        f"127.0.0.1:{port}",
        "--force",
        "--json",
    ]
    return subprocess.Popen(
        [sys.executable, "-m", "honeyguide.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


def scored(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Waits for ``honeyguide score`` and reads what it says."""
    said, _ = process.communicate(timeout=300)
    if process.returncode:
        raise RuntimeError(f"honeyguide score ended with {process.returncode}")
    answer: dict[str, Any] = json.loads(said)
    return answer


def killed_and_resumed(port: int, users: Path, whole: Path) -> dict[str, Any]:
    """Kills a run when a part is on disk, runs it again, and compares the output with a run in one go."""
    out = whole.with_name("resumed.parquet")
    journal = out.with_name(out.name + ".parts") / "journal.json"
    process = score(port, users, out)
    while not journal.exists() or json.loads(journal.read_bytes())["next_row"] < USERS // 3 - STREAM_USERS:
        if process.poll() is not None:
            raise RuntimeError("honeyguide score ended before it could be killed")
        time.sleep(0.005)
    process.kill()
    process.wait()
    there = out.exists()
    answer = scored(score(port, users, out))
    one, two = pl.read_parquet(whole), pl.read_parquet(out)
    return {
        "users": USERS,
        "k": SCORE_K,
        "signal": "SIGKILL",
        "output_before_resuming": there,
        "resumed_at_row": answer["resumed_at"],
        "failed": answer["failed"],
        "same_users_and_items": one.select("user_id", "item_ids").equals(two.select("user_id", "item_ids")),
        # A score's last digit depends on who shared its batch.
        "largest_score_difference": float((one["scores"].explode() - two["scores"].explode()).abs().max()),
    }


def once(folder: Path, run: int, bare: int, duration: float, histories: HistoryBatch) -> dict[str, Figures]:
    """Takes every figure one time, with a server of its own."""
    figures: dict[str, Figures] = {}
    inline = [UserRow(history=list(ids)) for ids in np.split(ITEM_IDS[histories.items], histories.offsets[1:-1])]
    users = folder / "users.parquet"
    pl.DataFrame({"user_id": USER_IDS}).write_parquet(users)
    with serving(folder) as (port, server, seconds), Client(f"127.0.0.1:{port}") as client:
        figures["server, from its start to its first recommendation"] = {"seconds": seconds}
        figures["server, before the load"] = memory(server)
        figures["stream, rank, stored histories, first read"] = stream(client, "rank", USER_IDS)
        for count in CALLERS:
            word = f"{count} caller{'s' * (count > 1)}"
            figures[f"ceiling: gRPC call that does nothing, {word}"] = asyncio.run(empty_calls(bare, count, duration))
            for pipeline in PIPELINES:
                figures[f"Recommend, {pipeline}, {word}"] = asyncio.run(unary(port, pipeline, count, duration))
        for pipeline in PIPELINES:
            figures[f"stream, {pipeline}, stored histories"] = stream(client, pipeline, USER_IDS)
            figures[f"stream, {pipeline}, inline histories"] = stream(client, pipeline, inline)
        answer = scored(score(port, users, folder / "whole.parquet"))
        figures[f"honeyguide score, rank, best {SCORE_K}"] = {"users_per_s": answer["users_per_second"]}
        figures["RecordEvents to the changed Recommend, rank"] = freshness(client, run)
        figures["server, after the load"] = memory(server)
    for how, settings in {"a step": (), "encoded whole": ("state_cache_users = 0",)}.items():
        with serving(folder, *settings) as (port, _, _), Client(f"127.0.0.1:{port}") as client:
            figures[f"Recommend, gru, one new event after {LIVE_EVENTS}: {how}"] = live(client, f"{how}, {run}")
    return figures | alone(folder, histories, duration / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/serve.json"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "machine": machine(**{module.__name__: module.__version__ for module in (grpc, onnxruntime, faiss, np)}),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    result["command"] = f"python benchmarks/serve.py --runs {arguments.runs} --seconds {arguments.seconds}"
    histories = draw()
    result["data"] = {"users": USERS, "items": ITEMS, "events": len(histories.items), "candidates": CANDIDATES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, str(Path(__file__).with_name("synthetic.py")), name], check=True)
        with nothing_served() as bare:
            runs = [once(folder, run, bare, arguments.seconds, histories) for run in range(arguments.runs)]
        with serving(folder) as (port, _, _):
            result["killed_and_resumed"] = killed_and_resumed(port, folder / "users.parquet", folder / "whole.parquet")
    result["rows"] = over_runs(runs)
    write(arguments.out, result)
    print(f"killed and resumed: {result['killed_and_resumed']}")


if __name__ == "__main__":
    main()
