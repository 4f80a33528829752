from pathlib import Path

import numpy as np
import polars as pl
import pytest

from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.preparation.times import TimeReader, date_remedy, parse_cut, telling_date
from honeyguide.training.preparation.values import Values

MS = 1_291_191_960_000
"""2010-12-01T08:26:00Z"""


def read(values: list[object] | pl.Series, unit: str = "", format_: str = "") -> tuple[TimeReader, list[int | None]]:
    series = values if isinstance(values, pl.Series) else pl.Series(values)
    reader = TimeReader(unit, format_)
    return reader, reader.ms(series, *Values(".", (), missing_words=True).parts(series)).to_list()


@pytest.mark.parametrize(
    ("unit", "scale"), [("seconds", 1e-3), ("milliseconds", 1), ("microseconds", 1e3), ("nanoseconds", 1e6)]
)
def test_the_size_of_a_number_tells_its_unit(unit: str, scale: float) -> None:
    number = round(MS * scale)
    for values in ([number], [str(number)], [float(number)]):
        reader, ms = read(values)
        assert (reader.unit, ms) == (unit, [MS])
    given, ms = read([number], unit)
    assert (given.unit, ms) == (unit, [MS])


@pytest.mark.parametrize(
    "text",
    [
        "2010-12-01 08:26:00",
        "2010-12-01T08:26:00Z",
        "2010-12-01T10:26:00+02:00",
        "2010-12-01 10:26 +0200",
        "2010-12-01 08:26",
        "2010-12-01T03:26-05:00",
        "2010-12-01T08:26:00.000000",
        " 2010-12-01 08:26:00.000 ",
    ],
)
def test_iso_forms_are_read_without_being_named(text: str) -> None:
    reader, ms = read([text, None])
    assert (reader.unit, ms) == ("datetime", [MS, None])


def test_a_date_is_its_midnight() -> None:
    assert read(["2010-12-01"])[1] == [MS - (8 * 60 + 26) * 60_000]


@pytest.mark.parametrize("text", ["01/12/2010", "1.12.2010 08:26", "2010/12/01", "12-01-2010", "20101201T0826", "soon"])
def test_what_is_not_iso_is_never_guessed(text: str) -> None:
    assert read([text])[1] == [None]


def test_a_format_is_heeded() -> None:
    assert read(["01/12/2010 08:26"], format_="%d/%m/%Y %H:%M")[1] == [MS]
    assert read(["01/12/2010 10:26 +0200"], format_="%d/%m/%Y %H:%M %z")[1] == [MS]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("01/03/2020", ["day first it is 2020-03-01: --time-format '%d/%m/%Y'", "month first it is 2020-01-03"]),
        ("1.3.20 9:05", ["'%d.%m.%y %H:%M'", "'%m.%d.%y %H:%M'"]),
        ("13/01/2020 10:00:05", ["day first it is 2020-01-13: --time-format '%d/%m/%Y %H:%M:%S'"]),
        ("01/13/2020 1:00 PM", ["month first it is 2020-01-13: --time-format '%m/%d/%Y %I:%M %p'"]),
        ("2020/01/02", ["year first it is 2020-01-02: --time-format '%Y/%m/%d'"]),
    ],
)
def test_a_remedy_shows_every_reading_and_each_works(text: str, words: list[str]) -> None:
    said = date_remedy(text)
    assert [word for word in words if word not in said] == []
    assert len(said.split("; ")) == len(words)
    for reading in said.split("; "):
        date, format_ = reading.split("it is ")[1].split(": --time-format ")
        (ms,) = read([text], format_=format_.strip("'"))[1]
        assert ms is not None
        assert np.datetime64(ms, "ms").astype("datetime64[D]").astype(str) == date


def test_what_is_no_date_has_no_reading() -> None:
    assert date_remedy("soon") == date_remedy("99/99/2020") == ""


def test_the_date_that_tells_its_order_is_shown() -> None:
    assert telling_date(pl.Series(["01/01/2020", "x", "01/03/2020"]), [0, 1, 2]) == 2
    assert telling_date(pl.Series(["x", "y"]), [1]) == 1


@pytest.mark.parametrize(
    ("given", "number", "said"),
    [
        ("seconds", 1_600_000_000_000, r"f, row 7, column 't'.*after the year 2100\n.*--time-unit milliseconds"),
        ("seconds", 1_600_000_000_000_000_000, r"--time-unit nanoseconds"),
        ("milliseconds", 1_600_000_000, r"before 1971\n.*--time-unit seconds"),
        ("milliseconds", 1_600_000_000_000_000, r"--time-unit microseconds"),
        ("nanoseconds", 1_600_000_000_000, r"before 1971\n.*--time-unit milliseconds"),
    ],
)
def test_a_wrong_unit_is_refused_with_the_right_one(given: str, number: int, said: str) -> None:
    reader, ms = read([number, number + 1], given)
    with pytest.raises(DataError, match=said):
        reader.check(np.array(ms), lambda at: (Path("f"), at + 7), "t")


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([1600000000, 1600000100000, 1600000200000], r"f, row 0, column 't': 1600000000 is of the size of seconds"),
        ([1600000000, 1600000100, 1600000200000], r"f, row 2.*of the size of milliseconds, and most times are seconds"),
        ([1.6e18, 1.6e15, 1.6e18], r"f, row 1.*of the size of microseconds, and most times are nanoseconds"),
    ],
)
def test_units_that_are_mixed_are_refused(numbers: list[float], said: str) -> None:
    reader, ms = read(numbers)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=said):
        reader.check(np.array(ms), lambda at: (Path("f"), at), "t")
    reader, ms = read([0, 1_600_000_000_000, 1_600_000_000_001])
    assert reader.check(np.array(ms), lambda at: (Path("f"), at), "t") == []


def test_a_fraction_of_a_second_is_kept() -> None:
    assert read(["2010-12-01 08:26:00.125"], format_="%Y-%m-%d %H:%M:%S.%f")[1] == [MS + 125]


def test_times_of_1970_are_worth_a_warning() -> None:
    reader, ms = read([1, 2, 3])
    (odd,) = reader.check(np.array(ms), lambda at: (Path("f"), at), "place")
    assert "every time lies before 1971" in odd


@pytest.mark.parametrize("day", [20200913, "20200913"])
def test_dates_without_marks_are_dates_where_all_are(day: object) -> None:
    reader, ms = read([day])
    assert (reader.unit, ms) == ("datetime", [1_599_955_200_000])
    assert read([day, type(day)(7)])[0].unit == "seconds"  # type: ignore[call-arg]  # of int or str


@pytest.mark.parametrize(
    ("text", "unit", "expected"),
    [
        ("978133414", "seconds", 978133414000),
        ("978133414000", "milliseconds", 978133414000),
        ("978133414000000", "microseconds", 978133414000),
        ("2000-12-29", "seconds", 978048000000),
        ("20001229", "milliseconds", 978048000000),
        ("2000-12-29T01:00:00+01:00", "datetime", 978048000000),
    ],
)
def test_cut_times_are_numbers_or_dates(text: str, unit: str, expected: int) -> None:
    assert parse_cut(text, unit) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Christmas", "Christmas"),
        ("2020", "write 2020-01-01"),
        ("inf", "inf"),
        ("1609459200000", "size of milliseconds, and the log has seconds"),
    ],
)
def test_bad_cut_times_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_cut(text, "seconds")
