from pathlib import Path

import pytest

from honeyguide.sdk.errors import ConfigError
from honeyguide.training.reading.dialect import TextFormat, detect_separator, separator_name


@pytest.mark.parametrize(
    ("head", "separator"),
    [
        ("user,item,ts\nu,a,1\n", ","),
        ("user;item;price\nu;a;1,5\nv;b;2,5\n", ";"),
        ("u;a;1,5\nv;b;2,5\n", ";"),  # as often a comma, in fewer fields
        ("user\titem\nu\ta, b\nv\tc, d\n", "\t"),
        ("1::10::5::3\n1::20::4::1\n", "::"),
        ("1|Toy Story (1995)|x\n2|GoldenEye (1995)|y\n", "|"),
        ("u,x|y\nv,x|y\n", ","),  # categories are no columns
        ("2020-01-01 10:00:00,u\n2020-01-01 10:00:01,v\n", ","),
        ("u i\nv j\n", " "),
        ('"user"\t"item"\n"u"\t"a,b;c"\n', "\t"),
        ('user,text\nu,"a;b;c"\nv,"d\n;e"\n', ","),
        ("user,item\n\n\nu,a\n", ","),
    ],
)
@pytest.mark.parametrize("name", ["log.csv", "log.txt", "log"])
def test_the_separator_is_found_in_the_first_rows(head: str, separator: str, name: str) -> None:
    assert detect_separator(head, Path(name), '"') == (separator, True)


def test_the_ending_decides_among_equals_and_where_no_row_does() -> None:
    assert detect_separator("a,b\tc\n", Path("log.csv"), '"') == (",", True)
    assert detect_separator("a,b\tc\n", Path("log.tsv.gz"), '"') == ("\t", True)
    assert detect_separator("user\nu\n", Path("log.inter"), '"') == ("\t", False)
    assert detect_separator("user\nu\n", Path("log.txt"), '"') == (",", False)
    assert detect_separator("u a b\nv a b c d\nw a\n", Path("log.txt"), '"') == (" ", False)


def test_plain_quotes_protect_no_separator() -> None:
    assert detect_separator('"a,b";"c,d,e"\n"a,b,c";"d"\n', Path("log"), "") == (";", True)


def test_names_stand_for_characters() -> None:
    assert (TextFormat("tab").separator, TextFormat("space").separator, TextFormat(quote="none").quote) == (
        "\t",
        " ",
        "",
    )
    assert [separator_name(s) for s in ("\t", " ", "::")] == ["tab", "space", "::"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quote": "''"}, "quote is \"''\""),
        ({"quote": "a"}, "quote is 'a'"),
        ({"escape": "\\\\"}, "escape is"),
        ({"separator": "\n"}, "line end"),
        ({"separator": '"'}, "so is the quote"),
    ],
)
def test_a_format_that_makes_no_sense_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TextFormat(**options)
    assert said in str(caught.value)
