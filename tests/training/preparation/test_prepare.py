import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honeyguide import training
from honeyguide.sdk.errors import ConfigError, DataError
from honeyguide.training.dataset import Dataset, fingerprint
from honeyguide.training.preparation.options import PrepareOptions
from honeyguide.training.preparation.presets import PRESETS, demo_sources

prepare: Any = partial(training.prepare, trainable=False)
"""Most logs here are too short for any model."""
FILMS = "1::10::5::3\n1::20::4::1\n1::30::3::2\n2::10::1::9\n2::20::2::9\n"


def write(folder: Path, text: str, name: str = "log.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_log_becomes_a_data_set(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "user_id,item_id,t,kind,price,colour\n"
        "u,c,30,buy,3,red\nu,a,10,view,1,red\nv,a,5,view,2,red\nu,b,20,view,,red\nu,a,10,view,1,red\n",
    )
    options = {"time": "t", "event_type": "kind", "value": "price", "winsorise": 100.0}
    made = prepare(path, out=tmp_path / "shop", **options)
    data = Dataset.open(tmp_path / "shop")
    assert data.name == "shop"
    assert data.users["user_id"].to_list() == ["u", "v"]
    assert data.items["item_id"].to_list() == ["a", "b", "c"]
    assert data.items["popularity"].to_list() == [2, 0, 0]
    assert data.events.columns == ["user", "item", "split", "time_ms", "event_type", "value"]
    assert data.events["user"].to_list() == [0, 0, 0, 1]
    assert data.events["item"].to_list() == [0, 1, 2, 0]
    assert data.events["split"].to_list() == [0, 1, 2, 0]
    assert data.events["time_ms"].to_list() == [10_000, 20_000, 30_000, 5_000]
    assert data.spec.event_types == ("view",)  # "buy" is in no training event
    assert (data.spec.items, data.spec.repeats, data.spec.has_time) == (3, False, True)
    (value,) = data.spec.features
    assert (value.name, value.fill, value.mean, value.std) == (
        "value",
        1.5,
        1.5,
        0.5,
    )  # of 1 and 2, the training events
    assert data.spec.fingerprint == fingerprint(data.events, data.users, data.items) == made.spec.fingerprint
    assert data.report["read"] == 5
    assert data.report["dropped"] == [
        {
            "reason": "exact duplicate",
            "events": 1,
            "example": "row 6: user=u, item=a, time_ms=10000, event_type=view, value=1",
        }
    ]
    assert data.report["kept"] == data.counts["events"] == 4
    assert data.report["unused_columns"] == ["colour"]
    validation = data.evaluation("validation")
    assert validation.histories.items.tolist() == [0]
    assert validation.target_items.tolist() == [1]


def test_order_of_the_file_counts_without_times(tmp_path: Path) -> None:
    path = write(tmp_path, "2 9\n1 7\n2 8\n1 6\n1 7\n", "log.txt")
    data = prepare(path, out=tmp_path / "data", preset="sequence")
    assert data.users["user_id"].to_list() == ["1", "2"]
    assert data.items["item_id"].gather(data.events["item"]).to_list() == ["7", "6", "7", "9", "8"]
    assert data.spec.repeats
    assert not data.spec.has_time
    assert data.report["dropped"] == []


def test_sequence_text_of_other_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: the row has 4 fields"):
        prepare(write(tmp_path, "1 10 20 30\n2 10 20\n", "log.txt"), out=tmp_path / "data", preset="sequence")


def test_items_without_a_description_keep_their_place(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,title\nb,Bee\nz,Zebra\n", "items.csv")
    path = write(tmp_path, "user_id,item_id\nu,a\nu,b\nu,c\n")
    data = prepare(path, out=tmp_path / "data", items=str(items), title="title")
    assert data.items["item_id"].to_list() == ["a", "b", "c"]
    assert data.items["title"].to_list() == ["", "Bee", ""]
    assert data.items["categories"].to_list() == [[], [], []]
    assert Dataset.open(tmp_path / "data").items.equals(data.items)


def test_item_columns_are_kept_and_reported(tmp_path: Path) -> None:
    items = write(tmp_path, "item_id,brand,price\nb,acme,2.5\nz,bolt,1\n", "items.csv")
    path = write(tmp_path, "user_id,item_id\nu,a\nu,b\nu,c\n")
    data = prepare(path, out=tmp_path / "data", items=str(items), item_columns="brand,price")
    table = Dataset.open(tmp_path / "data").item_table()
    assert table.text("brand").tolist() == ["", "acme", ""]  # an item without a row has neither
    np.testing.assert_array_equal(table.number("price"), [np.nan, 2.5, np.nan])
    assert data.report["item_columns"] == {
        "brand": {"kind": "text", "missing": 2},
        "price": {"kind": "number", "missing": 2},
    }
    assert data.spec.fingerprint != prepare(path, out=tmp_path / "plain").spec.fingerprint


def test_interpolation_never_looks_at_held_out_events(tmp_path: Path) -> None:
    rows = "u,a,1,1\nu,b,2,\nu,c,3,3\nu,d,4,\nu,e,5,9\nu,f,6,9\n"
    path = write(tmp_path, "user_id,item_id,t,price\n" + rows)
    options = {"time": "t", "value": "price", "impute": "interpolation", "winsorise": 100.0}
    data = prepare(path, out=tmp_path / "data", **options)
    values = data.events["value"].to_numpy()
    assert values[:3].tolist() == [1, 2, 3]
    assert np.isnan(values[3])  # the next known value is the validation event's
    assert data.spec.features[0].fill == 2.0
    assert data.report["features"]["value"]["missing"] == 2  # as read, before interpolation


def test_scalers_never_look_at_held_out_events(tmp_path: Path) -> None:
    specs = []
    for number, held_out in enumerate(["5", "900"]):
        rows = "u,a,1,1\nu,b,2,2\nu,c,3,4\n" + f"u,d,4,{held_out}\nu,e,5,{held_out}\n"
        path = write(tmp_path, "user_id,item_id,t,stay\n" + rows)
        specs.append(prepare(path, out=tmp_path / str(number), time="t", dwell="stay").spec.features[0])
    assert specs[0] == specs[1]
    assert specs[0].upper == pytest.approx(3.98)  # the 99.5th percentile of 1, 2, 4


def test_a_global_time_split_by_a_quantile_records_its_targets(tmp_path: Path) -> None:
    rows = [f"u{user},i{(user + n) % 9},{10 * n + user}" for user in range(5) for n in range(20)]
    path = write(tmp_path, "user_id,item_id,t\n" + "\n".join(rows) + "\n")
    options = {"time": "t", "split": "global-time", "quantile": 0.9, "repeats": "yes"}
    prepare(path, out=tmp_path / "last", targets="last", **options)
    last, every = Dataset.open(tmp_path / "last"), prepare(path, out=tmp_path / "each", **options)
    assert (last.protocol, every.protocol) == ("global-time, last targets", "global-time, all targets")
    assert (last.counts["test"], last.counts["validation"]) == (10, 9)
    assert last.evaluation("test").histories.lengths.tolist() == [19] * 5
    assert every.evaluation("test").histories.lengths.tolist() == [18] * 5
    assert last.report["options"]["quantile"] == 0.9


def test_global_time_split_by_fractions_and_by_dates(tmp_path: Path) -> None:
    rows = "".join(f"u{i % 3},i{i},2020-01-{i + 1:02}\n" for i in range(20))
    path = write(tmp_path, "user_id,item_id,day\n" + rows)
    common = {"time": "day", "time_unit": "datetime", "split": "global-time"}
    shares = prepare(path, out=tmp_path / "a", **common)
    assert (shares.counts["train"], shares.counts["validation"], shares.counts["test"]) == (16, 2, 2)
    dates = {"validation_from": "2020-01-11", "test_from": "2020-01-16"}
    data = prepare(path, out=tmp_path / "b", **(common | dates))
    assert (data.counts["train"], data.counts["validation"], data.counts["test"]) == (10, 5, 5)
    begins = {"validation": "2020-01-11T00:00:00+00:00", "test": "2020-01-16T00:00:00+00:00"}
    assert Dataset.open(tmp_path / "b").report["split_begins"] == begins
    found = data.evaluation("test")
    assert found.user_ids == ("u0", "u1", "u2")
    assert found.histories.lengths.tolist() == [5, 5, 5]
    assert sorted(np.bincount(found.target_users).tolist()) == [1, 2, 2]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "u", "v", "w"]), st.sampled_from(["", "i", "j", "k"]), st.integers(0, 9),
            st.sampled_from(["", "1", "-2", "3.5"]),
        ),
        min_size=1, max_size=40,
    ),
    st.integers(1, 3),
    st.sampled_from(["detect", "yes", "no"]),
)  # fmt: skip
def test_every_event_read_is_kept_or_dropped(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, int, str]], core: int, repeats: str
) -> None:
    folder = tmp_path_factory.mktemp("log")
    path = write(folder, "user_id,item_id,t,n\n" + "".join(f"{u},{i},{t},{n}\n" for u, i, t, n in rows))
    options = {"time": "t", "quantity": "n", "min_user_events": core, "min_item_events": core, "repeats": repeats}
    data, refusal = None, ""
    try:
        data = prepare(path, out=folder / "data", **options)
    except DataError as error:
        refusal = str(error)
    if data is None:
        assert f"no user is left: of {len(rows)} rows" in refusal
        return
    report = data.report
    assert report["read"] == len(rows)
    assert report["read"] == report["kept"] + sum(d["events"] for d in report["dropped"])
    assert report["kept"] == data.events.height == sum(data.counts[p] for p in ("train", "validation", "test"))
    assert min(np.bincount(data.events["user"])) >= core
    for part in ("validation", "test"):
        if data.counts[part]:
            assert (data.evaluation(part).histories.lengths > 0).all()
    assert data.training().lengths.sum() == data.counts["train"]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("u,a\nv,b\n", {"min_user_events": 2}, ["no user is left", "2 × user has fewer than 2", "--min-user-events"]),
        (",a\nu,\n", {}, ["no user is left", "missing user", "check which columns"]),
        (
            "u,1600000000000\n",
            {"time": "item_id", "time_unit": "seconds"},
            ["most times lie", "2100", "--time-unit milliseconds", "row 2"],
        ),
        ("u,1600000000\n", {"time": "item_id", "time_unit": "milliseconds"}, ["before 1971", "--time-unit seconds"]),
    ],
)
def test_nothing_left_or_a_wrong_unit_says_what_to_do(
    tmp_path: Path, text: str, options: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        prepare(write(tmp_path, "user_id,item_id\n" + text), out=tmp_path / "data", **options)
    assert [word for word in ["log.csv", *words] if word not in str(caught.value)] == []
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "latest"}, "leave-one-out, global-time, random"),
        ({"quantile": 0.9}, "quantile is of a global-time split"),
        ({"targets": "last"}, "targets is of a global-time split"),
        ({"targets": "next"}, "all, last, successive"),
        ({"quantile": 1.5, "split": "global-time", "time": "t"}, "quantile is 1.5; it lies between 0 and 1"),
        ({"quantile": 0.0, "split": "global-time", "time": "t"}, "quantile is 0; it lies between 0 and 1"),
        ({"quantile": 0.9, "test_fraction": 0.1, "split": "global-time", "time": "t"}, "give one"),
        ({"impute": "zero"}, "median, mean, interpolation"),
        ({"winsorise": 5.0}, "percentile"),
        ({"min_user_events": 0}, "1 or more"),
        ({"min_user_events": "many"}, "must be a whole number"),
        ({"validation_fraction": 0.6, "test_fraction": 0.4, "split": "random"}, "leave something to train on"),
        ({"validation_from": "2020-01-01"}, "go together"),
        ({"split": "global-time"}, "needs a time column"),
        ({"where": "hit"}, "COLUMN = VALUE"),
        ({"since": "2020-01-01"}, "needs a time column"),
        ({"validation_fraction": 0.2}, "say which with --split"),
        ({"time_format": "%S%f"}, "written .%f"),
        ({"strength": "value"}, "needs merge='strongest'"),
        ({"validation_from": "2020-01-01", "test_from": "2020-02-01"}, "of a global-time split"),
        ({"user": ""}, "a column each"),
    ],
)
def test_bad_option_is_refused_with_what_is_allowed(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        prepare(write(tmp_path, "user_id,item_id\nu,a\n"), out=tmp_path / "data", **options)


def test_existing_data_set_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id\nu,a\n")
    prepare(path, out=tmp_path / "data")
    with pytest.raises(DataError, match="--force"):
        prepare(tmp_path / "absent.csv", out=tmp_path / "data")
    assert prepare(path, out=tmp_path / "data", name="again", force=True).name == "again"


def test_failed_replacement_leaves_the_old_data_set(tmp_path: Path) -> None:
    prepare(write(tmp_path, "user_id,item_id\nu,a\n"), out=tmp_path / "data")
    with pytest.raises(DataError):
        prepare(write(tmp_path, "user_id,item_id\nu\n", "bad.csv"), out=tmp_path / "data", force=True)
    assert Dataset.open(tmp_path / "data").counts["events"] == 1


def test_source_may_be_left_out_for_the_demo_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--preset demo"):
        prepare(out=tmp_path / "data")


def test_unknown_preset_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="demo, kuairand, movielens"):
        prepare(write(tmp_path, "u i\n"), out=tmp_path / "data", preset="netflix")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ratings.dat", FILMS),
        ("u.data", FILMS.replace("::", "\t")),
        ("ratings.csv", "userId,movieId,rating,timestamp\n" + FILMS.replace("::", ",")),
    ],
)
def test_movielens_forms_give_the_same_data_set(tmp_path: Path, name: str, text: str) -> None:
    data = prepare(write(tmp_path, text, name), out=tmp_path / "data", preset="movielens")
    assert data.items["item_id"].to_list() == ["10", "20", "30"]
    assert data.events["item"].to_list() == [1, 2, 0, 0, 1]
    assert data.events["split"].to_list() == [0, 1, 2, 0, 0]
    assert data.events["value"].to_list() == [4, 3, 5, 1, 2]
    assert not data.spec.repeats


@pytest.mark.parametrize(
    ("name", "text", "categories"),
    [
        ("movies.dat", "10::Am\xe9lie: (2001)::Comedy|Romance\n", ["Comedy", "Romance"]),
        ("u.item", "10|Am\xe9lie: (2001)|01-Jan-2001||url|" + "|".join("0000010000000010000"), ["Comedy", "Romance"]),
        ("movies.csv", 'movieId,title,genres\n10,Am\xe9lie: (2001),Comedy|Romance\n', ["Comedy", "Romance"]),
    ],
)  # fmt: skip
def test_movielens_items_have_titles_and_genres(tmp_path: Path, name: str, text: str, categories: list[str]) -> None:
    items = write(tmp_path, text, name, "utf-8" if name.endswith("csv") else "latin-1")
    path = write(tmp_path, FILMS, "ratings.dat")
    data = prepare(path, out=tmp_path / "data", preset="movielens", items=str(items))
    assert data.items["title"].to_list() == ["Amélie: (2001)", "", ""]
    assert data.items["categories"].to_list() == [categories, [], []]


def test_movielens_sequence_text_keeps_its_order(tmp_path: Path) -> None:
    data = prepare(write(tmp_path, "1 3\n1 1\n1 2\n", "ml.txt"), out=tmp_path / "data", preset="movielens")
    assert data.items["item_id"].gather(data.events["item"]).to_list() == ["3", "1", "2"]


def test_what_is_no_movielens_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of MovieLens"):
        prepare(write(tmp_path, "a,b,c\n"), out=tmp_path / "data", preset="movielens")


def test_recbole_types_stand_behind_the_names(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ta\t4\t7.0\n", "x.inter")
    items = write(tmp_path, "item_id:token\tmovie_title:token_seq\tclass:token_seq\na\tThe A\tX Y\n", "x.item")
    options = {"items": str(items), "title": "movie_title", "categories": "class"}
    data = prepare(path, out=tmp_path / "data", preset="recbole", **options)
    assert data.events["time_ms"].to_list() == [7000]
    assert data.events["value"].to_list() == [4.0]
    assert data.items.row(0) == ("a", "The A", ["X", "Y"], 1)
    bare = prepare(
        write(tmp_path, "user_id:token\titem_id:token\nu\ta\n", "y.inter"), out=tmp_path / "bare", preset="recbole"
    )
    assert not bare.spec.has_time


def test_online_retail_table_brings_its_titles(tmp_path: Path) -> None:
    path = tmp_path / "online_retail.parquet"
    pl.DataFrame(
        {
            "InvoiceNo": ["1", "1", "C2", "3", "4"], "StockCode": ["85123A", "71053", "71053", "71053", "22"],
            "Description": ["HEART", "LANTERN", "LANTERN", "LANTERN", "X"], "Quantity": [6, 2, -2, 1, 1],
            "InvoiceDate": [f"2010-12-0{d} 08:26:00" for d in (1, 1, 2, 3, 3)],
            "UnitPrice": [2.5, 3.0, 3.0, 3.0, 1.0], "CustomerID": [17850.0, 17850.0, 17850.0, 17850.0, None],
            "Country": ["UK"] * 5,
        }
    ).write_parquet(path)  # fmt: skip
    data = prepare(path, out=tmp_path / "data", preset="online-retail")
    assert data.users["user_id"].to_list() == ["17850"]
    assert data.items.select("item_id", "title").rows() == [("71053", "LANTERN"), ("85123A", "HEART")]
    assert {d["reason"]: d["events"] for d in data.report["dropped"]} == {"missing user": 1, "negative quantity": 1}
    assert data.spec.repeats


def test_online_retail_events_are_read_beside_an_items_file(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,ts,quantity,unit_price\n1,2,1291192440,3,5.5\n")
    items = write(tmp_path, "item_id,title\n2,GLOBE\n", "items.csv")
    data = prepare(path, out=tmp_path / "data", preset="online-retail", items=str(items))
    assert data.items["title"].to_list() == ["GLOBE"]
    assert [f.name for f in data.spec.features] == ["quantity", "value"]


def test_kuairand_counts_clicked_impressions_alone(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "user_id,video_id,time_ms,is_click,play_time_ms\n1,5,1650812741436,1,61802\n1,6,1650812741437,0,99\n",
    )
    data = prepare(path, out=tmp_path / "data", preset="kuairand")
    assert data.events["dwell_seconds"].to_list() == pytest.approx([61.802])
    assert data.events["time_ms"].to_list() == [1650812741436]
    assert data.report["dropped"][0]["reason"] == "not is_click = 1"


def test_options_win_over_the_preset(tmp_path: Path) -> None:
    data = prepare(write(tmp_path, FILMS, "r.dat"), out=tmp_path / "d", preset="movielens", repeats="yes")
    assert data.spec.repeats


def test_demo_data_are_small_and_people_buy_again(tmp_path: Path) -> None:
    assert sum(path.stat().st_size for path in demo_sources()) < 2_000_000
    data = prepare(out=tmp_path / "demo", preset="demo")
    assert data.spec.repeats
    assert data.counts["users"] == 1000
    assert (data.items["title"] != "").all()
    assert data.evaluation("test").histories.lengths.min() > 0
    assert len(data.evaluation("test")) > 950
    notice = (demo_sources()[0].parent / "NOTICE.md").read_text("utf-8")
    assert "10.24432/C5BW33" in notice
    assert "CC BY 4.0" in notice


def test_same_log_has_the_same_fingerprint(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id\n" + "".join(f"{i % 13},{i % 7}\n" for i in range(200)))
    marks = {prepare(path, out=tmp_path / str(i)).spec.fingerprint for i in range(3)}
    assert len(marks) == 1


def test_header_is_plain_json(tmp_path: Path) -> None:
    prepare(write(tmp_path, "user_id,item_id\nu,a\n"), out=tmp_path / "data")
    header = json.loads((tmp_path / "data" / "dataset.json").read_text("utf-8"))
    assert header["report"]["options"]["user"] == "user_id"
    assert header["spec"]["items"] == 1


def test_every_preset_names_options_that_exist() -> None:
    fields = {f.name for f in dataclasses.fields(PrepareOptions)}
    looking = {"book-crossing", "movielens", "online-retail", "recbole", "sequence"}  # these read the file
    assert looking < set(PRESETS)
    for name in set(PRESETS) - looking:
        assert set(PRESETS[name](Path(), Path())) <= fields


def test_conditions_add_to_those_of_the_preset(tmp_path: Path) -> None:
    rows = "1,5,1650812741436,1,6\n1,6,1650812741437,0,9\n1,7,1650812741438,1,9\n"
    path = write(tmp_path, "user_id,video_id,time_ms,is_click,play_time_ms\n" + rows)
    data = prepare(path, out=tmp_path / "data", preset="kuairand", where="play_time_ms > 6")
    assert data.items["item_id"].to_list() == ["7"]
    assert [each["reason"] for each in data.report["dropped"]] == ["not is_click = 1", "not play_time_ms > 6"]


@pytest.mark.parametrize("name", ["validation_fraction", "test_fraction"])
def test_a_fraction_that_is_no_number_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "user_id,item_id,t\nu,a,1\nu,b,2\nu,c,3\n")
    with pytest.raises(ConfigError, match="must be a finite number"):
        prepare(path, out=tmp_path / "out", time="t", split="global-time", **{name: float("nan")})


@pytest.mark.parametrize(("name", "line"), [("items", "items = 3"), ("source", 'source = ["log.csv", 3]')])
def test_a_path_that_is_no_text_is_named_with_the_file(tmp_path: Path, name: str, line: str) -> None:
    source = "" if name == "source" else f"source = {str(write(tmp_path, FILMS))!r}\n"
    config = write(tmp_path, f"{source}{line}\n", "shop.toml")
    with pytest.raises(ConfigError, match=rf"shop\.toml: {name} is .*; it must be text"):
        prepare(config=config, out=tmp_path / "out")
    with pytest.raises(ConfigError, match=r"^source is 3; it must be text"):
        prepare(3, out=tmp_path / "out")


def test_a_second_prepare_into_one_folder_is_refused_while_the_first_works(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u in range(3) for i in range(4)))
    refused: list[str] = []

    def meanwhile(_: str) -> None:
        with pytest.raises(DataError, match=r"out: another prepare works on this now \(process \d+\)") as raised:
            prepare(path, out=tmp_path / "out", force=True)
        refused.append(str(raised.value))

    prepare(path, out=tmp_path / "out", progress=meanwhile)
    assert refused
    prepare(path, out=tmp_path / "out", force=True)
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "out"}
