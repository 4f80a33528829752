import csv
import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide.sdk.errors import DataError
from honeyguide.training.reading import decoding, row_blocks, text_file
from honeyguide.training.reading.dialect import TextFormat
from honeyguide.training.reading.file_kind import FileKind
from honeyguide.training.reading.text_file import TextFile

Row = tuple[str | None, ...]


@pytest.fixture(params=[7, 64, 1 << 19])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "BLOCK", request.param)
    monkeypatch.setattr(row_blocks, "SMALL", request.param)


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class Reading:
    """Table read whole: its rows, their lines, what was left out and warned of."""

    def __init__(self, path: Path, *, skip: bool = False, **options: Any) -> None:
        self.warnings: list[str] = []
        self.left_out: list[tuple[str, int, str]] = []
        file = TextFile(path, FileKind.of(path), TextFormat(**options), "", self.warnings)
        self.columns = file.columns
        self.separator = file.separator
        self.rows: list[Row] = []
        self.lines: list[int] = []
        names = list(dict.fromkeys(name for name in file.columns if name))
        tell = (lambda *told: self.left_out.append(told)) if skip else None
        for lines, frame in file.frames(names, tell, lambda _: None):
            self.rows += frame.rows()
            self.lines += lines.tolist()


def expect(path: Path, words: list[str], **options: Any) -> None:
    with pytest.raises(DataError) as caught:
        Reading(path, **options)
    message = str(caught.value)
    assert [word for word in [path.name, "remedy: ", *words] if word not in message] == []
    assert message.count("\n") == 1
    assert len(message) < 700


@pytest.mark.usefixtures("block")
class TestBlocks:
    """What holds however few bytes are read at a time."""

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_line_ends_and_blank_lines(self, tmp_path: Path, end: str) -> None:
        text = end.join(["", "user,item", "", "u,a", " ", "", "v,b", "", ""])
        found = Reading(write(tmp_path, text))
        assert found.columns == ["user", "item"]
        assert found.rows == [("u", "a"), ("v", "b")]
        assert found.lines == [4, 7]

    def test_a_quoted_field_may_have_lines_separators_and_quotes(self, tmp_path: Path) -> None:
        text = 'user,text,n\nu,"one,\n\ntwo ""three""",1\nv,"",2\nw,"""",3'
        found = Reading(write(tmp_path, text))
        assert found.rows == [("u", 'one,\n\ntwo "three"', "1"), ("v", None, "2"), ("w", '"', "3")]
        assert found.lines == [2, 5, 6]

    def test_a_separator_of_several_characters(self, tmp_path: Path) -> None:
        found = Reading(write(tmp_path, "u::a:b::1\nv::::2\n:w::é::3\n", "x.dat"), header=False)
        assert found.separator == "::"
        assert found.rows == [("u", "a:b", "1"), ("v", None, "2"), (":w", "é", "3")]
        found = Reading(write(tmp_path, "u¦a\nv¦b\n"), header=False, separator="¦")
        assert found.rows == [("u", "a"), ("v", "b")]

    def test_an_escape_makes_quotes_separators_and_itself_plain(self, tmp_path: Path) -> None:
        text = 'user,title\n1,"a \\" b"\n2,c\\, d\n3,"e\\\\"\n4,"f \\\\\\" g"\n5,h\\n"\n'.replace('h\\n"', "h\\n")
        found = Reading(write(tmp_path, text), escape="\\")
        assert [title for _, title in found.rows] == ['a " b', "c, d", "e\\", 'f \\" g', "h\\n"]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
    def test_encodings_with_a_mark_need_no_option(self, tmp_path: Path, encoding: str) -> None:
        text = "user,item\nü,a\n" if encoding != "utf-16-be" else "\ufeffuser,item\nü,a\n"
        found = Reading(write(tmp_path, text.encode(encoding)), encoding="latin-1")
        assert found.columns == ["user", "item"]
        assert found.rows == [("ü", "a")]

    def test_a_quote_that_makes_no_sense_is_refused_by_line_and_column(self, tmp_path: Path) -> None:
        many = 'user,title\nu,"x\ny"\n' + "u,x\n" * 50
        expect(write(tmp_path, many + '1,"a \\" b"\n2,x\n'), ["row 54", "'title'", '1,"a \\" b"', "--escape '\\'"])
        expect(write(tmp_path, many + '1,5" pipe\n2,x\n'), ["row 54", "'title'", '1,5" pipe', "--quote none"])
        expect(write(tmp_path, many + '1,"a\n' + "2,x\n" * 50), ["row 54", "'title'", "no quote closes", '1,"a'])
        expect(write(tmp_path, 'user,title"\nu,x\n'), ["row 1"])

    def test_plain_quotes_are_characters(self, tmp_path: Path) -> None:
        found = Reading(write(tmp_path, 'user,title\n1,5" pipe\n"2","\n'), quote="none")
        assert found.rows == [("1", '5" pipe'), ('"2"', '"')]

    def test_rows_that_cannot_be_read_are_left_out_on_request_and_no_others(self, tmp_path: Path) -> None:
        text = 'user,title\n1,a\n2,5" x\n3,"b\nb"\n4,"c" c\n5,d,d\n6,e\n7,"never closed\n8,f\n'
        found = Reading(write(tmp_path, text), skip=True)
        assert found.rows == [("1", "a"), ("3", "b\nb"), ("6", "e"), ("8", "f")]
        assert found.lines == [2, 4, 8, 10]
        assert [(reason, count) for reason, count, _ in found.left_out] == [
            ("a quote makes no sense", 1),
            ("a quote makes no sense", 1),
            ("more fields than the header has", 1),
            ("a quote makes no sense", 1),
        ]
        assert [example.partition(":")[0] for *_, example in found.left_out] == ["row 3", "row 6", "row 7", "row 9"]

    def test_an_empty_surplus_goes_and_a_real_one_is_refused(self, tmp_path: Path) -> None:
        found = Reading(write(tmp_path, "user,item\nu,a,,\nv,b\nw,c,\n"))
        assert found.rows == [("u", "a"), ("v", "b"), ("w", "c")]
        assert found.warnings == []
        assert Reading(write(tmp_path, 'user,item\nu,a, ,""\nv,b,,"", \n')).rows == [("u", "a"), ("v", "b")]
        text = "user,item\n" + "u,a\n" * 40 + "u,a,,x\n"
        expect(write(tmp_path, text), ["row 42", "the row has 4 fields, and the header names 2", "--skip-bad-rows"])

    def test_columns_without_a_name_behind_the_last_go(self, tmp_path: Path) -> None:
        found = Reading(write(tmp_path, "user,item,,\nu,a,,\nv,b\nw,c,\n"))
        assert found.columns == ["user", "item"]
        assert found.rows == [("u", "a"), ("v", "b"), ("w", "c")]
        assert found.warnings == []
        assert Reading(write(tmp_path, ",user,item\n0,u,a\n1,v,b\n")).rows == [("u", "a"), ("v", "b")]

    def test_short_rows_end_in_empty_fields_and_are_warned_of_once(self, tmp_path: Path) -> None:
        found = Reading(write(tmp_path, "user,item,ts\nu,a,1\nv,b\nw\n" + "x,c,2\n" * 20 + "y\n"))
        assert found.rows[1:3] == [("v", "b", None), ("w", None, None)]
        assert found.warnings == [
            "3 rows have fewer fields than the header (first: log.csv row 3); the missing ones are empty"
        ]

    def test_excels_line_about_the_separator_is_no_header(self, tmp_path: Path) -> None:
        found = Reading(write(tmp_path, "sep=;\nuser;item\nu;a,b\n"))
        assert (found.columns, found.rows, found.lines) == (["user", "item"], [("u", "a,b")], [3])
        assert Reading(write(tmp_path, "sep=;\nu;a\n"), header=False, separator=";").lines == [2]

    def test_gzip_is_read_whatever_its_name(self, tmp_path: Path) -> None:
        assert Reading(write(tmp_path, gzip.compress(b"user,item\nu,a\n"))).rows == [("u", "a")]
        assert Reading(write(tmp_path, b"user,item\nu,a\n", "log.csv.gz")).rows == [("u", "a")]

    def test_a_byte_that_is_no_text_is_found_by_its_line(self, tmp_path: Path) -> None:
        expect(write(tmp_path, b"user,item\nu,a\nu,caf\xe9\n"), ["row 3", "0xe9", "--encoding latin-1"])
        expect(write(tmp_path, b"user,item\nu,a\nu,b\0c\n"), ["row 3", "NUL"])
        expect(write(tmp_path, "user,item\nu,a\n".encode("utf-16-le")), ["row 1", "NUL", "--encoding utf-16-le"])
        expect(write(tmp_path, "u::a\nv::b\nw::\x1fc\n"), ["row 3", "0x1f"], header=False)


def test_doubled_and_quoted_names_are_kept(tmp_path: Path) -> None:
    assert Reading(write(tmp_path, '" user" ,"item,\nor not",ts,ts\nu,a,1,2\n')).columns == [
        "user", "item, or not", "ts", "ts",
    ]  # fmt: skip


def test_columns_are_counted_from_one_without_header(tmp_path: Path) -> None:
    found = Reading(write(tmp_path, "a,b,c\nd,e,f\n"), header=False)
    assert found.columns == ["1", "2", "3"]
    assert found.lines == [1, 2]


@pytest.mark.parametrize("text", ["", "\n \n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_named(tmp_path: Path, text: str | bytes) -> None:
    expect(write(tmp_path, text), ["the file is empty"])


def test_a_row_without_end_is_refused_before_it_takes_all_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "BLOCK", 64)
    monkeypatch.setattr(row_blocks, "LONGEST", 256)
    expect(write(tmp_path, 'user,item\nu,"a\n' + "v,b\n" * 999), ["row 2", "no quote closes"])
    found = Reading(write(tmp_path, 'user,item\nu,"a\n' + "v,b\n" * 999), skip=True)
    assert found.rows == [("v", "b")] * 999
    expect(write(tmp_path, "user,item\nu," + "a" * 999 + "\n"), ["row 2", "longer than"])


def test_rows_that_polars_does_not_give_back_are_never_lost_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = text_file.pl.read_csv
    monkeypatch.setattr(text_file.pl, "read_csv", lambda *a, **k: read(*a, **k).head(1))
    expect(write(tmp_path, "user,item\nu,a\nv,b\n"), ["row 2", "of 2 rows from here on 1 were read"])


FIELD = st.text(st.sampled_from('ab é"\\,;\t|:\n'), max_size=5)
DIALECTS: list[dict[str, Any]] = [
    {"delimiter": ","},
    {"delimiter": ";", "quoting": csv.QUOTE_ALL, "lineterminator": "\r\n"},
    {"delimiter": "\t", "quotechar": "'"},
    {"delimiter": "|", "doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL},
    {"delimiter": " "},
]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(FIELD, FIELD, FIELD), min_size=1, max_size=8), st.sampled_from(DIALECTS), st.integers(1, 40))
def test_what_pythons_csv_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, ...]], dialect: dict[str, Any], size: int
) -> None:
    written = io.StringIO()
    csv.writer(written, **({"lineterminator": "\n"} | dialect)).writerows([("x", "y", "z"), *table])
    path = write(tmp_path_factory.mktemp("csv"), written.getvalue())
    options = {"quote": dialect.get("quotechar", '"'), "escape": dialect.get("escapechar", "")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "BLOCK", size)
        found = Reading(path, separator=dialect["delimiter"], **options)
    assert found.rows == [tuple(field or None for field in row) for row in table]
    assert found.lines == list(_lines(table))


def _lines(table: list[tuple[str, ...]]) -> Iterator[int]:
    line = 2
    for row in table:
        yield line
        line += 1 + sum(field.count("\n") for field in row)
