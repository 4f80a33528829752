"""Tensors of every type and both layouts are read as they were sent, and nothing beyond what was."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_requests import as_bytes

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import InvalidArgument
from honeyguide.server.oip.tensors import _FIELDS, BYTES, DATATYPES, Tensor, read_bytes, read_tensors


@given(st.lists(st.binary(max_size=12), max_size=30))
def test_elements_come_back_as_they_were_written(elements: list[bytes]) -> None:
    assert read_bytes("x", as_bytes(elements), len(elements)) == elements


@given(st.integers(1, 9), st.integers(1, 20))
def test_elements_of_one_length_are_cut_at_once_and_keep_their_zeros(size: int, count: int) -> None:
    elements = [bytes([place % 3] * size) for place in range(count)]
    assert read_bytes("x", as_bytes(elements), count) == elements


@given(st.binary(max_size=40), st.integers(0, 12))
def test_any_bytes_are_read_or_refused(raw: bytes, count: int) -> None:
    try:
        elements = read_bytes("x", raw, count)
    except InvalidArgument:
        return
    assert as_bytes(elements) == raw
    assert len(elements) == count


def test_a_length_that_lies_reserves_nothing() -> None:
    for raw, count in ((struct.pack("<I", 2**32 - 1), 1), (struct.pack("<I", 5), 2**40), (b"", 2**62)):
        with pytest.raises(InvalidArgument):
            read_bytes("x", raw, count)


@pytest.mark.parametrize("datatype", [*DATATYPES, BYTES])
def test_every_type_is_read_raw_and_typed(datatype: str) -> None:
    spec = Tensor("x", datatype, (-1,), most=4)
    values = [[b"a", b"bc"]] if datatype == BYTES else np.array([[1, 0]], DATATYPES[datatype])
    flat = [b"a", b"bc"] if datatype == BYTES else np.asarray(values).ravel().tolist()
    raw = pb.ModelInferRequest(
        raw_input_contents=[as_bytes(flat) if datatype == BYTES else np.asarray(values).tobytes()]
    )
    raw.inputs.add(name="x", datatype=datatype, shape=[1, 2])
    requests = [raw]
    if datatype in _FIELDS:
        typed = pb.ModelInferRequest()
        tensor = typed.inputs.add(name="x", datatype=datatype, shape=[1, 2])
        getattr(tensor.contents, _FIELDS[datatype]).extend(flat)
        requests.append(typed)
    for request in requests:
        read, rows = read_tensors(request, [spec])
        assert (rows, read["x"].shape) == (1, (1, 2))
        got = read["x"].values
        assert (got if isinstance(got, list) else got.ravel().tolist()) == flat
    if datatype == "FP16":
        typed = pb.ModelInferRequest()
        typed.inputs.add(name="x", datatype=datatype, shape=[1, 2]).contents.fp32_contents.extend([1, 2])
        with pytest.raises(InvalidArgument, match="raw_input_contents for FP16"):
            read_tensors(typed, [spec])


def test_a_typed_number_that_its_type_does_not_hold_is_refused() -> None:
    request = pb.ModelInferRequest()
    request.inputs.add(name="x", datatype="INT8", shape=[1, 1]).contents.int_contents.append(300)
    with pytest.raises(InvalidArgument, match="what INT8 holds"):
        read_tensors(request, [Tensor("x", "INT8", (1,))])


def test_every_input_at_fault_is_named() -> None:
    request = pb.ModelInferRequest()
    request.inputs.add(name="x", datatype="INT8", shape=[1, 1])
    request.inputs.add(name="y", datatype="FP32", shape=[1, 1])
    with pytest.raises(InvalidArgument) as caught:
        read_tensors(request, [Tensor("x", "FP32", (1,)), Tensor("y", "INT8", (1,)), Tensor("z", "FP32", (1,))])
    assert [each.field for each in (caught.value, *caught.value.others)] == [
        "inputs[x].datatype",
        "inputs[y].datatype",
        "inputs",
    ]
