"""Adds the verb ``export``: from a checkpoint to a proven bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honeyguide.sdk.host import PluginHost
    from honeyguide.training.runs.checkpoint import Checkpoint

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``export`` to the command."""
    app.command()(export)


def export(
    run: Annotated[Path, typer.Argument(help="Folder that `honeyguide train` wrote.")],
    dataset: Annotated[Path, typer.Argument(help="Folder of the data set it was trained on.")],
    repository: Annotated[Path, typer.Option(help="Folder of bundles; made where it is missing.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Name of the bundle.", show_default="the model's")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Exports a checkpoint to ONNX + FAISS, proves that they compute what the network does, and publishes a version.

    A model that ranks what others retrieve needs their bundles in the same repository: export those first.

    Example: honeyguide export runs/cf data/shop --repository models
    """
    import json as json_text

    from honeyguide.cli.output import print_json, print_next, print_table, stderr
    from honeyguide.exporters import export_bundle
    from honeyguide.sdk.errors import DataError
    from honeyguide.sdk.host import PluginHost
    from honeyguide.training.dataset import Dataset
    from honeyguide.training.runs.checkpoint import load_checkpoint

    with stderr.status("reading the run and its data set …") as status:
        host = PluginHost.load()
        checkpoint, model, network = load_checkpoint(run, host)
        data = Dataset.open(dataset)
        if checkpoint.spec.fingerprint != data.spec.fingerprint:
            raise DataError(
                f"holds another data set than the one {run} was trained on ({checkpoint.dataset!r})",
                file=str(dataset),
                remedy="name that one, or train again on this one",
            )
        manifest = export_bundle(
            repository,
            name or checkpoint.model,
            model=model,
            network=network,
            items=data.items,
            evaluation=data.evaluation("validation"),
            plugin=checkpoint.plugin,
            metrics=checkpoint.metrics,
            candidates=checkpoint.candidates,
            retrievers=_retrievers(run, dataset, repository, checkpoint, host),
            weights=checkpoint.weights,
            host=host,
            progress=lambda stage: status.update(f"{stage} …"),
        )
    if json:
        print_json(json_text.loads(manifest.to_json()))
    else:
        folder = repository / manifest.name / str(manifest.version)
        sizes = [(file, f"{(folder / file).stat().st_size / 1e6:.2f} MB") for file in manifest.files]
        print_table(f"{manifest.name} version {manifest.version} in {folder}", ("file", "size"), sizes)
        figures = []
        if manifest.index is not None:
            index = f"{manifest.index.kind} index, recall@100 against exact"
            figures.append((index, f"{manifest.index.recall_at_100:.4f}"))
        figures += [
            (figure, f"{value:.3g}" if "diff" in figure else f"{value:.4g}") for figure, value in manifest.proof.items()
        ]
        print_table("Proof: what is served equals what was trained", ("figure", "value"), figures)
    print_next(f"honeyguide serve --repository {repository}")


def _retrievers(
    run: Path, dataset: Path, repository: Path, checkpoint: Checkpoint, host: PluginHost
) -> list[tuple[str, int]]:
    """Finds the bundles of the runs that a joint ranker was trained over."""
    from honeyguide.exporters import find_bundle
    from honeyguide.sdk.errors import ExportError
    from honeyguide.training.runs.checkpoint import load_checkpoint

    if checkpoint.retrievers and not checkpoint.candidates:
        raise ExportError(
            f"the ranker in {run} did not earn its place ({checkpoint.report.get('ranker', 'no reason given')}), "
            "and a joint bundle is nothing else: serve the best of its retrievers"
        )
    found = []
    for folder in checkpoint.retrievers:
        bundle = find_bundle(repository, load_checkpoint(run / folder, host)[0].weights)
        if bundle is None:
            raise ExportError(
                f"{repository} has no bundle of {run / folder}, which retrieves for {run}: "
                f"run `honeyguide export {run / folder} {dataset} --repository {repository}` first"
            )
        found.append(bundle)
    return found
