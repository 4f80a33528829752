"""Adds the verb ``score``: batch scoring, a file of users in, a file of recommendations out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from honeyguide.cli.connection import LOCAL, JsonOption, ServerFlags, asks_server

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``score`` to the command."""
    app.command()(asks_server(score))


def score(
    users: Annotated[
        Path,
        typer.Argument(
            help="Parquet, CSV or JSON lines with a column user_id, history (lists of item ids), or both. "
            "With --all-users: the file to write."
        ),
    ],
    recs: Annotated[
        Path | None, typer.Argument(help="The file to write: Parquet, or .csv or .jsonl by its name.")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="How many items for each user.")] = 10,
    pipeline: Annotated[str, typer.Option(help="The pipeline.", show_default="the server's default")] = "",
    drop_seen: Annotated[
        bool | None,
        typer.Option("--drop-seen/--keep-seen", help="Leave items of the history out.", show_default="the pipeline's"),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1, max=256, help="Users in one message; times k at most 20,000.", show_default="256, or what k allows"
        ),
    ] = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Score all users of whom the server has events; needs no file of users.")
    ] = False,
    window: Annotated[int, typer.Option(min=1, max=1000, help="Messages under way at once.")] = 4,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard an unfinished run instead of resuming it.")
    ] = False,
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Scores every user of a file; killed and run again, it goes on where it stopped.

    The output has the columns row (of the input, from 0), user_id, item_ids, scores, sources, in the input's order; CSV
    has a line for each item. Rows that fail go to a file beside it, with reasons, and the exit code is 4.

    Example: honeyguide score users.csv recs.parquet -k 20
    """
    import time

    from honeyguide.cli.output import print_json, print_line, print_note, print_warning
    from honeyguide.client.scoring import ScoreOptions
    from honeyguide.client.scoring import score as score_users

    if all_users == (recs is not None):
        problem = "with --all-users give the file to write alone" if all_users else "give the file to write, too"
        raise typer.BadParameter(problem, param_hint="RECS")
    source, output = (None, users) if recs is None else (users, recs)
    if str(output) == "-":
        raise typer.BadParameter("a file is written, which another call can go on with; name one", param_hint="RECS")
    options = ScoreOptions(k=k, pipeline=pipeline, drop_seen=drop_seen, batch_size=batch_size, window=window)
    began = time.monotonic()
    try:
        with server.connect() as client, _bar() as progress:
            done = score_users(client, source, output, options, force=force, restart=restart, progress=progress)
    except KeyboardInterrupt:
        print_note("stopped", "run the same command again to go on")
        raise typer.Exit(130) from None
    seconds = time.monotonic() - began
    rate = (done.users - done.resumed_at) / seconds
    if json:
        print_json(
            {
                "output": str(output),
                "users": done.users,
                "failed": done.failed,
                "degraded": done.degraded,
                "failed_rows": str(done.failed_rows) if done.failed_rows else None,
                "failures": dict(done.failures),
                "resumed_at": done.resumed_at,
                "models": [str(model) for model in done.models],
                "seconds": round(seconds, 3),
                "users_per_second": round(rate, 1),
            }
        )
    else:
        resumed = f" (the first {done.resumed_at:,} by an earlier run)" if done.resumed_at else ""
        print_line(f"{output}: {done.users - done.failed:,} users{resumed}, {rate:,.0f}/s")
    if done.degraded:
        print_warning(f"{done.degraded:,} users got an answer without a part of the pipeline; see the server's log")
    if done.failed:
        reasons = ", ".join(f"{count:,} × {reason}" for reason, count in done.failures.items())
        print_note(f"{done.failed:,} users failed", f"{reasons}; each with its row in {done.failed_rows}", "red")
        raise typer.Exit(4)


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """Shows rows done, rate and time left."""
    from honeyguide.cli.output import progress

    with progress("users") as bar:
        task = bar.add_task("scoring", total=None, rate="")
        started = False

        def show(done: int, total: int) -> None:
            nonlocal started
            if not started:  # what an earlier run did says nothing of this one's rate
                bar.reset(task, total=total, completed=done)
                started = True
            speed = bar.tasks[0].finished_speed or bar.tasks[0].speed
            bar.update(task, completed=done, rate=f"{speed or 0:,.0f}/s")

        yield show
