"""Times the graphs of one run as an older commit exports them and as this one does, in every precision, in turn.

    python benchmarks/graphs.py --before <checkout of 259a5d7> --out benchmarks/results/graphs.json

The run is the demo's `transformer` unless ``--run`` and ``--data`` name another. All exports start from the same
weights, so outputs are compared, too; NDCG@10 is of each export's proof, over validation users. One thread computes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from honeyguide import exporters, training
from honeyguide.exporters.precision import PRECISIONS
from honeyguide.sdk.candidates import ranker_inputs, top_k
from honeyguide.sdk.errors import ExportError
from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import ITEM_VECTORS, RANK_GRAPH, USER_GRAPH, read_manifest
from honeyguide.training.dataset import Dataset
from record import machine, over_runs, write

ROOTS = ("protos", "plugins", "training", "exporters", "server", "clients/python", "cli")
BEFORE = "before"
BATCHES, LENGTHS, CANDIDATES = (1, 8, 64), (50, 200), 200
ROUNDS, SECONDS = 9, 0.3
"""Of each case, every graph runs once a round for at least so long; a round's figure is its fastest run."""
_EXPORT = """
import sys
from honeyguide import exporters
exporters.export(*sys.argv[1:3], repository=sys.argv[3], name="before")
"""

Arrays = Mapping[str, np.ndarray]


def demo(folder: Path) -> tuple[Path, Path]:
    """Trains the demo's transformer for a few epochs; returns run and data."""
    training.prepare(preset="demo", out=folder / "data")
    option = {"tied": True, "dimension": 64}
    training.train("transformer", folder / "data", out=folder / "run", option=option, epochs=4, fit={"final_epochs": 2})
    return folder / "run", folder / "data"


def export_all(run: Path, data: Path, checkout: Path, repository: Path) -> dict[str, Path]:
    """Exports a run by both commits; returns the bundles by name. A precision that fails its proof is left out."""
    path = os.pathsep.join(str(checkout / root) for root in ROOTS)  # comes first, so it hides this commit's sources
    command = [sys.executable, "-c", _EXPORT, str(run), str(data), str(repository)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})
    bundles = {BEFORE: repository / BEFORE / "1"}
    for precision in PRECISIONS:
        try:
            bundles[precision] = exporters.export(
                run, data, repository=repository, name=precision, precision=precision
            ).folder
        except ExportError as error:
            print(f"{precision}: {error}", file=sys.stderr)
    return bundles


def sessions(bundles: Mapping[str, Path], graph: str) -> dict[str, ort.InferenceSession]:
    """Opens one graph of each bundle, for one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return {
        name: ort.InferenceSession(folder / graph, options, providers=["CPUExecutionProvider"])
        for name, folder in bundles.items()
    }


def in_turn(graphs: Mapping[str, ort.InferenceSession], output: str, inputs: Arrays) -> list[dict[str, float]]:
    """Returns each round's µs a user by graph."""
    users = len(next(iter(inputs.values())))
    feeds = {name: {i.name: inputs[i.name] for i in session.get_inputs()} for name, session in graphs.items()}
    rounds = []
    for _ in range(ROUNDS + 1):
        fastest = {}
        for name, session in graphs.items():
            times: list[float] = []
            while not times or sum(times) < SECONDS / len(graphs):
                start = time.perf_counter()
                session.run([output], feeds[name])
                times.append(time.perf_counter() - start)
            fastest[name] = min(times) / users * 1e6
        rounds.append(fastest)
    return rounds[1:]  # the first one warms up


def cases(bundle: Path, data: Path) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Returns what is timed: by name the graph, its output and its inputs."""
    manifest = read_manifest(bundle)
    model = PluginHost.load().build(manifest.model_class, manifest.config, manifest.data)
    made: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for length in LENGTHS:
        for batch in BATCHES:
            arrays = dict(model.encode(example_histories(manifest.data, [length] * batch)))
            made[f"user graph, {length} events, batch of {batch}"] = USER_GRAPH, "user_vector", arrays
    user = sessions({"": bundle}, USER_GRAPH)[""]
    items = np.load(bundle / ITEM_VECTORS)
    real = Dataset.open(data).evaluation("validation").histories
    for batch in BATCHES:
        histories = real.take(np.arange(batch)).newest(manifest.max_length)
        arrays = dict(model.encode(histories))
        (vectors,) = user.run(["user_vector"], {i.name: arrays[i.name] for i in user.get_inputs()})
        rows, scores = top_k(vectors @ items.T, CANDIDATES)
        inputs = arrays | ranker_inputs(rows, scores[:, :, None])
        made[f"rank graph, {CANDIDATES} candidates, batch of {batch}"] = RANK_GRAPH, "scores", inputs
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--before", type=Path, required=True, help="checkout of the commit to compare with")
    parser.add_argument("--run", type=Path, help="folder of a trained run that retrieves and ranks")
    parser.add_argument("--data", type=Path, help="folder of its data set")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    system = machine(onnxruntime=ort.__version__)
    with tempfile.TemporaryDirectory() as name:
        run, data = (arguments.run, arguments.data) if arguments.run else demo(Path(name))
        bundles = export_all(run, data, arguments.before, Path(name, "models"))
        rounds: list[dict[str, dict[str, float]]] = [{} for _ in range(ROUNDS)]
        differences: dict[str, float] = {}
        for case, (graph, output, inputs) in cases(bundles["float32"], data).items():
            graphs = sessions(bundles, graph)
            answers = {
                kind: session.run([output], {i.name: inputs[i.name] for i in session.get_inputs()})[0]
                for kind, session in graphs.items()
            }
            for kind, answer in answers.items():
                far = float(np.abs(answer - answers[BEFORE]).max())
                differences[f"{graph}, {kind}"] = max(differences.get(f"{graph}, {kind}", 0.0), far)
            for figures, fastest in zip(rounds, in_turn(graphs, output, inputs), strict=True):
                for kind, took in fastest.items():
                    figures[f"{case}, {kind}"] = {"us_per_user": took, "times_as_fast": fastest[BEFORE] / took}
        proofs = {
            kind: {
                "proof": dict(read_manifest(folder).proof),
                "bytes": {graph: (folder / graph).stat().st_size for graph in (USER_GRAPH, RANK_GRAPH)},
                "largest_difference_from_before": {
                    graph: differences[f"{graph}, {kind}"] for graph in (USER_GRAPH, RANK_GRAPH)
                },
            }
            for kind, folder in bundles.items()
        }
        manifest = read_manifest(bundles["float32"])
    result = {
        "command": "python benchmarks/graphs.py --before <checkout of 259a5d7>"
        + " --run <run> --data <its data>" * (arguments.run is not None),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": system,
        "model": manifest.model_class,
        "items": manifest.data.items,
        "rows": over_runs(rounds),
        "exports": proofs,
    }
    write(arguments.out, result)


if __name__ == "__main__":
    main()
