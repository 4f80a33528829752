"""Adds the verb ``record``: tells a running server what a user just did."""

from __future__ import annotations

from typing import Annotated

import typer

from honeyguide.cli.connection import LOCAL, JsonOption, ServerFlags, asks_server

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Adds ``record`` to the command."""
    app.command()(asks_server(record))


def record(
    user: Annotated[str, typer.Argument(help="The user.")],
    item: Annotated[str, typer.Argument(help="The item; it may be newer than the model.")],
    event_type: Annotated[
        str, typer.Option("--event-type", "--type", help='What it was: "view", "purchase", ….', show_default="none")
    ] = "",
    dwell: Annotated[float | None, typer.Option(help="Seconds the user stayed with the item, 0 or more.")] = None,
    clicks: Annotated[float | None, typer.Option(help="How often the user clicked, 0 or more.")] = None,
    quantity: Annotated[float | None, typer.Option(help="How many pieces, 0 or more.")] = None,
    value: Annotated[float | None, typer.Option(help="What it was worth (price, rating).")] = None,
    event_id: Annotated[
        str | None, typer.Option(help="Records the event once, however often it is sent.", show_default="a random id")
    ] = None,
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Records one event; the next recommendation for this user knows it.

    Example: honeyguide record 17850 85123A --event-type purchase --quantity 6
    """
    from honeyguide.cli.output import command_line, print_json, print_line, print_next

    with server.connect() as client:
        stored = client.record_event(
            user,
            item,
            event_type=event_type,
            dwell_seconds=dwell,
            clicks=clicks,
            quantity=quantity,
            value=value,
            event_id=event_id,
        )
    if json:
        print_json({"user_id": user, "item_id": item, "stored": stored, "duplicate": not stored})
        return
    what = "recorded" if stored else f"recorded before, under the event id {event_id}: nothing changed"
    print_line(f"user {user}, item {item}: {what}")
    print_next(command_line("recommend", user, **server.again()))
