"""Shows the whole way on the embedded purchases: every step is the command a user would type."""

from __future__ import annotations

import json
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli.output import print_table, stderr, stdout

if TYPE_CHECKING:
    from honeyguide.client import Client

__all__ = ["add_to"]

_MARKER = ".honeyguide-demo"
_START_SECONDS = 60.0
_SHORT = ("--option", "tied=true", "--option", "dimension=64", "--epochs", "4", "--fit", "final_epochs=2")


def add_to(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(demo)


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where everything is put; a folder of an earlier demo is replaced.")
    ] = Path("demo"),
    keep_serving: Annotated[bool, typer.Option(help="Leave the server running at the end, until Ctrl-C.")] = False,
) -> None:
    """Trains on the embedded purchases, serves the models, and shows the answer change after an event.

    Example: honeyguide demo --keep-serving
    """
    started = time.perf_counter()
    _clear(folder)
    data, runs, models, events = (folder / name for name in ("data", "runs", "models", "events.db"))
    cf, transformer, joint = (runs / name for name in ("cf", "transformer", "joint"))
    _step("1. Prepare: a real purchase log, cleaned and split", "prepare", "--preset", "demo", "--out", data)
    _step("2. Train: collaborative filtering in PyTorch", "train", "cf", data, "--out", cf)
    _step(
        "3. Train: a transformer, kept short",
        "train",
        "transformer",
        data,
        "--out",
        transformer,
        *_SHORT,
    )
    retrievers = ("--retriever", cf, "--retriever", transformer)
    _step("4. Train: one ranker over what both find", "train", "joint", data, "--out", joint, *retrievers)
    _step("5. Evaluate: full ranking on held-out baskets", "evaluate", joint, data)
    for run in (cf, transformer, joint) if _earned(joint) else (cf, transformer):
        _step("6. Export: ONNX graphs, FAISS index, and their proof", "export", run, data, "--repository", models)
    _step("7. Import: the histories, so that the server knows its users", "events", "import", data, "--events", events)
    with _serving(models, events) as server:
        address = f"127.0.0.1:{server}"
        user, item = _visitor(address, data)
        before = {name: _recommend(f"9. Recommend: {name}", user, name, address) for name in _served(address)}
        _step("10. Record: what the user does next", "record", user, item, "--type", "purchase", "--server", address)
        for name, old in before.items():
            again = f"11. Recommend again, {name}: the event counts at once"
            _compare(name, old, _recommend(again, user, name, address))
        stdout.print(
            f"\n[bold]The demo took {time.perf_counter() - started:.0f} s.[/] Everything it made is in {folder}/."
        )
        if keep_serving:
            stdout.print(f"The server stays on {address}; Ctrl-C ends it.")
            with _until_interrupted():
                while True:
                    time.sleep(1)
    stdout.print("To serve it again:")
    stdout.print(f"  honeyguide serve --repository {models} --events {events}", highlight=False, soft_wrap=True)


def _clear(folder: Path) -> None:
    if folder.exists():
        if not (folder / _MARKER).exists():
            raise typer.BadParameter(f"{folder} exists and was not made by the demo; name another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARKER).touch()


def _step(title: str, *arguments: object) -> None:
    """Runs one verb as a user would; ends the demo with the verb's own exit code where it fails."""
    words = [str(a) for a in arguments]
    stdout.print(f"\n[bold cyan]{title}[/]\n[dim]$ honeyguide {shlex.join(words)}[/]", highlight=False, soft_wrap=True)
    code = subprocess.run([*_honeyguide(), *words], check=False).returncode  # noqa: S603  # our own command
    if code:
        stderr.print(f"[red]error:[/] the demo stopped: `honeyguide {words[0]}` ended with exit code {code}")
        raise typer.Exit(code)


def _honeyguide() -> list[str]:
    return [sys.executable, "-m", "honeyguide.cli"]


@contextmanager
def _serving(models: Path, events: Path) -> Iterator[int]:
    """Runs the server as its own process and ends it; yields the port once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    words = ["serve", "--repository", str(models), "--events", str(events), "--port", str(port), "--metrics-port", "0"]
    stdout.print(f"\n[bold cyan]8. Serve over gRPC[/]\n[dim]$ honeyguide {shlex.join(words)} &[/]", highlight=False)
    server = subprocess.Popen([*_honeyguide(), *words])  # noqa: S603  # our own command
    try:
        _wait(server, port)
        yield port
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    from honeyguide.client import UnavailableError

    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with _client(f"127.0.0.1:{port}") as client:
                client.models()
        except UnavailableError:
            time.sleep(0.1)
        else:
            return
    stderr.print("[red]error:[/] the server did not start; its own words stand above")
    raise typer.Exit(1)


def _client(address: str) -> Client:
    from honeyguide.client import Client

    return Client(address)


def _earned(run: Path) -> bool:
    """Whether a ranker stayed: only then there is something to export."""
    return bool(json.loads((run / "checkpoint.json").read_text("utf-8"))["candidates"])


def _served(address: str) -> list[str]:
    """Returns the names of the pipelines."""
    with _client(address) as client:
        return [model.name for model in client.models()]


def _visitor(address: str, data: Path) -> tuple[str, str]:
    """Picks a known user, and an item that is new to this user and far from the first answer."""
    from honeyguide.training.dataset import Dataset

    dataset = Dataset.open(data)
    user = str(dataset.users["user_id"][0])
    with _client(address) as client:
        known = {event.item_id for event in client.history(user)}
        top = {item.item_id for item in client.recommend(user, k=200)}
    fresh = dataset.items.filter(~dataset.items["item_id"].is_in(list(known | top))).sort("popularity", descending=True)
    return user, str(fresh["item_id"][0])


def _recommend(title: str, user: str, pipeline: str, address: str) -> list[str]:
    _step(title, "recommend", user, "--pipeline", pipeline, "--server", address)
    with _client(address) as client:
        return [item.item_id for item in client.recommend(user, pipeline=pipeline)]


def _compare(pipeline: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Shows what moved; fails where nothing did, since that is what the demo is for."""
    if list(before) == list(after):
        stderr.print(f"[red]error:[/] the event did not change the answer of {pipeline}")
        raise typer.Exit(1)
    rows = []
    for rank, item in enumerate(after, 1):
        old = before.index(item) + 1 if item in before else None
        rows.append((rank, item, "new" if old is None else "stays" if old == rank else f"was {old}"))
    stdout.print()
    print_table(f"What the event changed for {pipeline}", ("rank", "item", "change"), rows)


@contextmanager
def _until_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        stdout.print()
