"""Adds the verb ``export``: from a checkpoint to a proven bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from honeyguide.exporters import PublishedBundle

__all__ = ["add_to", "show_bundle"]


def add_to(app: typer.Typer) -> None:
    """Adds ``export`` to the command."""
    app.command()(export)


def export(
    run: Annotated[Path, typer.Argument(help="Folder that `honeyguide train` wrote.")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set it was trained on.")],
    repository: Annotated[Path, typer.Option(help="Folder of bundles; made where it is missing.")] = Path("models"),
    name: Annotated[str, typer.Option(help="Name of the bundle.", show_default="the model's")] = "",
    precision: Annotated[str, typer.Option(help="What its graphs compute with: float32, float16 or int8.")] = "float32",
    sign_key: Annotated[
        Path | None,
        typer.Option(help="Private key to sign it with; `honeyguide keys new` makes one.", show_default="none"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the manifest as JSON.")] = False,
) -> None:
    """Exports a checkpoint to ONNX + FAISS, proves that they compute what the network does, and publishes a version.

    A model that ranks what others retrieve needs their bundles in the same repository: export those first.

    Example: honeyguide export runs/cf data/shop --repository models
    """
    import json as json_text

    from honeyguide import exporters
    from honeyguide.cli.output import command_line, print_json, print_line, print_next, working

    with working("exporting") as progress:
        bundle = exporters.export(
            run,
            data,
            repository=repository,
            name=name,
            precision=precision,
            sign_key=sign_key,
            progress=progress,
        )
    if json:
        print_json(json_text.loads(bundle.manifest.to_json()))
    else:
        show_bundle(bundle)
        print_line(f"digest {bundle.manifest.digest}{'' if sign_key is None else f', signed with {sign_key}'}")
    trust = {} if sign_key is None else {"trusted_keys": "trusted-keys.toml", "require_signature": True}
    print_next(command_line("serve", repository=repository, **trust))


def show_bundle(bundle: PublishedBundle) -> None:
    """Prints a bundle's files and the figures of its proof."""
    from honeyguide.cli.output import print_table

    manifest = bundle.manifest
    sizes = [(file, f"{(bundle.folder / file).stat().st_size / 1e6:.2f} MB") for file in manifest.files]
    print_table(f"{bundle.name} version {bundle.version} in {bundle.folder}", ("file", "size"), sizes)
    figures = []
    if manifest.index is not None:
        index = f"{manifest.index.kind} index, recall@100 against exact"
        figures.append((index, f"{manifest.index.recall_at_100:.4f}"))
    figures += [
        (figure, f"{value:.3g}" if "diff" in figure else f"{value:.4g}") for figure, value in manifest.proof.items()
    ]
    print_table("Proof: what is served equals what was trained", ("figure", "value"), figures)
