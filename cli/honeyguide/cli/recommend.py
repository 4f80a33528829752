"""Adds the verb ``recommend``: one user's recommendations from a running server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli.connection import DEFAULT_SERVER, JsonOption, ServerOption

if TYPE_CHECKING:
    from honeyguide.client import Item, Recommendations

__all__ = ["add_to"]

IDS = "; several with commas, or repeat the option."


def add_to(app: typer.Typer) -> None:
    """Adds ``recommend`` to the command."""
    app.command()(recommend)


def recommend(
    user: Annotated[str | None, typer.Argument(help="The user; may be left out when --history is given.")] = None,
    k: Annotated[int, typer.Option("-k", help="How many items, 1–1,000.")] = 10,
    history: Annotated[list[str] | None, typer.Option(help="Item ids, oldest first" + IDS)] = None,
    pipeline: Annotated[str, typer.Option(help="The pipeline.", show_default="the server's default")] = "",
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids never to answer" + IDS)] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only items of this category; repeat the option for several.")
    ] = None,
    drop_seen: Annotated[
        bool | None,
        typer.Option("--drop-seen/--keep-seen", help="Leave items of the history out.", show_default="the pipeline's"),
    ] = None,
    explain: Annotated[bool, typer.Option(help="Show which items of the history carried each answer.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    json: JsonOption = False,
) -> None:
    """Recommends items to a user, to a history, or to both together.

    Example: honeyguide recommend 17850 -k 5 --history 85123A,71053
    """
    from dataclasses import asdict

    from honeyguide.cli.connection import at, connect, words
    from honeyguide.cli.output import print_json, print_next

    if user is None and history is None:
        raise typer.BadParameter("give a user, or item ids with --history")
    with connect(server) as client:
        answer = client.recommend(
            user,
            history=None if history is None else words(history),
            k=k,
            pipeline=pipeline,
            drop_seen=drop_seen,
            exclude=words(exclude),
            any_categories=category or (),
            explain=explain,
        )
    if json:
        print_json(asdict(answer))
        return
    _print(answer, user, explain)
    if answer.items and user is not None:
        print_next(f"honeyguide record {user} {answer.items[0].item_id}{at(server)}")


def _because(item: Item) -> str:
    return ", ".join(because.item_id for because in item.because_items)


def _print(answer: Recommendations, user: str | None, explain: bool) -> None:
    """Prints the table and, below it, what is unusual about the answer."""
    from honeyguide.cli.output import print_table, stderr

    columns = ["rank", "item", "title", "score", "source"] + ["because"] * explain
    rows = [
        [rank, item.item_id, item.title, item.score, item.source.lower()]
        + [", ".join(b.item_id for b in item.because_items)] * explain
        for rank, item in enumerate(answer, 1)
    ]
    models = ", ".join(map(str, answer.models))
    who = f"user {user}" if user is not None else "this history"
    print_table(f"For {who}" + (f", by {models}" if models else ""), columns, rows)
    notes = []
    if answer.shortfall:
        notes.append(f"{answer.shortfall} fewer than asked for: no more items are left under these limits")
    if answer.unknown_history_items:
        notes.append(f"{answer.unknown_history_items} events of the history have items the model does not know")
    if answer.degraded:
        notes.append(f"a part of the pipeline could not run: {', '.join(answer.degraded_reasons)}")
    for note in notes:
        stderr.print(f"[yellow]note:[/] {note}", highlight=False, soft_wrap=True)
