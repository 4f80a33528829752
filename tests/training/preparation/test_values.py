import numpy as np
import polars as pl
import pytest

from honeyguide.training.preparation.values import Values


def test_missing_values_are_null_in_text_and_number() -> None:
    values = Values(".", ("-1", "unknown"), missing_words=True)
    text, number = values.parts(pl.Series(["3", " -1 ", "-1.0", "unknown", "NULL", "", None, "x", "inf"]))
    assert text.to_list() == ["3", None, None, None, None, None, None, "x", "inf"]
    assert number.to_list() == [3.0, None, None, None, None, None, None, None, None]
    numbers = values.parts(pl.Series([3, -1, None]))
    assert [part.to_list() for part in numbers] == [["3", None, None], [3.0, None, None]]
    floats = values.parts(pl.Series([3.5, float("nan"), -1.0, float("inf")]))
    assert floats[0].to_list() == ["3.5", None, None, "inf"]
    assert floats[1].to_list() == [3.5, None, None, None]


def test_words_for_missing_can_be_switched_off() -> None:
    values = Values(".", (), missing_words=False)
    assert values.text(pl.Series(["NULL", "", "a"])).to_list() == ["NULL", None, "a"]


@pytest.mark.parametrize(("decimal", "number"), [(".", [1.5, None]), (",", [None, 2.5])])
def test_a_decimal_comma_is_read_where_it_is_said(decimal: str, number: list[float | None]) -> None:
    assert Values(decimal, (), missing_words=True).parts(pl.Series(["1.5", "2,5"]))[1].to_list() == number


def test_a_column_is_numbers_only_where_every_value_is_one() -> None:
    values = Values(".", (), missing_words=True)
    np.testing.assert_array_equal(values.column(pl.Series(["1", "nan", None])).to_numpy(), [1, np.nan, np.nan])
    assert values.column(pl.Series(["1", "", "XL"])).to_list() == ["1", "", "XL"]
    assert values.column(pl.Series([None, ""], dtype=pl.String)).to_list() == ["", ""]
