import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from honeyguide.sdk import DataSpec, FeatureScaler, ItemColumn, TensorSpec
from honeyguide.sdk.errors import CorruptBundle, ForeignBundle
from honeyguide.sdk.manifest import MANIFEST, IndexInfo, Manifest, read_manifest, read_verified, verify, vocabulary_hash

MANIFEST_WITH_ALL = Manifest(
    name="cf",
    version=3,
    created="2026-01-02T03:04:05+00:00",
    model_class="cf",
    api_version=1,
    plugin="honeyguide 0.1.0",
    config={"width": 64, "decay": 0.5, "name": "ä", "sizes": [1, 2]},
    weights="ab" * 32,
    data=DataSpec(
        items=10,
        repeats=True,
        has_time=True,
        event_types=("view", "buy"),
        features=(FeatureScaler("clicks", 0.0, 0.0, 9.0, True, 1.5, 2.5),),
        item_columns=(ItemColumn("price", "number"), ItemColumn("image", "vector", width=512)),
        fingerprint="ab" * 32,
    ),
    inputs=(TensorSpec("tokens", "int64", ("batch", "length")), TensorSpec("gap", "float32", ("batch", 4))),
    dimension=64,
    max_length=200,
    ranks=True,
    candidates=100,
    steps=True,
    explains=True,
    retrievers=(("transformer", 3), ("cf", 1)),
    vocabulary="cd" * 32,
    index=IndexInfo("hnsw", 0.993),
    metrics={"retrieve/ndcg@10": 0.12},
    proof={"user_vector/max_abs_difference": 1e-7},
    files={"user.onnx": "ef" * 32},
    sizes={"user.onnx": 7},
    item_inputs=(TensorSpec("text", "float32", ("batch", 512)),),
).sealed()


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text(text, "utf-8")
    return folder


def test_a_manifest_comes_back_from_json_as_it_was():
    assert Manifest.from_json(MANIFEST_WITH_ALL.to_json()) == MANIFEST_WITH_ALL


def test_one_that_scores_its_catalogue_has_a_format_of_its_own():
    scoring = replace(MANIFEST_WITH_ALL, scores_catalogue=True, digest="").sealed()
    raw = json.loads(scoring.to_json())
    assert raw["format_version"] == 4  # a server of before says that it reads format 3
    assert Manifest.from_json(scoring.to_json()) == scoring
    plain = json.loads(MANIFEST_WITH_ALL.to_json())
    assert plain["format_version"] == 3
    assert "scores_catalogue" not in plain  # so that a server of before reads it
    mixed = {name: value for name, value in raw.items() if name != "digest"} | {"format_version": 3}
    text = json.dumps(mixed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    mixed["digest"] = hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(CorruptBundle, match="a format that is not its kind's"):
        Manifest.from_json(json.dumps(mixed))


def test_a_bundle_as_exported_is_accepted(shared_repository: Path):
    folder = shared_repository / "tiny" / "1"
    verify(folder, read_manifest(folder))


@pytest.mark.parametrize("file", ["index.faiss", "item_vectors.npy", "items.parquet", "rank.onnx", "user.onnx"])
def test_a_changed_byte_is_refused_by_the_file_s_name(file, repository: Path):
    folder = repository / "tiny_ranker" / "1"
    manifest = read_manifest(folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    message = rf"^tiny_ranker/1: file {file} was changed; export the model again$"
    with pytest.raises(CorruptBundle, match=message):
        verify(folder, manifest)
    verify(folder, manifest, later={file})
    with pytest.raises(CorruptBundle, match=message):
        read_verified(folder, manifest, file)


def test_what_is_read_is_what_was_hashed(shared_repository: Path):
    folder = shared_repository / "tiny" / "1"
    assert read_verified(folder, read_manifest(folder), "user.onnx") == (folder / "user.onnx").read_bytes()


def test_a_missing_file_is_refused_by_name(repository: Path):
    folder = repository / "tiny" / "1"
    (folder / "user.onnx").unlink()
    with pytest.raises(CorruptBundle, match=r"^tiny/1: file user\.onnx is missing; export the model again$"):
        verify(folder, read_manifest(folder))


def test_an_added_file_is_refused_by_name(repository: Path):
    folder = repository / "tiny" / "1"
    (folder / "weights.pkl").write_bytes(b"")
    with pytest.raises(CorruptBundle, match=r"^tiny/1: file weights\.pkl is not in the manifest; remove it$"):
        verify(folder, read_manifest(folder))


def test_a_folder_without_a_manifest_is_foreign(tmp_path: Path):
    (tmp_path / "cf" / "3").mkdir(parents=True)
    with pytest.raises(ForeignBundle, match=r"^no bundle\.json in cf/3: it is not a Honeyguide bundle$"):
        read_manifest(tmp_path / "cf" / "3")


@pytest.mark.parametrize(("name", "version"), [("other", "3"), ("cf", "4"), ("cf", "03")])
def test_a_bundle_in_another_s_place_is_foreign(name, version, tmp_path: Path):
    folder = write(tmp_path / name / version, MANIFEST_WITH_ALL.to_json())
    with pytest.raises(ForeignBundle, match=f"the bundle in {name}/{version} says it is cf/3: put it back"):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", CorruptBundle, "bundle.json cannot be read"),
        ("{", CorruptBundle, "bundle.json cannot be read"),
        ("[1]", ForeignBundle, "has no format_version: it is not a Honeyguide bundle"),
        ('{"model": "x"}', ForeignBundle, "has no format_version"),
        ('{"format_version": 1}', ForeignBundle, "has format 1; this server reads 3 and 4: export the model again"),
        ('{"format_version": 2}', CorruptBundle, r"cannot be read \(KeyError: 'data'\)"),
    ],
)
def test_text_that_is_no_manifest_is_refused(text, error, message):
    with pytest.raises(error, match=message):
        Manifest.from_json(text)


@pytest.mark.parametrize("field", sorted(json.loads(MANIFEST_WITH_ALL.to_json())))
def test_a_manifest_that_lacks_any_field_is_refused(field):
    raw = json.loads(MANIFEST_WITH_ALL.to_json())
    del raw[field]
    with pytest.raises((CorruptBundle, ForeignBundle)):
        Manifest.from_json(json.dumps(raw))


def of_before(**changes: Any) -> str:
    """Returns a manifest as it was before there were precisions, sizes and digests, with changes."""
    raw = json.loads(MANIFEST_WITH_ALL.to_json())
    for field in ("digest", "sizes", "precision"):
        del raw[field]
    return json.dumps(raw | {"format_version": 2} | changes)


def test_a_manifest_of_before_there_were_digests_is_read():
    manifest = Manifest.from_json(of_before())
    assert manifest == replace(MANIFEST_WITH_ALL, digest="", sizes={}, precision="float32")


def test_a_manifest_with_an_unknown_field_is_refused():
    with pytest.raises(CorruptBundle, match="extra"):
        Manifest.from_json(of_before(extra=1))


@pytest.mark.parametrize(
    "change",
    [
        {"name": 3},
        {"version": "3"},
        {"version": 2**63},
        {"candidates": -1},
        {"dimension": 64.5},
        {"ranks": 1},
        {"metrics": {"a": "b"}},
        {"metrics": []},
        {"files": {"user.onnx": None}},
        {"retrievers": [["cf", "1"]]},
        {"retrievers": 5},
        {"index": {"kind": "flat", "recall_at_100": "all"}},
        {"inputs": [{"name": "tokens"}]},
        {"created": "soon"},
        {"config": None},
    ],
)
def test_a_field_of_another_type_or_range_is_refused(change: dict[str, Any]):
    with pytest.raises(CorruptBundle, match=r"^bundle\.json cannot be read"):
        Manifest.from_json(of_before(**change))


def test_every_change_of_one_bit_that_changes_a_value_is_refused():
    text = MANIFEST_WITH_ALL.to_json().encode()
    meant = json.loads(text)
    refused = 0
    for place in range(0, len(text) * 8, 7):  # no power of two: every bit of a byte has its turn
        changed = bytearray(text)
        changed[place // 8] ^= 1 << place % 8
        try:
            manifest = Manifest.from_json(bytes(changed))
        except (CorruptBundle, ForeignBundle):
            refused += 1
        else:  # as 1e-07 and 1E-07
            assert json.loads(bytes(changed)) == meant
            assert manifest == MANIFEST_WITH_ALL
    assert refused > len(text)


def test_the_digest_covers_everything_and_no_layout():
    raw = json.loads(MANIFEST_WITH_ALL.to_json())
    assert Manifest.from_json(json.dumps(dict(reversed(raw.items())))) == MANIFEST_WITH_ALL
    for field in raw.keys() - {"digest"}:
        with pytest.raises((CorruptBundle, ForeignBundle)):
            Manifest.from_json(json.dumps(raw | {field: None}))
    with pytest.raises(CorruptBundle, match=r"^bundle\.json was changed; export the model again$"):
        Manifest.from_json(json.dumps(raw | {"candidates": 300}))
    with pytest.raises(CorruptBundle, match="was changed"):  # nor is it taken for one of before there were digests
        Manifest.from_json(json.dumps(raw | {"format_version": 2}))


def test_a_file_of_another_size_is_refused_unread(repository: Path):
    folder = repository / "tiny" / "1"
    manifest = read_manifest(folder)
    os.truncate(folder / "user.onnx", 1 << 40)  # a hole: a terabyte that takes no room, and would take all memory
    for read in (lambda: verify(folder, manifest), lambda: read_verified(folder, manifest, "user.onnx")):
        with pytest.raises(CorruptBundle, match=r"^tiny/1: file user\.onnx was changed; export the model again$"):
            read()


def test_a_manifest_that_is_not_text_is_refused(tmp_path: Path):
    folder = tmp_path / "cf" / "3"
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptBundle, match="UnicodeDecodeError"):
        read_manifest(folder)


def test_bundles_differ_in_what_their_data_or_ids_differ_and_not_in_its_fingerprint():
    data = MANIFEST_WITH_ALL.data
    later = replace(MANIFEST_WITH_ALL, version=4, data=replace(data, fingerprint="00" * 32))
    assert MANIFEST_WITH_ALL.differences(later) == ()
    other = replace(later, vocabulary="00" * 32, data=replace(data, has_time=False, event_types=()))
    assert MANIFEST_WITH_ALL.differences(other) == ("has_time", "event_types", "item ids")


def test_the_vocabulary_s_hash_covers_the_ids_and_their_order():
    assert vocabulary_hash(["a", "b"]) == hashlib.sha256(b"a\nb").hexdigest()
    assert len({vocabulary_hash(ids) for ids in (["a", "b"], ["b", "a"], ["a"], ["ab"])}) == 4
