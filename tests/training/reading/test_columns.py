from pathlib import Path

import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading.columns import find_column, shorten


def test_a_column_is_found_by_its_name_or_by_the_part_before_the_type() -> None:
    names = ["user", "item:token", "item_id"]
    assert find_column("user", names, Path("log"), "user") == "user"
    assert find_column("item", names, Path("log"), "item") == "item:token"


def test_an_absent_column_is_refused_with_those_there_are_in_few_words() -> None:
    with pytest.raises(DataError, match=r"log.csv, column 'x': .*\n.*choose --event-type from: user, ts$"):
        find_column("x", ["", "user", "ts"], Path("log.csv"), "event_type")
    with pytest.raises(DataError) as caught:
        find_column("x" * 9999, [f"column {i}" for i in range(9999)], Path("log.csv"), "user")
    assert len(str(caught.value)) < 700


def test_a_doubled_name_is_refused_where_it_is_used_alone() -> None:
    assert find_column("user", ["user", "ts", "ts"], Path("log.csv"), "user") == "user"
    with pytest.raises(DataError, match=r"'ts': the header names this column twice"):
        find_column("ts", ["user", "ts", "ts"], Path("log.csv"), "time")


def test_long_texts_are_shortened() -> None:
    assert shorten("short") == "short"
    assert shorten("x" * 100) == "x" * 79 + "…"
