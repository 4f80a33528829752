from pathlib import Path

import pytest
import torch

from honeyguide.sdk.errors import DataError
from honeyguide.training.runs.tensor_file import load_tree, save_tree


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {"a": [1, 2.5, None, True, ("x", {3: torch.arange(4), "y": torch.zeros(0)})], "float": float("inf")}
    save_tree(tmp_path / "t.safetensors", tree)
    back = load_tree(tmp_path / "t.safetensors")
    assert torch.equal(back["a"][4][1][3], torch.arange(4))
    assert back["a"][:4] == [1, 2.5, None, True]
    assert isinstance(back["a"][4], tuple)
    assert back["float"] == float("inf")


def test_a_tree_refuses_what_only_pickle_could_keep(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="/a/0 is a object"):
        save_tree(tmp_path / "t.safetensors", {"a": [object()]})


def test_a_broken_state_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.safetensors").write_bytes(b"not safetensors at all")
    with pytest.raises(DataError, match="begin anew with --force"):
        load_tree(tmp_path / "t.safetensors")


def test_a_tree_that_the_disk_refuses_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "state.safetensors"
    save_tree(file, {"epoch": 1, "weights": [torch.zeros(2)]})

    def refuse(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DataError, match=r"state\.safetensors: .* cannot be written: No space left.*\n.*goes on"):
        save_tree(file, {"epoch": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]
    assert load_tree(file)["epoch"] == 1
