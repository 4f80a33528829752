import numpy as np
import pytest

from honeyguide.training.reading.structure import QuoteFault, Rows, rows_of


def rows(text: str, width: int = 9, *, quote: str = '"', last: bool = True) -> Rows:
    data = np.frombuffer(text.encode(), np.uint8)
    return rows_of(data, ord(","), ord(quote) if quote else -1, width, last=last)


def test_rows_and_fields_are_found() -> None:
    found = rows("a,b\n\nc\n")
    assert found.starts.tolist() == [0, 4, 5]
    assert found.ends.tolist() == [3, 4, 6]
    assert found.fields.tolist() == [2, 1, 1]
    assert (found.lines, found.line_count, found.size, found.quoted) == (None, 3, 7, False)


def test_what_stands_inside_quotes_ends_neither_field_nor_row() -> None:
    found = rows('"a,\n\nb",c\nd,"e"\n')
    assert found.fields.tolist() == [2, 2]
    assert found.lines is not None
    assert found.lines.tolist() == [0, 3]
    assert found.line_count == 4
    assert rows('"a,b"\n', quote="").fields.tolist() == [2]


def test_a_row_that_is_not_whole_waits() -> None:
    assert rows('a,b\n"c,\nd', last=False).ends.tolist() == [3]
    assert rows('"c,\nd', last=False).size == 0


@pytest.mark.parametrize("text", ['"",a\n', 'a,""""\n', '"a""b",""",",c\n', '"""",""""\n', '""\n', 'a, "b" ,c\n'])
def test_quotes_around_fields_and_in_twos_are_right(text: str) -> None:
    found = rows(text)
    assert found.fault is None
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "row_start", "lines", "place", "field", "problem"),
    [
        ('a,b"c\n', 0, 0, 3, 1, "in the middle of a field"),
        ('x\na,"b" c,d\n', 2, 1, 4, 1, "closes in the middle"),
        ('x\n"a\nb","c\\"d"\n', 2, 1, 8, 1, "closes in the middle"),
        ('x\na,"b""c"d\n', 2, 1, 4, 1, "closes in the middle"),
        ('x\na,"b\nc\n', 2, 1, 4, 1, "no quote closes"),
        ('x\na,"b""\nc\n', 2, 1, 4, 1, "no quote closes"),
        ('a,"b\nc,"d"\n', 0, 0, 2, 1, "closes in the middle"),
    ],
)
def test_the_first_quote_that_makes_no_sense_is_found(
    text: str, row_start: int, lines: int, place: int, field: int, problem: str
) -> None:
    found = rows(text)
    fault = found.fault
    assert isinstance(fault, QuoteFault)
    assert (fault.row_start, fault.lines, fault.place, fault.field) == (row_start, lines, place, field)
    assert problem in fault.problem
    assert found.size == row_start  # the rows before it are read


def test_blanks_beside_quotes_belong_to_no_field() -> None:
    found = rows('  "a"\t, "b ""c" \nd , "e"\n')
    assert found.fault is None
    assert sorted(found.blanks.tolist()) == [0, 1, 5, 7, 15, 20]


def test_a_surplus_begins_behind_the_last_column() -> None:
    found = rows("a,b,,\na,b,c\na\n", width=2)
    assert found.surplus_from.tolist() == [3, 9, -1]


def test_the_end_of_a_piece_is_no_fault() -> None:
    for text in ('a,"b"', 'a,"b"  ', 'a,"b""', 'a,"'):
        found = rows("x\n" + text, last=False)
        assert (found.fault, found.size) == (None, 2)
