from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset import Dataset
from honeyguide.training.preparation.prepare import prepare
from honeyguide.training.preparation.presets import PRESETS, preset_options

RATED = [("1", "10", "4.0", "964982703"), ("1", "20", "4.0", "964981247"), ("1", "30", "5.0", "964983815"),
         ("2", "10", "3.5", "964982224"), ("2", "20", "1.0", "964982400")]  # fmt: skip


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def made(folder: Path, preset: str, log: Path, **options: Any) -> Dataset:
    return prepare(log, out=folder / "data", preset=preset, trainable=False, **options)


def table(separator: str, header: str = "", end: str = "", quote: str = "") -> str:
    rows = [separator.join(f"{quote}{field}{quote}" for field in row) + end for row in RATED]
    return "\n".join([*([header] if header else []), *rows, ""])


@pytest.mark.parametrize(
    "text",
    [
        table("::"),
        table("\t"),
        table(",", "userId,movieId,rating,timestamp"),
        table(",", '"userId","movieId","rating","timestamp"', quote='"'),
        table(",", "userId,movieId,rating,timestamp,,,,", end=",,,,"),  # a spreadsheet saved it
        table(",", "userId,movieId,rating,timestamp,,,,"),
        table(";", "userId;movieId;rating;timestamp"),
        "\ufeff" + table(",", "userId,movieId,rating,timestamp").replace("\n", "\r\n"),
    ],
)
def test_every_form_of_movielens_is_told_by_its_columns(tmp_path: Path, text: str) -> None:
    data = made(tmp_path, "movielens", write(tmp_path, "ratings", text))
    assert data.users["user_id"].to_list() == ["1", "2"]
    assert data.items["item_id"].to_list() == ["10", "20", "30"]
    assert data.events["value"].to_list() == [4.0, 4.0, 5.0, 3.5, 1.0]
    assert data.events["time_ms"][0] == 964981247000
    assert not data.spec.repeats


def test_titles_of_movielens_may_have_quotes(tmp_path: Path) -> None:
    log = write(tmp_path, "ratings.dat", table("::"))
    items = write(tmp_path, "movies.dat", '10::"Great Performances" Cats (1998)::Musical\n20::5" x::Drama\n')
    titles = made(tmp_path, "movielens", log, items=items).items["title"].to_list()
    assert titles == ['"Great Performances" Cats (1998)', '5" x', ""]


def test_another_form_is_refused_with_what_it_looks_like(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none of MovieLens' forms: 3 fields with ',' between"):
        preset_options("movielens", write(tmp_path, "log.csv", "a,b,c\n"), None)


def test_recbole_headers_may_be_quoted_and_a_wrong_value_is_named(tmp_path: Path) -> None:
    quoted = '"user_id:token"\t"item_id:token"\t"timestamp:float"\n"u"\t"a"\t"7.0"\n"u"\t"b"\t"8.0"\n'
    data = made(tmp_path, "recbole", write(tmp_path, "x.inter", quoted))
    assert data.events["time_ms"].to_list() == [7000, 8000]
    bad = write(tmp_path, "rb2.inter", "user_id\titem_id\trating\ttimestamp\n1\t10\t—\t1600000000\n")
    with pytest.raises(DataError, match=r"rb2.inter, row 2, column 'rating': '—' is not a number"):
        made(tmp_path / "bad", "recbole", bad)


def test_sequences_have_one_line_a_user(tmp_path: Path) -> None:
    text = "u1 i1 i2 i3 i4 i5\nu2 i2 i3 i1\nu3 i4 i1 i5 i2\n"
    data = made(tmp_path, "sequences", write(tmp_path, "Toys.txt", text))
    assert data.counts["events"] == 12
    assert data.items["item_id"].gather(data.events["item"]).to_list()[5:8] == ["i2", "i3", "i1"]


def test_retailrocket_keeps_the_purchase_of_a_funnel(tmp_path: Path) -> None:
    rows = "".join(
        f"{1433221332117 + 60_000 * i + 1000 * step},{user},{event},{item},{'9' if event == 'transaction' else ''}\n"
        for user in range(4)
        for i, item in enumerate(range(user, user + 5))
        for step, event in enumerate(["view", "addtocart", "transaction"][: 1 + (user + item) % 3])
    )
    log = write(tmp_path, "events.csv", "timestamp,visitorid,event,itemid,transactionid\n" + rows)
    data = made(tmp_path, "retailrocket", log, repeats="no")
    assert data.events["event_type"].to_list().count("transaction") == rows.count("transaction")
    assert data.events["time_ms"].min() >= 1433221332117


def test_steam_keeps_the_hours(tmp_path: Path) -> None:
    rows = "".join(
        f"{user},Some Game {game},purchase,1.0,0\n{user},Some Game {game},play,{game + 0.5},0\n"
        for user in (151603712, 151603713)
        for game in range(4)
    )
    data = made(tmp_path, "steam", write(tmp_path, "steam-200k.csv", rows + "151603713,Unplayed,purchase,1.0,0\n"))
    assert data.events["value"].to_list() == [0.5, 1.5, 2.5, 3.5, 0.5, 1.5, 2.5, 3.5, 1.0]


def test_anime_knows_what_was_watched_and_not_rated(tmp_path: Path) -> None:
    log = write(tmp_path, "rating.csv", "user_id,anime_id,rating\n1,20,-1\n1,24,8\n1,79,10\n2,20,6\n2,24,-1\n")
    items = write(tmp_path, "anime.csv", "anime_id,name,genre,type,episodes,rating,members\n"
                  '20,Naruto,"Action, Comedy, Super Power",TV,220,7.81,683297\n')  # fmt: skip
    data = made(tmp_path, "anime", log, items=items)
    np.testing.assert_array_equal(np.isnan(data.events["value"].to_numpy()), [True, False, False, False, True])
    assert data.items.row(0)[:3] == ("20", "Naruto", ["Action", "Comedy", "Super Power"])


BOOKS = (
    '"ISBN";"Book-Title";"Book-Author";"Year-Of-Publication";"Publisher";"Image-URL-S"\n'
    '"034545104X";"Flesh Tones: A \\"Novel\\"";"M. J. Rose";"2002";"Ballantine Books";"http://i/1.jpg"\t\n'
    '"0155061224";"Les Mis\xe9rables; 1 &amp; 2";"Judith Rae";"2001";"Heinle";"http://i/2.jpg"\t\n'
)


def test_book_crossing_comes_in_latin_1_with_semicolons_and_backslashes(tmp_path: Path) -> None:
    ratings = '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n'
    log = write(tmp_path, "BX-Book-Ratings.csv", ratings + '"276726";"034545104X";"8"\n', "latin-1")
    items = write(tmp_path, "BX_Books.csv", BOOKS, "latin-1")
    data = made(tmp_path, "book-crossing", log, items=items)
    assert sorted(data.items.select("item_id", "title").rows()) == [
        ("0155061224", "Les Misérables; 1 &amp; 2"),
        ("034545104X", 'Flesh Tones: A "Novel"'),
    ]
    np.testing.assert_array_equal(data.events["value"].to_numpy(), [np.nan, 5, 8])


def test_book_crossing_saved_with_commas_reads_too(tmp_path: Path) -> None:
    log = write(tmp_path, "Ratings.csv", "User-ID,ISBN,Book-Rating\n1,034545104X,0\n2,0155061224,5\n")
    items = write(tmp_path, "Books.csv", 'ISBN,Book-Title\n034545104X,"Flesh ""Tones"""\n0155061224,Les Misérables\n')
    data = made(tmp_path, "book-crossing", log, items=items)
    assert set(data.items["title"]) == {'Flesh "Tones"', "Les Misérables"}


def test_every_preset_says_so() -> None:
    assert all(preset.__doc__ for name, preset in PRESETS.items() if name != "demo")
