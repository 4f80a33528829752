"""Adds the verb ``recommend``: one user's recommendations from a running server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from honeyguide.cli.connection import LOCAL, JsonOption, ServerFlags, asks_server

if TYPE_CHECKING:
    from honeyguide.client import Recommendations

__all__ = ["add_to"]

_IDS = "; repeat the option for several."


def add_to(app: typer.Typer) -> None:
    """Adds ``recommend`` to the command."""
    app.command()(asks_server(recommend))


def recommend(
    user: Annotated[str | None, typer.Argument(help="The user; may be left out when --history is given.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=1000, help="How many items.")] = 10,
    history: Annotated[list[str] | None, typer.Option(help="Id of an item of the history, oldest first" + _IDS)] = None,
    pipeline: Annotated[str, typer.Option(help="The pipeline.", show_default="the server's default")] = "",
    exclude: Annotated[list[str] | None, typer.Option(help="Id of an item never to answer" + _IDS)] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Only items of this category; repeat the option for several.")
    ] = None,
    ignore_category_case: Annotated[
        bool, typer.Option("--ignore-category-case", help="Match categories without regard to case.")
    ] = False,
    drop_seen: Annotated[
        bool | None,
        typer.Option("--drop-seen/--keep-seen", help="Leave items of the history out.", show_default="the pipeline's"),
    ] = None,
    explain: Annotated[bool, typer.Option(help="Show which items of the history carried each answer.")] = False,
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Recommends items to a user, to a history, or to both together.

    Example: honeyguide recommend 17850 -k 5 --history 85123A --history 71053
    """
    from dataclasses import asdict

    from honeyguide.cli.output import command_line, print_json, print_next, print_note

    if user is None and history is None:
        raise typer.BadParameter("give a user, or item ids with --history")
    with server.connect() as client:
        answer = client.recommend(
            user,
            history=history,
            k=k,
            pipeline=pipeline,
            drop_seen=drop_seen,
            exclude=exclude or (),
            any_categories=category or (),
            ignore_category_case=ignore_category_case,
            explain=explain,
        )
    if json:
        print_json(asdict(answer))
        return
    _print(answer, user, explain)
    for note in _notes(answer, user, [*(history or ()), *(exclude or ())], ignored=ignore_category_case):
        print_note("note", note)
    if answer.items and user is not None:
        print_next(command_line("record", user, answer.items[0].item_id, **server.again()))


def _print(answer: Recommendations, user: str | None, explain: bool) -> None:
    from honeyguide.cli.output import print_table

    columns = ["rank", "item", "title", "score", "source"] + ["because"] * explain
    rows = [
        [rank, item.item_id, item.title, item.score, item.source.lower()]
        + ["; ".join(b.title or b.item_id for b in item.because_items)] * explain
        for rank, item in enumerate(answer, 1)
    ]
    models = ", ".join(map(str, answer.models))
    who = f"user {user}" if user is not None else "this history"
    print_table(f"For {who}" + (f", by {models}" if models else ""), columns, rows)


def _notes(answer: Recommendations, user: str | None, ids: list[str], *, ignored: bool) -> Iterator[str]:
    """Says what is unusual about an answer."""
    if answer.user_state == "ANONYMOUS":
        yield f"nothing is known of user {user}: this is what anybody is recommended"
    elif answer.user_state == "INLINE" and user is not None:
        yield f"nothing is recorded of user {user}: the history given counts alone"
    if answer.shortfall:
        yield f"{answer.shortfall} fewer than asked for: no more items are left under these limits"
    if answer.unknown_history_items:
        count = answer.unknown_history_items
        has = "event of the history has an item" if count == 1 else "events of the history have items"
        yield f"{count} {has} that the model does not know"
        if any("," in item for item in ids):
            yield "an option with commas is one id: repeat --history or --exclude for several"
    if answer.unknown_categories:
        case = "" if ignored else "; --ignore-category-case helps where the case alone differs"
        yield f"no item has the category {', '.join(map(repr, answer.unknown_categories))}{case}"
    if answer.degraded:
        yield f"a part of the pipeline could not run: {', '.join(answer.degraded_reasons)}"
