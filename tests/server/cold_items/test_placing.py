"""`placing.py`: items are placed for every bundle that can, once, and all of a call or none."""

from copy import copy
from dataclasses import replace

import numpy as np
import pytest

from honeyguide.sdk.errors import ConfigError, FailedPrecondition, InvalidArgument, NoEncoder, Unavailable
from honeyguide.server.cold_items.item import ColdItem
from honeyguide.server.cold_items.placing import ColdItems, Upserted
from honeyguide.server.cold_items.store import ColdItemStore


def image(*values: float) -> dict[str, tuple[float, ...]]:
    return {"image": values + (0.0,) * (8 - len(values))}


@pytest.fixture
def cold(tmp_path, placing):
    items = ColdItems(ColdItemStore(tmp_path / "items.db"), most=3)
    items.add(placing)
    return items


def test_items_are_placed_and_found_again(cold, placing, tmp_path):
    assert cold.segment(placing) is None
    done = cold.upsert([ColdItem("n-0", vectors=image(1)), ColdItem("n-1", vectors=image(0, 2)), ColdItem("item-7")])
    assert done == Upserted(3, [placing], known=["item-7"], unknown_columns=[], failures={})
    segment = cold.segment(placing)
    assert segment.catalogue.item_ids(np.arange(2)) == ["n-0", "n-1"]  # the catalogue's own item stays its own
    assert segment.vectors[:, :2].tolist() == [[1, 0], [0, 2]]
    after = ColdItems(ColdItemStore(tmp_path / "items.db"), most=3)
    after.refresh()
    after.add(placing)
    np.testing.assert_array_equal(after.segment(placing).vectors, segment.vectors)
    assert [item.item_id for item in after.listed()] == ["item-7", "n-1", "n-0"]
    assert cold.delete(["n-0", "n-9"]) == ["n-9"]
    assert cold.segment(placing).catalogue.item_ids(np.arange(1)) == ["n-1"]
    assert cold.delete(["n-1", "item-7"]) == []
    assert cold.segment(placing) is None


def test_what_was_placed_is_not_placed_again(cold, placing, monkeypatch):
    cold.upsert([ColdItem("n-0", vectors=image(1))])
    asked = []
    place = placing.place
    monkeypatch.setattr(placing, "place", lambda items: asked.append(items.ids.tolist()) or place(items))
    cold.upsert([ColdItem("n-1", vectors=image(1))])
    cold.upsert([ColdItem("n-0", "another title", vectors=image(1))])
    assert asked == [["n-1"], ["n-0"]]


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [
        (ColdItem("n-0", texts={"blurb": "long"}), NoEncoder, "not installed"),
        (ColdItem("n-0", vectors={"image": (1.0, 2.0)}), InvalidArgument, "items that model 'placed' can place"),
        (ColdItem("n-0", vectors=image(1e30)), InvalidArgument, "items that model 'placed' can place"),
    ],
)
def test_nothing_of_a_call_is_kept_that_cannot_be_placed(cold, placing, item, error, words):
    with pytest.raises(error, match=words):
        cold.upsert([ColdItem("n-1", vectors=image(1)), item])
    assert (list(cold.listed()), cold.segment(placing)) == ([], None)


def test_columns_that_no_model_was_trained_with_are_named(cold):
    known = {**image(1), "text_vector": (1.0,) * 512}
    done = cold.upsert([ColdItem("n-0", texts={"colour": "red"}, numbers={"prize": 2.0}, vectors=known)])
    assert done.unknown_columns == ["colour", "prize"]
    as_text = {"image": "1 1 1", "text_vector": "1"}
    assert cold.upsert([ColdItem("n-1", texts=as_text)]).unknown_columns == ["image", "text_vector"]
    assert cold.upsert([ColdItem("n-2", numbers={"image": 1.0}, vectors=image(1))]).unknown_columns == ["image"]


def test_a_model_that_cannot_place_what_another_can_says_why(cold, placing, monkeypatch):
    other = copy(placing)
    other.manifest = replace(placing.manifest, name="other", version=3)
    monkeypatch.setattr(other, "place", lambda items: 1 / 0)
    cold.add(other)
    done = cold.upsert([ColdItem("n-0", vectors=image(1))])
    assert done.bundles == [placing]
    assert "model 'other' can place (division by zero)" in done.failures["other", 3]
    assert cold.segment(other) is None


def test_there_are_no_more_than_may_be(cold):
    cold.upsert([ColdItem(f"n-{number}") for number in range(3)])
    cold.upsert([ColdItem("n-2", "again")])
    with pytest.raises(FailedPrecondition, match=r"3 items were added, and at most 3 may be \(max_cold_items\)"):
        cold.upsert([ColdItem("n-3")])


def test_more_items_than_may_be_are_still_replaced(cold, placing, tmp_path):
    cold.upsert([ColdItem("n-0"), ColdItem("n-1")])
    fewer = ColdItems(ColdItemStore(tmp_path / "items.db"), most=1)
    fewer.refresh()
    fewer.add(placing)
    assert fewer.upsert([ColdItem("n-1", "again")]).added == 0
    with pytest.raises(FailedPrecondition, match="2 items were added, and at most 1 may be"):
        fewer.upsert([ColdItem("n-2")])


def test_a_file_that_cannot_be_read_costs_nothing_that_is_known(cold, placing, tmp_path):
    path = tmp_path / "items.db"
    cold.upsert([ColdItem("n-0")])
    whole = path.read_bytes()
    path.write_bytes(b"nonsense" * 1000)
    cold.refresh()
    with pytest.raises(Unavailable, match="not a database"):
        cold.upsert([ColdItem("n-1")])
    assert ([item.item_id for item in cold.listed()], len(cold.segment(placing).catalogue)) == (["n-0"], 1)
    later = ColdItems(ColdItemStore(path), most=3)  # begins while it is so
    later.refresh()
    later.add(placing)
    with pytest.raises(Unavailable, match="not a database"):
        later.listed()
    path.write_bytes(whole)
    assert [item.item_id for item in later.listed()] == ["n-0"]
    assert len(later.segment(placing).catalogue) == 1


def test_what_a_model_does_not_take_is_the_caller_s_mistake(cold, placing, monkeypatch):
    def refuse(_):
        raise ConfigError("text_vector has shape (1, 3); it must be (items, 512)")

    monkeypatch.setattr(placing, "place", refuse)
    with pytest.raises(InvalidArgument, match=r"items that model 'placed' can place: text_vector has shape \(1, 3\)"):
        cold.upsert([ColdItem("n-0", vectors={"text_vector": (1.0, 2.0, 3.0)})])


def test_without_a_model_that_places_nothing_is_added(tmp_path):
    cold = ColdItems(ColdItemStore(tmp_path / "items.db"), most=3)
    with pytest.raises(FailedPrecondition, match="no model that serves places new items"):
        cold.upsert([ColdItem("n-0")])
    assert not (tmp_path / "items.db").exists()


def test_an_item_that_a_bundle_cannot_place_costs_no_other_its_place(cold, placing, tmp_path, monkeypatch):
    ours = [
        ColdItem("n-0", vectors={**image(1), "other": (1.0,)}),
        ColdItem("n-1", vectors={**image(2), "other": (1.0, 2)}),
    ]
    for item in ours:  # of a column that this model does not read, and of widths that no table has
        cold.upsert([item])
    cold._store.upsert([ColdItem("n-2", vectors={"image": (1.0, 2.0)})])  # as where a model with other vectors took it
    after = ColdItems(ColdItemStore(tmp_path / "items.db"), most=3)
    after.refresh()
    after.add(placing)
    for items in (after, cold):
        items.refresh()
        segment = items.segment(placing)
        assert segment.catalogue.item_ids(np.arange(2)) == ["n-0", "n-1"]
        assert (len(segment.catalogue), segment.vectors[:, 0].tolist()) == (2, [1, 2])
    monkeypatch.setattr(placing, "place", lambda _: pytest.fail("what was refused is not tried again"))
    after.refresh()
