"""Records what unmodified clients of Triton say of the server, and the codes of Triton beside ours.

The server serves a tiny bundle, so that what is seen is the way of a request, not a model.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc

import record
from serving.environments import REPOSITORY
from serving.processes import clean_environment, free_port, started
from serving.servers import listens
from serving.triton_clients import TritonClients

sys.path.append(str(REPOSITORY / "tests" / "plugins_for_tests"))
from bundles import make_bundle
from inference_requests import DIFFERENT, GOOD, ODD, method

WAYS = {"sync": (), "async": ("--async",), "streaming": ("--async", "--streaming"), "batches of 8": ("-b", "8")}
FIGURES = {
    "inferences_per_second": "Inferences/Second",
    "p50_us": "p50 latency",
    "p99_us": "p99 latency",
    "queue_us": "Server Queue",
    "compute_us": "Server Compute Infer",
}


@contextmanager
def honeyguide(repository: Path, transport: str) -> Iterator[str]:
    """Starts ``honeyguide serve`` until the block ends; gives its address."""
    port = free_port()
    command = [sys.executable, "-m", "honeyguide.cli", "serve", "--repository", repository, "--port", port]
    command += ["--events", repository.parent / f"{transport}.db", "--metrics-port", "-1"]
    environment = clean_environment(
        HONEYGUIDE_TRANSPORT=transport, HONEYGUIDE_TRAFFIC=str(repository.parent / "traffic.json")
    )
    log = repository.parent / f"{transport}.log"
    with started([command], listens(port), log, environment=environment):
        yield f"127.0.0.1:{port}"


def code_of(channel: grpc.Channel, request: Any) -> str:
    """Returns the code of a request."""
    try:
        method(channel, "ModelInfer")(request, timeout=20)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def codes(ours: str, theirs: str) -> list[dict[str, str]]:
    """Returns what both give for each request, by what is odd about it."""
    requests = {**GOOD, **ODD, **{what: request for what, (request, _) in DIFFERENT.items()}}
    with grpc.insecure_channel(ours) as own, grpc.insecure_channel(theirs) as other:
        return [
            {"request": what, "honeyguide": code_of(own, request), "triton": code_of(other, request)}
            for what, request in requests.items()
        ]


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=500, help="Requests in each window of perf_analyzer.")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "results" / "oip.json")
    given = parser.parse_args()
    clients = TritonClients()
    about = record.machine(tritonclient="2.73.0", perf_analyzer="2.48.0", grpcio=version("grpcio"))
    result: dict[str, Any] = {"machine": about, "tritonclient": {}, "perf_analyzer": []}
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        repository.mkdir()
        make_bundle(repository, "tiny", model="cf")
        for transport in ("native", "grpcio"):
            with honeyguide(repository, transport) as address:
                result["tritonclient"][transport] = clients.call(address)
                for way, words in WAYS.items():
                    words = (*words, "--concurrency-range", "4")
                    table = clients.analyze(address, *words, requests=given.requests)
                    figures = {name: table[heading] for name, heading in FIGURES.items()}
                    result["perf_analyzer"].append({"transport": transport, "way": way, "concurrency": 4, **figures})
        with honeyguide(repository, "native") as address, clients.oracle(Path(folder) / "triton") as oracle:
            result["codes"] = codes(address, oracle)
            table = clients.analyze(oracle, "--concurrency-range", "4", requests=given.requests)
            figures = {name: table[heading] for name, heading in FIGURES.items()}
            # Its model makes answers up: the way of a request through Triton and its Python backend.
            result["perf_analyzer"].append({"transport": "Triton's own", "way": "sync", "concurrency": 4, **figures})
    given.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
