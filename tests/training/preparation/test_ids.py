import numpy as np
import polars as pl
import pytest

from honeyguide.sdk.errors import DataError
from honeyguide.training.preparation.ids import MISSING, MISSING_WORDS, TOO_LONG, IdCodes, clean_ids, ids_as_text


@pytest.mark.parametrize(
    "values",
    [
        pl.Series(["17850", "7"]),
        pl.Series([" 17850.0", "7.00 "]),
        pl.Series([17850, 7]),
        pl.Series([17850.0, 7.0]),
        pl.Series([17850.0, 7.0], dtype=pl.Float32),
        pl.Series(["17850", "7"], dtype=pl.Categorical),
        pl.Series(["17850.0", "7.0"]).cast(pl.Decimal(10, 1)),
    ],
)
def test_an_id_is_the_same_whatever_its_type(values: pl.Series) -> None:
    assert clean_ids(ids_as_text(values, "f", "user"), missing_words=True).to_list() == ["17850", "7"]


def test_only_a_fraction_of_zeros_goes() -> None:
    texts = pl.Series(["007", "7.5", "7.0", "-3.0", "1.0.0", "v1.0", "1e19", "7.", "a b"])
    assert clean_ids(texts, missing_words=True).to_list() == [
        "007",
        "7.5",
        "7",
        "-3",
        "1.0.0",
        "v1.0",
        "1e19",
        "7.",
        "a b",
    ]


def test_words_for_missing_can_be_ids_on_request() -> None:
    texts = pl.Series(["", "  ", None, *MISSING_WORDS, "nano"])
    assert clean_ids(texts, missing_words=True).drop_nulls().to_list() == ["nano"]
    assert clean_ids(texts, missing_words=False).drop_nulls().to_list() == [*MISSING_WORDS, "nano"]


def test_floats_that_are_no_number_are_missing_and_fractions_stay() -> None:
    values = pl.Series([float("nan"), float("inf"), float("-inf"), None, 1.5, -2.0])
    assert ids_as_text(values, "f", "user").to_list() == [None, None, None, None, "1.5", "-2"]


@pytest.mark.parametrize(
    "values", [pl.Series("u", [1.0, 1e19]), pl.Series("u", [2.0**53]), pl.Series("u", [2.0**24], dtype=pl.Float32)]
)
def test_floats_too_large_for_their_type_are_refused(values: pl.Series) -> None:
    with pytest.raises(DataError, match=r"f, column 'u'.*more digits.*\n.*--user"):
        ids_as_text(values, "f", "user")


def test_codes_of_blocks_are_places_among_the_clean_ids() -> None:
    codes = IdCodes(missing_words=True, most_bytes=4)
    blocks = [["10", "9", "NULL"], [" 9", "9.0", "abcde", None], ["b", "10"]]
    numbers = np.concatenate([codes(pl.Series(block, dtype=pl.String)) for block in blocks])
    ids, places = codes.finish()
    assert ids.to_list() == ["9", "b", "10"]
    assert places[numbers].tolist() == [2, 0, MISSING, 0, 0, TOO_LONG, MISSING, 1, 2]
