"""Keeps nested Python values with tensors in one safetensors file, without pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from honeyguide.sdk.errors import DataError
from honeyguide.training.target_folder import GOES_ON, writing

__all__ = ["load_tree", "save_tensors", "save_tree", "state_of"]


def save_tree(path: Path, tree: Any) -> None:
    """Writes dicts, lists, tuples, tensors, text and numbers; the file is whole or not there.

    Raises:
        DataError: the disk refuses it.
        TypeError: a value is of another type; the message says where.
    """
    tensors: dict[str, Tensor] = {}
    metadata = {"tree": json.dumps(_to_json(tree, "", tensors))}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_tensors(path, tensors, metadata)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Writes tensors; the file is whole or as it was. Raises `DataError` where the disk refuses it."""
    draft = path.with_name(path.name + ".part")
    with writing(path, "the network", SafetensorError, draft=draft, remedy=GOES_ON):
        save_file(dict(tensors), draft, metadata=metadata)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)


def load_tree(path: Path) -> Any:
    """Reads what `save_tree` wrote, tensors on the CPU; raises `DataError` where the file is broken."""
    try:
        with safe_open(path, "pt") as file:
            return _from_json(json.loads(file.metadata()["tree"]), file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(
            f"cannot be read ({type(error).__name__}: {error})", file=str(path), remedy="begin anew with --force"
        ) from error


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """Returns a copy of a module's weights and buffers on the CPU; tied ones are written twice."""
    return {name: _plain(tensor) for name, tensor in module.state_dict().items()}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()  # safetensors refuses views and shared memory


def _to_json(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    """Turns a value into JSON; a container becomes {kind: content}, so that keys and tuples come back as they were."""
    if isinstance(value, Tensor):
        tensors[where or "/"] = _plain(value)
        return {"tensor": where or "/"}
    if isinstance(value, dict):
        return {"dict": [[_key(k, where), _to_json(v, f"{where}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_to_json(v, f"{where}/{i}", tensors) for i, v in enumerate(value)]}
    if value is None or type(value) in (str, bool, int, float):
        return value
    raise TypeError(f"{where or '/'} is a {type(value).__name__}, which is not saved without pickle")


def _key(key: Any, where: str) -> str | int:
    if type(key) in (str, int):
        return key  # type: ignore[no-any-return]  # type() narrows nothing for mypy
    raise TypeError(f"a key in {where or '/'} is a {type(key).__name__}; text and whole numbers are saved")


def _from_json(value: Any, file: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return file.get_tensor(content)
    if kind == "dict":
        return {key: _from_json(v, file) for key, v in content}
    parts = [_from_json(v, file) for v in content]
    return tuple(parts) if kind == "tuple" else parts
