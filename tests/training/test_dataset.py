import dataclasses
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_disk import files_end_at

from honeyguide.sdk import DataSpec, FeatureScaler
from honeyguide.sdk.errors import DataError
from honeyguide.training.dataset import Dataset, fingerprint


def small() -> Dataset:
    """Two users: ann has four events in four baskets, bob two events in one basket and is training only."""
    events = pl.DataFrame(
        {
            "user": pl.Series([0, 0, 0, 0, 1, 1], dtype=pl.Int32),
            "item": pl.Series([0, 1, 2, 0, 1, 2], dtype=pl.Int32),
            "split": pl.Series([0, 0, 1, 2, 0, 0], dtype=pl.Int8),
            "time_ms": pl.Series([10, 20, 30, 40, 15, 15], dtype=pl.Int64),
            "event_type": ["view", "buy", "view", "new", "", "buy"],
            "clicks": pl.Series([1.0, float("nan"), 3.0, 2.0, 5.0, 0.0], dtype=pl.Float32),
        }
    )
    users = pl.DataFrame({"user_id": ["ann", "bob"]})
    items = pl.DataFrame(
        {
            "item_id": ["x", "y", "z"],
            "title": ["X", "", "Z"],
            "categories": [["a"], [], ["a", "b"]],
            "popularity": pl.Series([1, 2, 1], dtype=pl.Int64),
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    spec = DataSpec(
        items=3,
        repeats=True,
        has_time=True,
        event_types=("buy", "view"),
        features=(FeatureScaler("clicks", fill=2.0, lower=0.0, upper=4.0, log=False, mean=1.0, std=2.0),),
        fingerprint=fingerprint(events, users, items),
    )
    return Dataset(name="small", spec=spec, split="leave-one-out", events=events, users=users, items=items)


def test_training_holds_training_events_normalised() -> None:
    batch = small().training()
    assert batch.items.tolist() == [0, 1, 1, 2]
    assert batch.offsets.tolist() == [0, 2, 4]
    assert batch.times_ms is not None
    assert batch.times_ms.tolist() == [10, 20, 15, 15]
    assert batch.event_types is not None
    assert batch.event_types.tolist() == [2, 1, 0, 1]
    assert batch.features["clicks"].tolist() == [0.0, 0.5, 1.5, -0.5]  # missing 2 → .5; 5 is lowered to 4 → 1.5


def test_test_input_includes_the_validation_event() -> None:
    data = small()
    validation, test = data.evaluation("validation"), data.evaluation("test")
    assert validation.histories.items.tolist() == [0, 1]
    assert validation.target_items.tolist() == [2]
    assert test.histories.items.tolist() == [0, 1, 2]
    assert test.target_items.tolist() == [0]
    assert test.user_ids == ("ann",)
    assert test.histories.request_times_ms is not None
    assert test.histories.request_times_ms.tolist() == [40]


def test_targets_are_distinct_and_histories_never_empty() -> None:
    data = small()
    # ann's validation basket holds item 2 twice; bob has targets and no history.
    events = data.events.with_columns(
        pl.Series("split", [0, 1, 1, 2, 1, 1], dtype=pl.Int8), pl.Series("item", [0, 2, 2, 0, 1, 2], dtype=pl.Int32)
    )
    data = Dataset(name="g", spec=data.spec, split="global-time", events=events, users=data.users, items=data.items)
    found = data.evaluation("validation")
    assert found.user_ids == ("ann",)
    assert found.target_items.tolist() == [2]
    assert found.target_users.tolist() == [0]
    assert found.histories.lengths.tolist() == [1]


def test_unknown_part_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="no part 'train'"):
        small().evaluation("train")


def test_written_data_set_reads_back_equal(tmp_path: Path) -> None:
    data = small()
    folder = tmp_path / "deep [a-z]*" / "data"  # no pattern
    data.write(folder)
    back = Dataset.open(folder)
    assert back.spec == data.spec
    assert (back.name, back.split) == (data.name, data.split)
    assert back.events.equals(data.events)
    assert back.users.equals(data.users)
    assert back.items.equals(data.items)
    assert fingerprint(back.events, back.users, back.items) == data.spec.fingerprint
    assert json.loads((folder / "dataset.json").read_text())["counts"] == {
        "events": 6, "users": 2, "items": 3, "train": 4, "validation": 1, "test": 1,
    }  # fmt: skip
    assert [p.name for p in folder.parent.iterdir()] == ["data"]


def test_fingerprint_changes_with_any_event() -> None:
    data = small()
    changed = data.events.with_columns(pl.Series("time_ms", [10, 20, 30, 41, 15, 15]))
    assert fingerprint(changed, data.users, data.items) != data.spec.fingerprint


def test_existing_data_set_is_replaced_only_by_force(tmp_path: Path) -> None:
    data, path = small(), tmp_path / "data"
    data.write(path)
    other = Dataset(**{**{k: getattr(data, k) for k in ("spec", "split", "events", "users", "items")}, "name": "new"})
    with pytest.raises(DataError, match="--force"):
        other.write(path)
    assert Dataset.open(path).name == "small"
    other.write(path, force=True)
    assert Dataset.open(path).name == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["data"]


def test_foreign_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="no data set"):
        small().write(tmp_path, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["dataset.json", "thesis.txt"])
def test_what_others_wrote_is_never_replaced(tmp_path: Path, name: str) -> None:
    if name == "thesis.txt":
        small().write(tmp_path)
    (tmp_path / name).write_text('{"labels": []}')
    with pytest.raises(DataError, match=r"thesis\.txt|no data set"):
        small().write(tmp_path, force=True)
    assert (tmp_path / name).read_text() == '{"labels": []}'


def test_part_without_users_is_refused() -> None:
    data = small()
    data.events = data.events.with_columns(pl.lit(0, pl.Int8).alias("split"))
    with pytest.raises(DataError, match=r"(?s)no validation users.*--split works"):
        data.evaluation("validation")


def test_folder_without_data_set_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="honeyguide prepare"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize("name", ["events.parquet", "users.parquet", "items.parquet"])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    small().write(tmp_path / "data")
    (tmp_path / "data" / name).unlink()
    with pytest.raises(DataError, match=name.removesuffix(".parquet")):
        Dataset.open(tmp_path / "data")


def test_changed_table_is_refused(tmp_path: Path) -> None:
    data = small()
    data.write(tmp_path / "data")
    data.events.with_columns(pl.col("item").reverse()).write_parquet(tmp_path / "data" / "events.parquet")
    with pytest.raises(DataError, match="a file was changed"):
        Dataset.open(tmp_path / "data")


def test_other_format_and_broken_header_are_refused(tmp_path: Path) -> None:
    small().write(tmp_path / "data")
    header = tmp_path / "data" / "dataset.json"
    header.write_text(header.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(DataError, match="format is 9"):
        Dataset.open(tmp_path / "data")
    for text, said in (("{", "cannot be read"), ("[]", "holds no JSON object")):
        header.write_text(text)
        with pytest.raises(DataError, match=said):
            Dataset.open(tmp_path / "data")


def test_a_table_of_another_kind_is_refused(tmp_path: Path) -> None:
    small().write(tmp_path / "data")
    (tmp_path / "data" / "items.parquet").write_bytes((tmp_path / "data" / "users.parquet").read_bytes())
    with pytest.raises(DataError, match=r"cannot be read.*\n.*prepare"):
        Dataset.open(tmp_path / "data")


def test_import_yields_every_event_with_ids_and_raw_features() -> None:
    frames = list(small().histories_for_import(batch_events=4))
    assert [f.height for f in frames] == [4, 2]
    whole = pl.concat(frames)
    assert whole.columns == ["user_id", "item_id", "time_ms", "event_type", "clicks"]
    assert whole["user_id"].to_list() == ["ann"] * 4 + ["bob"] * 2
    assert whole["item_id"].to_list() == ["x", "y", "z", "x", "y", "z"]
    assert whole["time_ms"].to_list() == [10, 20, 30, 40, 15, 15]
    assert np.isnan(whole["clicks"][1])


def test_import_without_times_counts_places_in_the_history() -> None:
    data = small()
    spec = dataclasses.replace(data.spec, has_time=False, event_types=(), features=())
    bare = data.events.select("user", "item", "split")
    data = Dataset(name="b", spec=spec, split=data.split, events=bare, users=data.users, items=data.items)
    whole = pl.concat(data.histories_for_import(batch_events=3))
    assert whole["time_ms"].to_list() == [1, 2, 3, 4, 1, 2]
    assert whole["event_type"].to_list() == [""] * 6


def described() -> pl.DataFrame:
    return small().items.with_columns(brand=pl.Series(["acme", "", "bolt"]), price=pl.Series([1.5, float("nan"), 2.0]))


def test_the_item_table_is_the_catalogue_by_row() -> None:
    data = small()
    data.items = described()
    table = data.item_table()
    assert (table.ids.tolist(), table.titles.tolist()) == (["x", "y", "z"], ["X", "", "Z"])
    assert (table.category_names, table.categories.offsets.tolist()) == (("a", "b"), [0, 1, 1, 3])
    assert table.categories.codes.tolist() == [0, 0, 1]
    assert table.text("brand").tolist() == ["acme", "", "bolt"]
    np.testing.assert_array_equal(table.number("price"), [1.5, np.nan, 2.0])
    assert table.number("price").flags.writeable  # torch.from_numpy warns of what is not


def test_kept_item_columns_are_written_and_count_in_the_fingerprint(tmp_path: Path) -> None:
    data, items = small(), described()
    digest = fingerprint(data.events, data.users, items)
    assert digest != data.spec.fingerprint
    assert digest != fingerprint(data.events, data.users, items.with_columns(price=pl.Series([1.5, 9.0, 2.0])))
    assert digest != fingerprint(data.events, data.users, items.rename({"brand": "maker"}))
    data.spec, data.items = dataclasses.replace(data.spec, fingerprint=digest), items
    data.write(tmp_path / "data")
    assert Dataset.open(tmp_path / "data").items.equals(items, null_equal=True)


def test_titles_may_be_mended_without_another_fingerprint() -> None:
    data = small()
    mended = data.items.with_columns(title=pl.lit("mended"))
    assert fingerprint(data.events, data.users, mended) == data.spec.fingerprint
    # As it was before columns could be kept, so data sets of that time still open.
    assert data.spec.fingerprint == "c71665862ce3fe7437fd45ec33835074254796df0d0ad2878de69db3aebff924"


def test_a_link_stays_one_and_its_target_is_replaced(tmp_path: Path) -> None:
    data = small()
    data.write(tmp_path / "data")
    (tmp_path / "link").symlink_to("data")
    data.write(tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert Dataset.open(tmp_path / "data").name == "small"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "link"]


@pytest.mark.parametrize("path", [".", "..", "../here"])
def test_the_folder_one_stands_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError, match="the folder you are in"):
        small().write(path)
    assert not list((tmp_path / "here").iterdir())
    small().write("absent/../data")
    assert Dataset.open(tmp_path / "here" / "data").name == "small"


def test_a_disk_that_is_full_leaves_the_data_set_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small().write(tmp_path / "data")

    def refuse(*_: object, **__: object) -> None:
        raise pl.exceptions.ComputeError("parquet: No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", refuse)
    with pytest.raises(DataError, match=r"data: the data set cannot be written: .*No space left.*\n.*make room"):
        small().write(tmp_path / "data", force=True)
    assert Dataset.open(tmp_path / "data").name == "small"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("size", [0, 700])
def test_files_that_cannot_grow_leave_the_data_set_as_it_was(tmp_path: Path, size: int) -> None:
    """With real writes: Polars, Python and the header each meet the limit."""
    small().write(tmp_path / "data")
    with files_end_at(size), pytest.raises(DataError, match=r"data: the data set cannot be written: .*\n.*make room"):
        small().write(tmp_path / "data", force=True)
    assert Dataset.open(tmp_path / "data").name == "small"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
