"""Shows the whole way on the embedded purchases, each stage by the command that a user would type, in one process."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honeyguide.cli.output import command_line, print_line, print_note, print_table, stderr, stdout

if TYPE_CHECKING:
    from honeyguide.client import Client

__all__ = ["add_to"]

_MARKER = ".honeyguide-demo"
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
    _stage("1. Prepare: a real purchase log, cleaned and split", "prepare", "--preset", "demo", "--out", data)
    _stage("2. Train: collaborative filtering in PyTorch", "train", "cf", data, "--out", cf)
    _stage(
        "3. Train: a transformer, kept short",
        "train",
        "transformer",
        data,
        "--out",
        transformer,
        *_SHORT,
    )
    retrievers = ("--retriever", cf, "--retriever", transformer)
    _stage("4. Train: one ranker over what both find", "train", "joint", data, "--out", joint, *retrievers)
    _stage("5. Evaluate: full ranking on held-out baskets", "evaluate", joint, data)
    for run in (cf, transformer, joint) if _earned(joint) else (cf, transformer):
        _stage("6. Export: ONNX graphs, FAISS index, and their proof", "export", run, data, "--repository", models)
    _stage("7. Import: the histories, so that the server knows its users", "events", "import", data, "--events", events)
    with _serving(models, events) as address:
        user, item = _visitor(address, data)
        before = {name: _recommend(f"9. Recommend: {name}", user, name, address) for name in _served(address)}
        _stage(
            "10. Record: what the user does next", "record", user, item, "--event-type", "purchase", "--server", address
        )
        for name, old in before.items():
            again = f"11. Recommend again, {name}: the event counts at once"
            _compare(name, old, _recommend(again, user, name, address))
        stdout.print(f"\nThe demo took {time.perf_counter() - started:.0f} s.", style="bold")
        print_line(f"Everything it made is in {folder}/.")
        if keep_serving:
            print_line(f"The server stays on {address}; Ctrl-C ends it.")
            with _until_interrupted():
                while True:
                    time.sleep(1)
    print_line("To serve it again:")
    print_line("  " + command_line("serve", repository=models, events=events))


def _clear(folder: Path) -> None:
    if folder.exists():
        if not (folder / _MARKER).exists():
            raise typer.BadParameter(f"{folder} exists and was not made by the demo; name another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARKER).touch()


def _stage(title: str, *arguments: object) -> None:
    """Runs one verb in this process, by the words that a user would type; ends the demo where it fails."""
    from honeyguide.cli.app import build

    words = [str(a) for a in arguments]
    _announce(title, words)
    code = build()(words, standalone_mode=False)
    if code:
        print_note("error", f"the demo stopped: `honeyguide {words[0]}` ended with exit code {code}", "red")
        raise typer.Exit(code)


def _announce(title: str, words: Sequence[str], end: str = "") -> None:
    stdout.print(f"\n{title}", style="bold cyan", soft_wrap=True)
    stdout.print(f"$ {shlex.join(['honeyguide', *words])}{end}", style="dim", soft_wrap=True)


@contextmanager
def _serving(models: Path, events: Path) -> Iterator[str]:
    """Serves over gRPC from a thread of this process; yields the address once it answers."""
    from honeyguide.server.app import Server
    from honeyguide.server.ops.logs import configure_logs
    from honeyguide.server.settings import Settings

    settings = Settings(repository=models, events=str(events), host="127.0.0.1", port=0, metrics_port=-1)
    configure_logs("warning", settings.log_format)
    server = Server(settings)
    with _loop() as run:
        run(server.__aenter__())
        try:
            words = ["serve", "--repository", str(models), "--events", str(events), "--port", str(server.port)]
            _announce("8. Serve over gRPC", words, " &")
            for line in server.summary():
                stderr.print(line, soft_wrap=True)
            yield f"127.0.0.1:{server.port}"
        finally:
            run(server.stop())


@contextmanager
def _loop() -> Iterator[Callable[[Coroutine[Any, Any, object]], object]]:
    """Runs an event loop in a thread; yields what waits for a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="honeyguide-demo", daemon=True)
    thread.start()
    try:
        yield lambda call: asyncio.run_coroutine_threadsafe(call, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _client(address: str) -> Client:
    from honeyguide.client import Client

    return Client(address)


def _earned(run: Path) -> bool:
    """Whether a ranker stayed: only then there is something to export."""
    from honeyguide.training.runs.checkpoint import read_checkpoint

    return bool(read_checkpoint(run).candidates)


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
        known = {event.item_id for event in client.events(user)}
        top = {item.item_id for item in client.recommend(user, k=200)}
    fresh = dataset.items.filter(~dataset.items["item_id"].is_in(list(known | top))).sort("popularity", descending=True)
    return user, str(fresh["item_id"][0])


def _recommend(title: str, user: str, pipeline: str, address: str) -> list[str]:
    _stage(title, "recommend", user, "--pipeline", pipeline, "--server", address)
    with _client(address) as client:
        return [item.item_id for item in client.recommend(user, pipeline=pipeline)]


def _compare(pipeline: str, before: Sequence[str], after: Sequence[str]) -> None:
    """Shows what moved; fails where nothing did, since that is what the demo is for."""
    if list(before) == list(after):
        print_note("error", f"the event did not change the answer of {pipeline}", "red")
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
