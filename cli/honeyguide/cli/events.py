"""Adds the verb ``events``: brings the histories of a data set into the server's store, and its events out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["add_to"]


class Until(StrEnum):
    """Names the last part of the split that is imported."""

    train = "train"
    validation = "validation"
    test = "test"


def add_to(app: typer.Typer) -> None:
    """Adds ``events`` to the command."""
    verbs = typer.Typer(no_args_is_help=True, help="Fills the server's store of events, and reads it.")
    verbs.callback()(_group)
    verbs.command("import")(import_events)
    verbs.command("export")(export_events)
    verbs.command("migrate")(migrate_events)
    app.add_typer(verbs, name="events")


def _group() -> None:
    """Fills the server's store of events, and reads it."""


def export_events(
    file: Annotated[Path, typer.Argument(help="File to write, .csv or .parquet.")],
    events: Annotated[str, typer.Option(help="The server's events: a SQLite file, or postgresql://…")] = "events.db",
    since: Annotated[
        str | None, typer.Option(help="Leave out what was before this date or time (UTC), or these milliseconds.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Leave out what was from this date or time on.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Writes the stored events to a log that `prepare` reads. The server may run meanwhile; memory stays bounded.

    Example: honeyguide events export log.parquet --events events.db --since 2026-01-01
    """
    from time import perf_counter

    from honeyguide.cli.event_log import EventLog
    from honeyguide.cli.output import command_line, print_json, print_next, print_table, working
    from honeyguide.server.events.opening import describe_store, scan_store
    from honeyguide.server.events.scan import LAST_MS, SCHEMA
    from honeyguide.training.preparation.times import parse_cut

    start = perf_counter()
    first = -LAST_MS if since is None else parse_cut(since, "milliseconds")
    end = LAST_MS if until is None else parse_cut(until, "milliseconds")
    with EventLog(file) as log, working("reading events") as say:
        for frame in scan_store(events, since_ms=first, until_ms=end):
            log.write(frame.events)
            say(f"{log.events:,} events, {log.events / (perf_counter() - start):,.0f}/s")
        if not log.events:
            log.write(SCHEMA.to_frame())
    result = {"file": str(file), "events": log.events}
    if json:
        print_json(result | {"seconds": round(perf_counter() - start, 3)})
    else:
        print_table(f"{describe_store(events)} → {file}", ("what", "count"), [("events", log.events)])
    if log.events:
        print_next(command_line("prepare", file, **log.flags(), out="data/" + file.stem))


def migrate_events(
    source: Annotated[str, typer.Argument(help="Store to read: a SQLite file, or postgresql://…")],
    target: Annotated[str, typer.Argument(help="Store to fill, empty or missing: the same.")],
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Brings all events of one store into another; again after a kill, it goes on. No server may run meanwhile.

    Example: honeyguide events migrate events.db postgresql://honeyguide@db/honeyguide
    """
    from time import perf_counter

    from honeyguide.cli.output import print_json, print_table, working
    from honeyguide.server.events.migration import migrate
    from honeyguide.server.events.opening import describe_store

    start = perf_counter()
    with working("migrating events") as say:
        done = migrate(source, target, lambda events: say(f"{events:,} events"))
    result = {"events": done.events, "users": done.users, "already_there": done.before}
    if json:
        print_json(result | {"seconds": round(perf_counter() - start, 3)})
    else:
        print_table(f"{describe_store(source)} → {describe_store(target)}", ("what", "count"), list(result.items()))


def import_events(
    dataset: Annotated[Path, typer.Argument(help="Folder that `honeyguide prepare` wrote.")],
    events: Annotated[
        str, typer.Option(help="The server's events: a SQLite file, made when missing, or postgresql://…")
    ] = "events.db",
    until: Annotated[
        Until, typer.Option(help="Last part of the split to import; train or validation leave later events out.")
    ] = Until.test,
    user_keys: Annotated[
        Path | None, typer.Option(help="File of keys, where the server has one as `events_user_keys`.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Imports the histories of a data set; a second run imports nothing. The server may run meanwhile.

    Example: honeyguide events import data/shop --events events.db
    """
    from time import perf_counter

    from honeyguide.training.dataset_folder import check_source

    check_source(dataset)  # before anything heavy is imported
    import numpy as np
    import polars as pl

    from honeyguide.cli.output import command_line, print_json, print_next, print_table, progress
    from honeyguide.server.events.opening import describe_store, is_database, open_plain_store
    from honeyguide.server.events.pseudonymous import read_user_keys
    from honeyguide.training.dataset import SPLITS, Dataset

    data = Dataset.open(dataset)
    included = data.events["split"].to_numpy() <= SPLITS.index(until.value)  # (events,)
    # An event's id is its place in the data set, whatever part is imported: that makes a second import harmless.
    places = np.flatnonzero(included)
    part = Dataset(
        name=data.name,
        spec=data.spec,
        split=data.split,
        events=data.events.filter(pl.Series(included)),
        users=data.users,
        items=data.items,
    )
    writing = read_user_keys(user_keys)[0] if user_keys else None

    def hidden(frame: pl.DataFrame) -> pl.DataFrame:
        """Puts the users' pseudonyms in the place of their ids, where there are keys."""
        if writing is None:
            return frame
        users = frame["user_id"].unique()
        names = dict(zip(users, map(writing.of, users), strict=True))
        return frame.with_columns(pl.col("user_id").replace_strict(names))

    start = perf_counter()
    done = accepted = 0
    with open_plain_store(events) as store, progress("events") as bar:
        task = bar.add_task("importing", total=len(places), rate="")
        for frame in part.histories_for_import(5_000):  # a server's writes wait for each: 20,000 made it refuse half
            frame = hidden(frame)  # nothing else is stored
            ids = [f"{data.spec.fingerprint[:16]}:{place:010}" for place in places[done : done + frame.height]]
            accepted += store.import_events(frame.with_columns(event_id=pl.Series(ids, dtype=pl.String))).accepted
            done += frame.height
            bar.update(task, completed=done, rate=f"{done / (perf_counter() - start):,.0f}/s")
    users = part.events["user"].n_unique()
    shown = describe_store(events)
    result = {"events": shown, "imported": accepted, "already_there": done - accepted, "users": users}
    if json:
        print_json(result | {"seconds": round(perf_counter() - start, 3)})
    else:
        print_table(f"{data.name} → {shown}", ("what", "count"), [(k, v) for k, v in result.items() if k != "events"])
    print_next(command_line("serve", events=None if is_database(events) else events))  # no password on a screen
