"""Adds the verb ``items``: items that models did not meet in training, added to a running server and taken out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from honeyguide.cli.connection import LOCAL, JsonOption, ServerFlags, asks_server

if TYPE_CHECKING:
    from honeyguide.answers import NewItem

__all__ = ["add_to"]

_Each = TypeVar("_Each")
_AT_ONCE = 500
"""Items, or ids, of one call."""
_TIMEOUT = 60.0
"""Seconds of one call: text of so many items takes a while to encode."""


def add_to(app: typer.Typer) -> None:
    """Adds ``items`` and its sub-verbs to the command."""
    group = typer.Typer(no_args_is_help=True, help="Adds items that models have not met to a running server.")
    group.command("add")(asks_server(add_items))
    group.command("list")(asks_server(list_items))
    group.command("delete")(asks_server(delete))
    app.add_typer(group, name="items")


def add_items(
    file: Annotated[Path, typer.Argument(help="JSON lines, an item each.")],
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Adds the items of a file, or replaces those added before; again after a failure, nothing is lost.

    They are sent 500 at a time, each time all or none; where one is refused, it says which lines that were.

    An item is an object with "item_id", and perhaps "title" and "categories", a list; of any other name text is a text,
    a number a number, and a list of numbers a vector, as the model's training data had them.

    Example: honeyguide items add new.jsonl
    """
    from honeyguide.cli.output import print_json, print_note, print_table

    added = replaced = 0
    known: list[str] = []
    placing: dict[tuple[str, int], None] = {}
    unread: dict[str, None] = {}
    failures: dict[tuple[str, int], str] = {}
    with server.connect(_TIMEOUT) as client:
        items, listed = _read(file), list(client.pipelines())  # whatever fails here fails before anything is added
        for part in _parts(items):
            try:
                done = client.upsert_items([item for _, item in part])
            except Exception as error:
                _say_where(file, [line for line, _ in part], error, added + replaced)
                raise
            added, replaced = added + done.added_count, replaced + done.replaced_count
            known += done.known_item_ids
            placing |= dict.fromkeys((model.name, model.version) for model in done.models)
            unread |= dict.fromkeys(done.unknown_columns)
            failures |= {(failure.model.name, failure.model.version): failure.problem for failure in done.failures}
        pipelines = [  # of several retrievers the first one places
            pipeline.name
            for pipeline in listed
            if any((first.name, first.version) in placing for first in pipeline.retrievers[:1])
        ]
    if json:
        models = [{"name": name, "version": version} for name, version in placing]
        failed = [{"name": name, "version": version, "problem": why} for (name, version), why in failures.items()]
        about = {"known_item_ids": known, "unknown_columns": list(unread), "models": models, "failures": failed}
        about["pipelines"] = pipelines
        print_json({"added": added, "replaced": replaced, **about})
        return
    rows = [
        ("added", f"{added:,}"),
        ("replaced", f"{replaced:,}"),
        ("in a catalogue already", f"{len(known):,}"),
        ("placed by", ", ".join(f"{name} {version}" for name, version in placing)),
        ("recommended by", ", ".join(pipelines) or "no pipeline"),
    ]
    print_table(f"{file} → {server.server}", ("items", ""), rows)
    if not pipelines:
        print_note(
            "nobody is recommended them", "no pipeline retrieves with a model that places them: add one to the settings"
        )
    if unread:
        print_note("no model reads column", ", ".join(unread))
    for (name, version), problem in failures.items():
        print_note(f"not placed by {name} {version}", problem)


def list_items(server: ServerFlags = LOCAL, json: JsonOption = False) -> None:
    """Lists the items that were added, the newest first.

    Example: honeyguide items list
    """
    from dataclasses import asdict

    from honeyguide.cli.output import print_json, print_table

    with server.connect() as client:
        listed = client.added_items()
    if json:
        print_json([asdict(item) for item in listed])
        return
    rows = [
        (item.item_id, item.title, ", ".join(item.categories), ", ".join((*item.texts, *item.numbers, *item.vectors)))
        for item in listed
    ]
    print_table(f"Items added to {server.server}", ("item", "title", "categories", "columns"), rows)


def delete(
    item_ids: Annotated[list[str], typer.Argument(help="Ids of added items.")],
    server: ServerFlags = LOCAL,
    json: JsonOption = False,
) -> None:
    """Takes added items out; those of a model's catalogue stay. Exit code 5 where one was not there.

    Example: honeyguide items delete B0C1 B0C2
    """
    from honeyguide.cli.failures import ExitCode
    from honeyguide.cli.output import print_json, print_note, print_table

    deleted, missing = 0, list[str]()
    with server.connect() as client:
        for part in _parts(item_ids):
            done = client.delete_items(part)
            deleted += done.deleted_count
            missing += done.missing_item_ids
    if json:
        print_json({"deleted": deleted, "missing_item_ids": missing})
    else:
        print_table(f"Items of {server.server}", ("items", ""), [("deleted", deleted)])
        if missing:
            print_note("not there", ", ".join(missing))
    if missing:
        raise typer.Exit(ExitCode.NOT_FOUND)


def _parts(items: list[_Each]) -> Iterator[list[_Each]]:
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


def _say_where(file: Path, lines: list[int], error: Exception, before: int) -> None:
    """Says which lines a call was about that ended in an error, and how many items were added before it."""
    from honeyguide.cli.output import print_note

    place = re.match(r"items\[(\d+)\]", getattr(error, "field", None) or "")
    one = f", {place[0]} in line {lines[int(place[1])]:,}" if place else ""
    if one or before:
        here = f"{file}, lines {lines[0]:,} to {lines[-1]:,}{one}"
        print_note("stopped at", f"{here}; of the lines before them {before:,} items are added or replaced")


def _read(file: Path) -> list[tuple[int, NewItem]]:
    """Reads all items with their lines before the first is sent; raises `DataError` naming the line that is wrong."""
    from json import JSONDecodeError, loads

    from honeyguide.sdk.errors import DataError

    try:
        lines = file.read_text("utf-8-sig").split("\n")  # not splitlines(): a title may have U+2028 or U+0085
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise DataError(f"{file} cannot be read: {why}") from error
    items, line_of = [], dict[str, int]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = _item(loads(line))
        except JSONDecodeError as error:
            raise DataError(f"{file}, line {number}, character {error.pos + 1}: no JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}, line {number}: {error}") from error
        if item.item_id in line_of:
            raise DataError(f"{file}, line {number}: item {item.item_id!r} is in line {line_of[item.item_id]} already")
        line_of[item.item_id] = number
        items.append((number, item))
    if not items:
        raise DataError(f'{file} holds no items; one is a line such as {{"item_id": "B0C1", "title": "Lamp"}}')
    return items


def _item(given: Any) -> NewItem:
    """Makes an item of a line's object; raises `ValueError`."""
    from honeyguide.answers import NewItem

    if not isinstance(given, dict) or not _is_a(str | int, given.get("item_id")):
        raise ValueError('an item is an object with "item_id", text or a whole number')
    title, categories = given.pop("title", None), given.pop("categories", None)
    if not isinstance(title, str | None):
        raise ValueError(f'"title" must be text, not {title!r}')  # noqa: TRY004  # of a file
    if categories is not None and not _is_list_of(str, categories):
        raise ValueError(f'"categories" must be a list of texts, not {categories!r}')
    item = NewItem(str(given.pop("item_id")), title or "", categories or [], {}, {}, {})
    columns: Any = item  # each of its columns is a dict here
    for name, value in given.items():
        if value is None or (isinstance(value, float) and value != value):  # NaN: not known
            continue
        if isinstance(value, str):
            columns.texts[name] = value
        elif _is_a(int | float, value):
            columns.numbers[name] = _finite(name, value)
        elif _is_list_of(int | float, value):
            columns.vectors[name] = [_finite(name, number) for number in value]
        else:
            raise ValueError(f"{name!r} must be text, a number, or a list of numbers")
    if not (item.title.strip() or item.categories or columns.texts or columns.numbers or columns.vectors):
        raise ValueError(f'nothing is said of item {item.item_id!r} that could place it: give it a "title"')
    return item


def _finite(name: str, number: float) -> float:
    """Returns a number as a float; raises `ValueError` where it is none, such as a whole one of 400 digits."""
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"{name!r} must be finite, not {value}")
    return value


def _is_a(kind: Any, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_list_of(kind: Any, value: Any) -> bool:
    return isinstance(value, list) and all(_is_a(kind, each) for each in value)
