import gzip
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from honeyguide.sdk.config import config_from
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.preparation.assembly import text_format
from honeyguide.training.preparation.events import Events, Ledger
from honeyguide.training.preparation.options import PrepareOptions
from honeyguide.training.preparation.readers import read_events, read_items
from honeyguide.training.reading.decoding import BLOCK
from honeyguide.training.reading.sources import Source

NOON = datetime(2020, 1, 1, 12, tzinfo=UTC).replace(tzinfo=None)


def write(folder: Path, text: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(path: Path, **options: Any) -> tuple[Events, Ledger]:
    ledger = Ledger()
    options = config_from(PrepareOptions, options)
    events, *_ = read_events(Source([path], text_format(options)), options, ledger, lambda _: None)
    return events, ledger


def items_of(path: Path, options: PrepareOptions) -> pl.DataFrame:
    return read_items(Source([path], text_format(options, of_items=True), flags="items-"), options)


def ids(events: Events, role: str) -> list[str]:
    return [events.ids[role][int(code)] for code in events[role]]


def test_columns_of_any_name_are_read_with_their_units(tmp_path: Path) -> None:
    path = write(tmp_path, "when,who,what,kind,stay\n1.5,u,b,view,2500\n2,t,a,,\n")
    events, ledger = read(
        path, user="who", item="what", time="when", event_type="kind", dwell="stay", dwell_unit="milliseconds"
    )
    assert ledger.read == 2
    assert events["row"].tolist() == [2, 3]
    assert ids(events, "user") == ["u", "t"]
    assert ids(events, "item") == ["b", "a"]
    assert events["time_ms"].tolist() == [1500, 2000]
    assert ids(events, "event_type") == ["view", ""]
    assert events["dwell_seconds"][0] == 2.5
    assert np.isnan(events["dwell_seconds"][1])


def test_ids_are_ordered_by_length_then_text(tmp_path: Path) -> None:
    events, _ = read(write(tmp_path, "user_id,item_id\n10,b\n9,aa\n100,a\n010,a\n"))
    assert events.ids["user"].to_list() == ["9", "10", "010", "100"]
    assert events.ids["item"].to_list() == ["a", "b", "aa"]
    assert events["user"].tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("log.tsv", "user_id\titem_id\nu\ti\n", {}),
        ("log.txt", "u i\n", {"separator": " ", "header": False, "user": "1", "item": "2"}),
        ("log.txt", "u i\n", {"separator": "space", "header": False, "user": "1", "item": "2"}),
        ("log.dat", "u::i::5\r\n", {"separator": "::", "header": False, "user": "1", "item": "2"}),
        ("log.csv", '"user_id","item_id"\r\n"u","i"\r\n', {}),
        ("log.csv", "\ufeffuser_id,item_id\nu,i", {}),
        ("a.inter", "user_id:token\titem_id:token\nu\ti\n", {}),
    ],
)
def test_every_kind_of_text_reads_the_same(tmp_path: Path, name: str, text: str, options: dict[str, Any]) -> None:
    events, _ = read(write(tmp_path, text, name), **options)
    assert (ids(events, "user"), ids(events, "item")) == (["u"], ["i"])


def test_gzip_and_parquet_read_as_the_plain_file_does(tmp_path: Path) -> None:
    text = "user_id,item_id,t\n1,7,10\n2,8,20\n"
    plain, _ = read(write(tmp_path, text), time="t")
    zipped, _ = read(write(tmp_path, gzip.compress(text.encode()), "log.csv.gz"), time="t")
    pl.DataFrame({"user_id": [1.0, 2.0], "item_id": [7, 8], "t": [10, 20]}).write_parquet(tmp_path / "log.parquet")
    parquet, _ = read(tmp_path / "log.parquet", time="t")
    for other in (zipped, parquet):
        assert ids(other, "user") == ids(plain, "user") == ["1", "2"]
        assert ids(other, "item") == ids(plain, "item")
        assert other["time_ms"].tolist() == plain["time_ms"].tolist() == [10_000, 20_000]


def test_blocks_give_what_one_piece_gives(tmp_path: Path) -> None:
    rows = 120_000  # several blocks
    text = "user_id,item_id,t\n" + "".join(f'u{i % 977},"i,\n{i % 131}",{i}\n' for i in range(rows))
    assert len(text) > 3 * BLOCK
    events, ledger = read(write(tmp_path, text), time="t")
    assert ledger.read == rows
    assert events["time_ms"].tolist() == [i * 1000 for i in range(rows)]
    assert events.ids["user"].to_list() == sorted({f"u{i}" for i in range(977)}, key=lambda u: (len(u), u))
    assert [events.ids["user"][c] for c in events["user"][-3:].tolist()] == [
        f"u{i % 977}" for i in range(rows - 3, rows)
    ]
    assert ids(Events({k: v[-1:] for k, v in events.columns.items()}, events.ids), "item") == [
        f"i,\n{(rows - 1) % 131}"
    ]


@pytest.mark.parametrize(
    "text", ["2010-12-01 08:26:00", "2010-12-01T08:26:00Z", "2010-12-01T10:26:00+02:00", "2010-12-01 08:26"]
)
def test_datetimes_of_iso_forms_are_read(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, f"user_id,item_id,t\nu,i,{text}\n")
    events, _ = read(path, time="t", time_unit="datetime")
    assert events["time_ms"].tolist() == [1291191960000]


def test_datetimes_of_a_given_format_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,t\nu,i,01/12/2010 08:26\n")
    events, _ = read(path, time="t", time_unit="datetime", time_format="%d/%m/%Y %H:%M")
    assert events["time_ms"].tolist() == [1291191960000]


def test_rows_without_keys_are_dropped_with_an_example(tmp_path: Path) -> None:
    path = write(tmp_path, 'user_id,item_id,t\nu,i,1\n,i,2\nu,"",3\nu,i,\n\nu\n')
    events, ledger = read(path, time="t")
    assert len(events) == 1
    assert ledger.read == 5  # a blank line is no row
    assert ledger.counts == {"missing time": 2, "missing user": 1, "missing item": 1}
    assert ledger.examples["missing item"] == "row 4: user=u, item=None, time_ms=3000"
    assert ledger.examples["missing time"] == "row 5: user=u, item=i, time_ms=None"
    assert ledger.kept == len(events)


def test_ids_that_no_request_can_name_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, f"user_id,item_id\n{'é' * 128},{'i' * 257}\n{'é' * 128}u,i\nu,i\n")
    events, ledger = read(path)
    assert ids(events, "user") == ["u"]
    assert ledger.counts == {
        "id of the item is longer than 256 bytes": 1,
        "id of the user is longer than 256 bytes": 1,
    }


def test_nan_is_a_missing_value(tmp_path: Path) -> None:
    text = "user_id,item_id,d\nu,i,NaN\nu,j,nan\nu,k,1\n"
    values = read(write(tmp_path, text), dwell="d")[0]["dwell_seconds"]
    frame = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["i", "j", "k"], "d": [float("nan"), None, 1.0]})
    frame.write_parquet(tmp_path / "log.parquet")
    np.testing.assert_array_equal(values, [np.nan, np.nan, 1])
    np.testing.assert_array_equal(read(tmp_path / "log.parquet", dwell="d")[0]["dwell_seconds"], values)


def test_only_rows_that_meet_every_condition_count(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,hit,kind\nu,i,1,view\nu,j,0,view\nu,k,,buy\nu,l,1.0, glance \nu,m,1,buy\n")
    events, ledger = read(path, where=["hit = 1", "kind in (view, 'buy')"])
    assert ids(events, "item") == ["i", "m"]
    assert ledger.counts == {"not hit = 1": 2, "not kind in (view, 'buy')": 1}
    assert ledger.examples["not hit = 1"] == "row 3: user_id=u, item_id=j, hit=0, kind=view"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("uid,item_id\n1,2\n", {}, ["log.csv", "'user_id'", "--user", "uid, item_id"]),
        ("user_id,item_id\n1,2\n", {"time": "ts"}, ["'ts'", "--time", "user_id, item_id"]),
        ("user_id,user_id,item_id\n1,1,2\n", {}, ["twice"]),
        ("user_id,item_id,t\nu,i,5\nu,i,soon\n", {"time": "t"}, ["row 3", "'t'", "'soon'", "--time-unit datetime"]),
        ("user_id,item_id,t\nu,i,2010-13-01\n", {"time": "t", "time_unit": "datetime"}, ["row 2", "--time-format"]),
        ("user_id,item_id,d\nu,i,1\nu,i,x\n", {"dwell": "d"}, ["row 3", "'d'", "'x'", "--skip-bad-rows"]),
        ("user_id,item_id,d\nu,i,inf\n", {"dwell": "d"}, ["row 2", "'inf'"]),
        ("", {}, ["empty"]),
        ("user_id,item_id\n", {}, ["no rows"]),
        ("user_id,item_id\n1,2\n1,2,3\n", {}, ["row 3", "3 fields", "names 2"]),
        (b"user_id,item_id\nu,caf\xe9\n", {}, ["row 2", "0xe9", "--encoding latin-1"]),
        (b"user_id,caf\xe9\nu,i\n", {}, ["row 1", "0xe9"]),
        ("user_id;item_id\n1;2\n", {"separator": ","}, ["user_id;item_id"]),
    ],
)
def test_bad_input_names_row_column_and_remedy(
    tmp_path: Path, text: str | bytes, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, text), **options)
    assert [word for word in [*words, "remedy: "] if word not in str(caught.value)] == []


def test_undecodable_byte_is_found_in_a_later_block(tmp_path: Path) -> None:
    good = b"user_id,item_id\n" + b"some-user,some-item\n" * 60_000
    with pytest.raises(DataError, match="row 60002"):
        read(write(tmp_path, good + b"u,\xff\n"))


def test_long_row_is_found_in_a_later_block(tmp_path: Path) -> None:
    good = "user_id,item_id\n" + "some-user,some-item\n" * 60_000
    with pytest.raises(DataError, match=r"row 60002: the row has 3 fields"):
        read(write(tmp_path, good + "a,b,c\n"))


def test_encoding_is_honoured(tmp_path: Path) -> None:
    path = write(tmp_path, b"user_id,item_id\nu,caf\xe9\n")
    assert ids(read(path, encoding="latin-1")[0], "item") == ["café"]
    wide = write(tmp_path, "user_id,item_id\nu,café\n".encode("utf-16"), "wide.csv")
    assert ids(read(wide, encoding="utf-16")[0], "item") == ["café"]
    with pytest.raises(ConfigError, match="klingon"):
        read(path, encoding="klingon")


def test_what_cannot_be_compared_is_refused_or_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, 'user_id,item_id,total\nu,i,485.14\nu,j,"2,435.10"\nu,k,\nu,l,20\n')
    with pytest.raises(DataError, match=r"row 3, column 'total': '2,435.10' is not a number"):
        read(path, where=["total > 100"])
    assert ids(read(path, where=["total > 100"], skip_bad_rows=True)[0], "item") == ["i"]


def test_a_value_that_no_row_has_is_told_with_those_there_are(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,kind\nu,i,Purchase\nu,j,cart\nu,k,view\n")
    options = PrepareOptions(where=("kind in (cart, purchase)", "kind != view"))
    source = Source([path])
    read_events(source, options, Ledger(), lambda _: None)
    (warning,) = source.warnings
    assert warning == "--where 'kind in (cart, purchase)': no row has purchase; there are 'Purchase', 'cart', 'view'"


def test_a_point_is_no_decimal_where_a_comma_is(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id;item_id;price\nu;i;1,5\nu;j;1.200\n")
    with pytest.raises(DataError, match=r"row 3, column 'price': '1.200' is not a number"):
        read(path, value="price", decimal=",")


def test_rows_of_a_wrong_type_are_dropped_on_request(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,t,d\nu,i,1,1\nu,j,x,2\nu,k,y,z\nu,l,4,z\n")
    events, ledger = read(path, time="t", dwell="d", skip_bad_rows=True)
    assert ids(events, "item") == ["i"]
    assert ledger.counts == {"wrong type in column 't'": 2, "wrong type in column 'd'": 1}
    assert ledger.kept == 1


@pytest.mark.parametrize("name", ["log.csv", "log.parquet", "log.csv.gz"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"log.*no such file"):
        read(tmp_path / name)


@pytest.mark.parametrize(("name", "said"), [("log.parquet", "no readable Parquet")])
def test_broken_file_is_named(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read(write(tmp_path, b"user_id,item_id\n1,2\n", name))


def test_truncated_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"user_id,item_id\n" + bytes(range(48, 58)) * 999)
    with pytest.raises(DataError, match="cannot be read"):
        read(write(tmp_path, whole[:-12], "log.csv.gz"))


@pytest.mark.parametrize(
    "times",
    [
        pl.Series([NOON], dtype=pl.Datetime("us")),
        pl.Series([NOON], dtype=pl.Datetime("ns")).dt.replace_time_zone("UTC"),
        pl.Series([1577880000], dtype=pl.Int32),
        pl.Series([1577880000.0]),
        pl.Series(["1577880000"]),
        pl.Series(["1577880000"], dtype=pl.Categorical),
    ],
)
def test_parquet_times_of_any_type_are_read(tmp_path: Path, times: pl.Series) -> None:
    pl.DataFrame({"user_id": ["u"], "item_id": [1], "t": times}).write_parquet(tmp_path / "log.parquet")
    assert read(tmp_path / "log.parquet", time="t")[0]["time_ms"].tolist() == [1577880000000]


@pytest.mark.parametrize(
    "values", [pl.Series([[1]]), pl.Series([timedelta(1)]), pl.Series([b"x"]), pl.Series([{"a": 1}])]
)
def test_parquet_columns_of_odd_types_are_refused(tmp_path: Path, values: pl.Series) -> None:
    pl.DataFrame({"user_id": values, "item_id": [1]}).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(DataError, match="'user_id': its values are of type"):
        read(tmp_path / "log.parquet")


def test_items_have_titles_and_categories(tmp_path: Path) -> None:
    path = write(tmp_path, 'sku,name,tags\na,"One, two",x| y\nb,,\na,again,z\n', "items.csv")
    options = config_from(PrepareOptions, {"item_id": "sku", "title": "name", "categories": "tags"})
    items = items_of(path, options)
    assert items.to_dict(as_series=False) == {
        "item_id": ["a", "b"], "title": ["One, two", ""], "categories": [["x", "y"], []],
    }  # fmt: skip


def test_items_may_come_as_parquet_with_lists_or_without_any_text(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [1, 2], "tags": [["x"], None]}).write_parquet(path)
    listed = items_of(path, config_from(PrepareOptions, {"categories": "tags"}))
    assert listed["categories"].to_list() == [["x"], []]
    assert listed["title"].to_list() == ["", ""]
    bare = items_of(path, PrepareOptions())
    assert bare["categories"].to_list() == [[], []]


def test_category_flags_become_names(tmp_path: Path) -> None:
    path = write(tmp_path, "1|caf\xe9|0|1|1\n2|b|0|0|0\n".encode("latin-1"), "u.item")
    items = items_of(
        path,
        PrepareOptions(
            item_id="1", title="2", categories="3", category_flags=("p", "q", "r"), items_separator="|",
            items_header=False, items_encoding="latin-1",
        ),
    )  # fmt: skip
    assert items["title"].to_list() == ["café", "b"]
    assert items["categories"].to_list() == [["q", "r"], []]


def test_item_columns_are_numbers_where_every_value_is_one_and_text_where_not(tmp_path: Path) -> None:
    text = "item_id,price,size,brand,empty\na, 1.5 ,1,acme,\nb,,XL, bolt ,\nc,nan,3,,\n"
    options = PrepareOptions(items="items.csv", item_columns=("price", "size", "brand", "empty"))
    items = items_of(write(tmp_path, text, "items.csv"), options)
    assert items.columns == ["item_id", "title", "categories", "price", "size", "brand", "empty"]
    np.testing.assert_array_equal(items["price"].to_numpy(), [1.5, np.nan, np.nan])
    assert items["size"].to_list() == ["1", "XL", "3"]
    assert items["brand"].to_list() == ["acme", "bolt", ""]
    assert items["empty"].to_list() == ["", "", ""]


def test_item_columns_of_parquet_keep_their_kind(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    columns = {"stock": [3, None], "new": [True, False], "since": [date(2020, 1, 2), None], "tag": ["x", None]}
    pl.DataFrame({"item_id": ["a", "b"], **columns}).write_parquet(path)
    items = items_of(path, PrepareOptions(items=str(path), item_columns=tuple(columns)))
    np.testing.assert_array_equal(items["stock"].to_numpy(), [3.0, np.nan])
    assert items["new"].to_list() == [1.0, 0.0]
    assert items["since"].to_list() == ["2020-01-02", ""]
    assert items["tag"].to_list() == ["x", ""]


def test_an_item_column_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = write(tmp_path, "item_id,brand:token,price\na,x,1\n", "items.csv")
    with pytest.raises(DataError, match=r"'colour': .*\n.*choose --item-columns from: item_id, brand:token, price"):
        items_of(path, PrepareOptions(items=str(path), item_columns=("brand", "colour")))
    kept = items_of(path, PrepareOptions(items=str(path), item_columns=("brand",)))
    assert kept["brand"].to_list() == ["x"]  # the part before ":" is enough


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item_columns": "brand"}, "item_columns is brand, and no items file is named"),
        ({"item_columns": "brand,brand", "items": "items.csv"}, "name each column once"),
        ({"item_columns": "title,brand", "items": "items.csv"}, "item_columns has title, which every data set has"),
    ],
)
def test_item_columns_that_make_no_sense_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_from(PrepareOptions, options)


def test_items_in_another_encoding_are_refused_with_the_right_flag(tmp_path: Path) -> None:
    path = write(tmp_path, b"item_id,title\n1,caf\xe9\n", "items.csv")
    with pytest.raises(DataError, match="--items-encoding"):
        items_of(path, PrepareOptions(title="title"))


def test_rows_of_the_items_file_are_left_out_on_request_and_told(tmp_path: Path) -> None:
    path = write(tmp_path, 'item_id,title\na,x\nb,5" y\nc,z,z\nd,w\n', "items.csv")
    with pytest.raises(DataError, match=r"items\.csv, row 3, column 'title'"):
        read_items(Source([path], flags="items-"), config_from(PrepareOptions, {"title": "title"}))
    source = Source([path], flags="items-")
    items = read_items(source, config_from(PrepareOptions, {"title": "title", "skip_bad_rows": True}))
    assert items["title"].to_list() == ["x", "w"]
    assert [warning.partition(": ")[2] for warning in source.warnings] == [
        '1 rows are left out: a quote makes no sense (row 3: b,5" y)',
        "1 rows are left out: more fields than the header has (row 4: c,z,z)",
    ]
