"""Writes small look-alikes of public data sets, in the form in which their publishers document them.

    python tests/cases/lookalikes.py FOLDER

Users have tastes and popular items are popular, so that a model finds something to learn; the figures are made up.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

__all__ = ["LOOKALIKES", "write"]

USERS, ITEMS, BEGIN = 60, 80, 1_430_000_000


def sequences(seed: int, least: int = 5) -> Iterator[tuple[int, list[int]]]:
    """Yields users and the items of each, oldest first; no item twice."""
    random = np.random.default_rng(seed)
    for user in range(1, USERS + 1):
        weights = 1.0 / np.arange(1, ITEMS + 1)
        weights[user % 4 :: 4] *= 10  # one of four tastes
        length = int(random.integers(least, 15))
        yield user, (1 + random.choice(ITEMS, length, replace=False, p=weights / weights.sum())).tolist()


def _lines(path: Path, lines: Iterator[str], encoding: str = "utf-8", end: str = "\n") -> None:
    path.write_bytes("".join(line + end for line in lines).encode(encoding))


def toys(folder: Path) -> None:
    """S3Rec's Toys_and_Games.txt and LastFM.txt: a user and all items in a line, spaces between."""
    for seed, name in enumerate(("Toys_and_Games.txt", "LastFM.txt")):
        _lines(folder / name, (" ".join(map(str, (user, *items))) for user, items in sequences(seed)))


def steam(folder: Path) -> None:
    """Steam-200k: no header; user, "game", purchase or play, 1.0 or hours, 0; a play follows its purchase."""

    def lines() -> Iterator[str]:
        for user, items in sequences(2):
            for item in items:
                game = f'{151603712 + user},"Game {item}, The 2nd",'
                yield f"{game}purchase,1.0,0"
                if item % 3:
                    yield f"{game}play,{item * 1.7:.1f},0"

    _lines(folder / "steam-200k.csv", lines())


def anime(folder: Path) -> None:
    """Anime: rating.csv, where -1 is watched and not rated, and anime.csv with quoted names and genres."""
    ratings = (f"{u},{i},{-1 if i % 5 == 0 else 5 + i % 6}" for u, items in sequences(3) for i in items)
    _lines(folder / "rating.csv", iter(["user_id,anime_id,rating", *ratings]), end="\r\n")
    names = (
        f'{i},"Kimi, no Na wa {i}","Drama, {"Romance" if i % 2 else "School"}",Movie,1,9.3,200630'
        for i in range(1, ITEMS)
    )
    _lines(folder / "anime.csv", iter(["anime_id,name,genre,type,episodes,rating,members", *names]), end="\r\n")


def books(folder: Path) -> None:
    r"""Book-Crossing: ";", latin-1, all quoted, \" inside, 0 for implicit; a tab at the end of some lines of books."""
    ratings = (f'"{u}";"034545{i:03}X";"{i % 11}"' for u, items in sequences(4) for i in items)
    _lines(folder / "BX-Book-Ratings.csv", iter(['"User-ID";"ISBN";"Book-Rating"', *ratings]), "latin-1", "\r\n")
    head = (
        '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S";"Image-URL-M";"Image-URL-L"'
    )
    url = "http://images.example.com/P/x.jpg"
    titles = {7: 'The Real \\"J. Peterman\\"', 8: "Amélie; une vie", 9: "Tom &amp; Jerry"}
    lines = (
        f'"034545{i:03}X";"{titles.get(i, f"Book {i}")}";"A. Uthor";"2002";"Knopf";"{url}";"{url}";"{url}"'
        + "\t" * (i % 2)
        for i in range(1, ITEMS + 1)
    )
    _lines(folder / "BX-Books.csv", iter([head, *lines]), "latin-1", "\r\n")


def retailrocket(folder: Path) -> None:
    """Retailrocket: events.csv, milliseconds, not in order of time; view, addtocart, transaction with its number."""

    def lines() -> Iterator[str]:
        for user, items in sequences(5):
            for n, item in enumerate(items):
                moment = (BEGIN + 86_400 * n + user) * 1000
                yield f"{moment},{user},view,{item},"
                if item % 3 == 0:
                    yield f"{moment + 40_000},{user},addtocart,{item},"
                if item % 9 == 0:
                    yield f"{moment + 95_000},{user},transaction,{item},{1000 + n}"

    shuffled = list(lines())
    np.random.default_rng(0).shuffle(shuffled)
    _lines(folder / "events.csv", iter(["timestamp,visitorid,event,itemid,transactionid", *shuffled]))


def movielens(folder: Path) -> None:
    """ml-latest-small: ratings.csv, saved again by a spreadsheet with four empty columns, and movies.csv."""
    rows = (
        f"{user},{item},{1 + item % 9 / 2},{BEGIN + 60 * n},,,,"
        for user, items in sequences(6)
        for n, item in enumerate(items)
    )
    _lines(folder / "ratings.csv", iter(["userId,movieId,rating,timestamp,,,,", *rows]), end="\r\n")
    names = (
        f'{i},"Movie, The {i} (1995)",{"Comedy|Romance" if i % 2 else "(no genres listed)"}'
        for i in range(1, ITEMS + 1)
    )
    _lines(folder / "movies.csv", iter(["movieId,title,genres", *names]), end="\r\n")


LOOKALIKES: dict[str, Callable[[Path], None]] = {
    "Toys_and_Games.txt": toys,
    "LastFM.txt": toys,
    "steam-200k.csv": steam,
    "rating.csv": anime,
    "BX-Book-Ratings.csv": books,
    "events.csv": retailrocket,
    "ratings.csv": movielens,
}
"""By the file that the command names: what writes it, and the files beside it."""


def write(folder: Path) -> None:
    """Writes all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for make in dict.fromkeys(LOOKALIKES.values()):
        make(folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
