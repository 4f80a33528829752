"""Reads the tensors of a request, each checked against what its model takes, and lays out those of an answer."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import InvalidArgument, NotOffered
from honeyguide.server.api.violations import Violations

__all__ = ["BYTES", "DATATYPES", "MAX_ROWS", "Tensor", "read_bytes", "read_tensors"]

MAX_ROWS = 256
"""Rows of one request at most."""
BYTES = "BYTES"
DATATYPES: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "?",
        "UINT8": "u1",
        "UINT16": "<u2",
        "UINT32": "<u4",
        "UINT64": "<u8",
        "INT8": "i1",
        "INT16": "<i2",
        "INT32": "<i4",
        "INT64": "<i8",
        "FP16": "<f2",
        "FP32": "<f4",
        "FP64": "<f8",
    }
)
"""numpy's type of each of the protocol's, but for BYTES."""
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        BYTES: "bytes_contents",
        "BOOL": "bool_contents",
        "UINT8": "uint_contents",
        "UINT16": "uint_contents",
        "UINT32": "uint_contents",
        "UINT64": "uint64_contents",
        "INT8": "int_contents",
        "INT16": "int_contents",
        "INT32": "int_contents",
        "INT64": "int64_contents",
        "FP32": "fp32_contents",
        "FP64": "fp64_contents",
    }
)
"""Where typed values stand; FP16 has no place."""
_SHARED_MEMORY = "shared_memory_"
_SIZE = struct.Struct("<I")

Values = NDArray[Any] | list[bytes]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Input or output of a model."""

    name: str
    datatype: str
    """The protocol's word for its type."""
    dims: tuple[int, ...]
    """Axes after the batch; -1 is free."""
    most: int = 0
    """Length of a free axis at most; 0: it has none, or is an output's."""
    optional: bool = False
    single: bool = False
    """Whether one row may stand for all."""

    @property
    def shape(self) -> list[int]:
        """All axes, the batch first."""
        return [-1, *self.dims]


@dataclass(frozen=True, slots=True)
class Given:
    """Input as it was given."""

    shape: tuple[int, ...]
    values: Values
    """An array of that shape, or the elements of a BYTES tensor, row by row."""


def read_tensors(request: pb.ModelInferRequest, tensors: Sequence[Tensor]) -> tuple[dict[str, Given], int]:
    """Reads the inputs of a request.

    Args:
        request: raw or typed.
        tensors: what the model takes.

    Returns:
        The inputs by name, without the optional ones that are missing; and how many rows they have.

    Raises `InvalidArgument` naming every input that is not as it should be, or `NotOffered`.
    """
    known = {tensor.name: tensor for tensor in tensors}
    raw, violations = request.raw_input_contents, Violations()
    if raw and len(raw) != len(request.inputs):
        raise InvalidArgument(
            "raw_input_contents", f"{len(raw)} values", f"one for each of {len(request.inputs)} inputs"
        )
    given: dict[str, Given] = {}
    for place, tensor in enumerate(request.inputs):
        field = f"inputs[{tensor.name}]"
        if any(name.startswith(_SHARED_MEMORY) for name in tensor.parameters):
            raise NotOffered(f"{field} is in shared memory, which this server does not offer; send the values")
        if tensor.name not in known:
            violations.add(InvalidArgument("inputs", tensor.name, ", ".join(known)))
        elif tensor.name in given:
            violations.add(InvalidArgument("inputs", tensor.name, "each input once"))
        else:
            values = violations.check(_read, field, tensor, known[tensor.name], raw[place] if raw else None)
            if values is not None:
                given[tensor.name] = values
    for spec in tensors:
        if not spec.optional and spec.name not in {tensor.name for tensor in request.inputs}:
            violations.add(InvalidArgument("inputs", ", ".join(given) or "none", f"{spec.name} among them"))
    violations.refuse()
    counts = {name: each.shape[0] for name, each in given.items() if not (known[name].single and each.shape[0] == 1)}
    rows = max(counts.values(), default=1)
    for name, count in counts.items():
        if count != rows:
            raise InvalidArgument(f"inputs[{name}].shape", f"{count} rows", f"{rows}, as many as the other inputs have")
    return given, rows


def _read(field: str, given: pb.ModelInferRequest.InferInputTensor, spec: Tensor, raw: bytes | None) -> Given:
    if given.datatype != spec.datatype:
        raise InvalidArgument(f"{field}.datatype", given.datatype, spec.datatype)
    shape = tuple(given.shape)
    fits = len(shape) == len(spec.dims) + 1 and all(
        0 <= size <= spec.most if axis < 0 else size == axis for size, axis in zip(shape[1:], spec.dims, strict=True)
    )
    if not fits or not 1 <= shape[0] <= MAX_ROWS:
        axes = ", ".join(f"0 to {spec.most:,}" if axis < 0 else str(axis) for axis in spec.dims)
        raise InvalidArgument(f"{field}.shape", list(shape), f"[1 to {MAX_ROWS} rows, {axes}]")
    typed, count = given.HasField("contents"), prod([int(size) for size in shape])
    if raw is not None and typed:
        raise InvalidArgument(f"{field}.contents", "values", "nothing, as there are raw_input_contents")
    if raw is None and not typed and count:
        raise InvalidArgument(field, "no values", "values in raw_input_contents or in contents")
    values = _typed(field, given, spec, count) if raw is None else _raw(field, raw, spec, count)
    return Given(shape, values if isinstance(values, list) else values.reshape(shape))


def _raw(field: str, raw: bytes, spec: Tensor, count: int) -> Values:
    if spec.datatype == BYTES:
        return read_bytes(field, raw, count)
    dtype = np.dtype(DATATYPES[spec.datatype])
    if len(raw) != count * dtype.itemsize:
        raise InvalidArgument(field, f"{len(raw)} bytes", f"{count * dtype.itemsize}, as its shape says")
    return np.frombuffer(raw, dtype)


def _typed(field: str, given: pb.ModelInferRequest.InferInputTensor, spec: Tensor, count: int) -> Values:
    name = _FIELDS.get(spec.datatype, "")
    if others := [other.name for other, _ in given.contents.ListFields() if other.name != name]:
        raise InvalidArgument(f"{field}.contents", others[0], f"{name or 'raw_input_contents'} for {spec.datatype}")
    values = list(getattr(given.contents, name)) if name else []
    if len(values) != count:
        raise InvalidArgument(f"{field}.contents", f"{len(values)} elements", f"{count}, as its shape says")
    if spec.datatype == BYTES:
        return values
    dtype = np.dtype(DATATYPES[spec.datatype])
    if dtype.kind in "iu" and values and not np.iinfo(dtype).min <= min(values) <= max(values) <= np.iinfo(dtype).max:
        raise InvalidArgument(f"{field}.contents", "a number", f"what {spec.datatype} holds")
    return np.array(values, dtype)


def read_bytes(field: str, raw: bytes, count: int) -> list[bytes]:
    """Returns the ``count`` elements of a BYTES tensor, before each of which stand four bytes of length.

    Elements of one length, as ids often are, are cut all at once; others one by one, which takes ten times as long.
    Nothing is reserved that the bytes do not hold. Raises `InvalidArgument`.
    """
    if not count and not raw:
        return []
    if 4 * count > len(raw):
        raise InvalidArgument(field, f"{len(raw)} bytes", f"{count} elements, each with four bytes of length before it")
    if count:
        (size,) = _SIZE.unpack_from(raw)
        if size and (4 + size) * count == len(raw):
            table = np.frombuffer(raw, [("size", "<u4"), ("text", f"V{size}")])
            if (table["size"] == size).all():
                return table["text"].tolist()  # type: ignore[no-any-return]  # numpy's lists are untyped
    elements: list[bytes] = []
    unpack, end, at = _SIZE.unpack_from, len(raw) - 4, 0
    while at <= end and len(elements) <= count:
        (size,) = unpack(raw, at)
        at += 4 + size
        elements.append(raw[at - size : at])
    if at != len(raw) or len(elements) != count:
        raise InvalidArgument(field, f"{len(raw)} bytes", f"{count} elements, as its shape says, and no byte more")
    return elements
