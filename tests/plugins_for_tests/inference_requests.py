"""Builds requests of the Open Inference Protocol, good ones and odd ones, for our server and for Triton alike."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from google.protobuf.message_factory import GetMessageClass

from honeyguide.oip.v2 import inference_pb2 as pb

__all__ = ["DIFFERENT", "GOOD", "ODD", "SERVICE", "add_input", "as_bytes", "infer_request", "method", "read_output"]

SERVICE = "inference.GRPCInferenceService"
_TYPES = {"BYTES": None, "FP32": "<f4", "INT32": "<i4", "INT64": "<i8"}


def as_bytes(texts: Sequence[str | bytes]) -> bytes:
    """Returns texts as a BYTES tensor's raw values."""
    parts = [text.encode() if isinstance(text, str) else text for text in texts]
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def add_input(request: pb.ModelInferRequest, name: str, values: Any, datatype: str = "BYTES") -> None:
    """Adds an input with raw values: a table of texts, or an array."""
    array = np.array(values, object if datatype == "BYTES" else _TYPES[datatype])
    request.inputs.add(name=name, datatype=datatype, shape=array.shape)
    flat = array.ravel()
    request.raw_input_contents.append(as_bytes(flat.tolist()) if datatype == "BYTES" else flat.tobytes())


def method(channel: Any, name: str) -> Any:
    """Returns an rpc of the service on a channel, sync or aio."""
    rpc = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name[name]
    kind = "stream_stream" if rpc.client_streaming else "unary_unary"
    return getattr(channel, kind)(
        f"/{SERVICE}/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(rpc.output_type).FromString,
    )


def infer_request(
    history: Sequence[Sequence[str]] = (("item-1", "item-2"),), model: str = "tiny", **inputs: Any
) -> pb.ModelInferRequest:
    """Returns a request to a pipeline; ``inputs`` are ``k`` and ``user_id``."""
    request = pb.ModelInferRequest(model_name=model)
    add_input(request, "history", history)
    for name, values in inputs.items():
        add_input(request, name, values, "INT32" if name == "k" else "BYTES")
    return request


def read_output(response: pb.ModelInferResponse, name: str) -> Any:
    """Returns one output of an answer as an array: texts or numbers."""
    place = [output.name for output in response.outputs].index(name)
    output, raw = response.outputs[place], response.raw_output_contents[place]
    if output.datatype != "BYTES":
        return np.frombuffer(raw, _TYPES[output.datatype]).reshape(output.shape)
    texts, at = [], 0
    while at < len(raw):
        (size,) = struct.unpack_from("<I", raw, at)
        texts.append(raw[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return np.array(texts, object).reshape(output.shape)


def _changed(change: Callable[[pb.ModelInferRequest], object], **inputs: Any) -> pb.ModelInferRequest:
    request = infer_request(**inputs)
    change(request)
    return request


def _typed() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="tiny")
    tensor = request.inputs.add(name="history", datatype="BYTES", shape=[1, 2])
    tensor.contents.bytes_contents.extend([b"item-1", b"item-2"])
    k = request.inputs.add(name="k", datatype="INT32", shape=[1, 1])
    k.contents.int_contents.append(3)
    return request


def _mixed() -> pb.ModelInferRequest:
    request = _typed()
    request.raw_input_contents.append(as_bytes(["item-1", "item-2"]))
    return request


def _raw(*parts: bytes, shape: Sequence[int] = (1, 2), datatype: str = "BYTES") -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="tiny", raw_input_contents=parts)
    request.inputs.add(name="history", datatype=datatype, shape=shape)
    return request


def _parameter(name: str, **value: Any) -> pb.ModelInferRequest:
    request = infer_request()
    request.parameters[name].CopyFrom(pb.InferParameter(**value))
    return request


def _typed_wrong_field() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="tiny")
    tensor = request.inputs.add(name="history", datatype="BYTES", shape=[1, 2])
    tensor.contents.int64_contents.extend([1, 2])
    return request


def _typed_short() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="tiny")
    tensor = request.inputs.add(name="history", datatype="BYTES", shape=[1, 3])
    tensor.contents.bytes_contents.extend([b"item-1", b"item-2"])
    return request


def _shared_memory() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="tiny")
    tensor = request.inputs.add(name="history", datatype="BYTES", shape=[1, 2])
    tensor.parameters["shared_memory_region"].string_param = "region"
    tensor.parameters["shared_memory_byte_size"].int64_param = 20
    return request


_TWO = as_bytes(["item-1", "item-2"])

GOOD: Mapping[str, pb.ModelInferRequest] = {
    "raw": infer_request(),
    "typed": _typed(),
    "two rows": infer_request([["item-1"], ["item-2"]]),
    "k for each row": infer_request([["item-1"], ["item-2"]], k=[[3], [3]]),
    "user": infer_request(user_id=[["u"]]),
    "version": _changed(lambda r: setattr(r, "model_version", "1")),
    "one output": _changed(lambda r: r.outputs.add(name="ids")),
    "sequence": _parameter("sequence_id", int64_param=0),
    "timeout": _parameter("timeout", int64_param=10_000_000),
    "priority": _parameter("priority", uint64_param=1),
    "no events": infer_request(np.empty((1, 0), object)),
}
"""Requests that both answer."""

ODD: Mapping[str, pb.ModelInferRequest] = {
    "no model name": _changed(lambda r: setattr(r, "model_name", "")),
    "unknown model": _changed(lambda r: setattr(r, "model_name", "nowhere")),
    "unknown version": _changed(lambda r: setattr(r, "model_version", "9")),
    "version that is no number": _changed(lambda r: setattr(r, "model_version", "x")),
    "version below 1": _changed(lambda r: setattr(r, "model_version", "-3")),
    "no input": pb.ModelInferRequest(model_name="tiny"),
    "unknown input": _changed(lambda r: setattr(r.inputs[0], "name", "events")),
    "input given twice": _changed(lambda r: add_input(r, "history", [["item-1"]])),
    "unknown optional input": _changed(lambda r: add_input(r, "depth", [[1]], "INT32")),
    "wrong type": _raw(b"\x01\x00\x00\x00\x02\x00\x00\x00", datatype="INT32"),
    "type that is none": _changed(lambda r: setattr(r.inputs[0], "datatype", "TEXT")),
    "no type": _changed(lambda r: setattr(r.inputs[0], "datatype", "")),
    "too few axes": _raw(_TWO, shape=[2]),
    "too many axes": _raw(_TWO, shape=[1, 2, 1]),
    "no shape": _raw(_TWO, shape=[]),
    "axis below 0": _raw(_TWO, shape=[-1, 2]),
    "no rows": _raw(b"", shape=[0, 2]),
    "rows beyond the largest batch": infer_request([["item-1"]] * 257),
    "rows that differ": infer_request([["item-1"], ["item-2"]], user_id=[["u"]]),
    "k of two columns": infer_request(k=[[3, 3]]),
    "k of another type": _changed(lambda r: add_input(r, "k", [[3]], "INT64")),
    "too few elements": _raw(as_bytes(["item-1"])),
    "too many elements": _raw(as_bytes(["item-1"] * 3)),
    "length beyond the bytes": _raw(_TWO[:-1]),
    "half a length": _raw(_TWO + b"\x00\x00"),
    "k of too few bytes": _changed(lambda r: r.raw_input_contents.__setitem__(1, b"\x01\x00"), k=[[3]]),
    "k of too many bytes": _changed(lambda r: r.raw_input_contents.__setitem__(1, bytes(8)), k=[[3]]),
    "fewer raw values than inputs": _changed(lambda r: r.raw_input_contents.pop(), k=[[3]]),
    "raw and typed values": _mixed(),
    "typed values of another field": _typed_wrong_field(),
    "too few typed values": _typed_short(),
    "no values": _raw(),
    "unknown output": _changed(lambda r: r.outputs.add(name="titles")),
    "sequence id of another type": _parameter("sequence_id", bool_param=True),
    "sequence start of another type": _parameter("sequence_start", int64_param=1),
    "sequence end of another type": _parameter("sequence_end", string_param="yes"),
    "priority of another type": _parameter("priority", string_param="high"),
    "timeout of another type": _parameter("timeout", string_param="1s"),
    "priority below 0": _parameter("priority", int64_param=-5),
    "reserved parameter": _parameter("triton_mine", int64_param=1),
    "parameter without value": _parameter("priority"),
    "element count beyond all numbers": _raw(_TWO, shape=[1, 1 << 62]),
    "element count that wraps": _raw(_TWO, shape=[256, 1 << 60]),
}
"""Requests that both refuse, and with the same code, by what is odd about them."""

DIFFERENT: Mapping[str, tuple[pb.ModelInferRequest, str]] = {
    "one k for all rows": (infer_request([["item-1"], ["item-2"]], k=[[3]]), "OK"),
    "required input missing": (
        _changed(lambda r: (r.inputs.pop(0), r.raw_input_contents.pop(0)), k=[[3]]),
        "INVALID_ARGUMENT",  # Triton counts inputs, and leaves it to the model
    ),
    "more raw values than inputs": (_changed(lambda r: r.raw_input_contents.append(b"")), "INVALID_ARGUMENT"),
    "timeout below 0": (_parameter("timeout", int64_param=-5), "INVALID_ARGUMENT"),
    "unknown parameter": (_parameter("drop_sen", bool_param=True), "INVALID_ARGUMENT"),
    "shared memory": (_shared_memory(), "UNIMPLEMENTED"),
}
"""Requests that we answer otherwise than Triton, and with which code; docs/oip.md says why."""
