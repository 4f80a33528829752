import polars as pl
import pytest

from honeyguide.training.preparation.conditions import parse_condition
from honeyguide.training.preparation.values import Values

ROWS = pl.DataFrame(
    {
        "type": ["view", " buy ", None, "View", "", "x, y"],
        "rating": ["6", "7.5", "-1", None, "-1.0", "a"],
        "brand": ["O'Brien", "x", "1_0", "10", "007", "7"],
    }
)


def holding(text: str) -> list[int]:
    condition = parse_condition(text)
    values = Values(".", (), True)
    text, number = values.parts(ROWS[condition.column])
    column = pl.DataFrame({"text": text, "number": number})
    return column.select(condition.holds(pl.col("text"), pl.col("number"))).to_series().arg_true().to_list()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("type = view", [0]),
        ("type == 'view'", [0]),
        ("type in (view, buy)", [0, 1]),
        ("type IN('view','x, y')", [0, 5]),
        ("type not in (view, buy)", [2, 3, 4, 5]),
        ("type != view", [1, 2, 3, 4, 5]),
        ("rating >= 6", [0, 1]),
        ("rating > 6", [1]),
        ("rating<0", [2, 4]),
        ("rating <= -1", [2, 4]),
        ("rating != -1", [0, 1, 3, 5]),
        ("rating=6.0", [0]),
        ('"rating" = -1', [2, 4]),
        ("rating = 7.50", [1]),
        ("brand in (O'Brien, 'x')", [0, 1]),
        ("brand = O'Brien", [0]),
        ("brand != 1_0", [0, 1, 3, 4, 5]),
        ("brand = 007", [4]),
        ("brand in (7.0)", [5]),
        ("brand != 'this and that'", [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_condition_means_what_it_says(text: str, rows: list[int]) -> None:
    assert holding(text) == rows


def test_names_may_hold_words_and_signs() -> None:
    assert parse_condition("'a in b' = 3").column == "a in b"
    assert parse_condition("main index >= 3").column == "main index"
    assert parse_condition("event type in (a)").column == "event type"
    assert parse_condition("url = http://x/?a=b").values == ("http://x/?a=b",)


@pytest.mark.parametrize(
    "text", ["hit", "", "= 3", "type in view", "type in ()", "rating > high", "time >= 2020-01-01"]
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="where is"):
        parse_condition(text)
