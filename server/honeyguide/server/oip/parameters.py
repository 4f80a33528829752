"""Reads the parameters of a request: those that mean something here, and those of Triton's that must be well-formed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from honeyguide.oip.v2 import inference_pb2 as pb
from honeyguide.sdk.errors import InvalidArgument

__all__ = ["Parameters", "read_parameters"]

_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "k": ("int64_param",),
        "drop_seen": ("bool_param",),
        "timeout": ("int64_param",),
        # Of sequences and queues with levels, which pipelines are not: as well-formed as Triton wants them, no more.
        "sequence_id": ("int64_param", "string_param"),
        "sequence_start": ("bool_param",),
        "sequence_end": ("bool_param",),
        "priority": ("int64_param", "uint64_param"),
        "triton_enable_empty_final_response": ("bool_param",),
    }
)
_OF_PIPELINES = ("k", "drop_seen")
_NOT_NEGATIVE = ("timeout", "priority")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters that mean something."""

    k: int | None = None
    """Items for every row; None: it does not say."""
    drop_seen: bool | None = None
    """None: as the pipeline does."""
    timeout: float = 0.0
    """Seconds that the request may wait; 0: any time."""


def read_parameters(given: Mapping[str, pb.InferParameter], *, is_pipeline: bool) -> Parameters:
    """Reads a request's parameters; raises `InvalidArgument` for one that is unknown, or of another type."""
    values: dict[str, bool | int | str | float] = {}
    known = [name for name in _TYPES if is_pipeline or name not in _OF_PIPELINES]
    for name in sorted(given):
        kind, field = given[name].WhichOneof("parameter_choice"), f"parameters[{name}]"
        if name not in known:
            raise InvalidArgument("parameters", name, ", ".join(known))
        if kind not in _TYPES[name]:
            raise InvalidArgument(field, kind or "no value", " or ".join(_TYPES[name]))
        values[name] = value = getattr(given[name], kind)
        if name in _NOT_NEGATIVE and value < 0:
            raise InvalidArgument(field, value, "0 or more")
    k, drop_seen, timeout = values.get("k"), values.get("drop_seen"), values.get("timeout", 0)
    return Parameters(
        None if k is None else int(k), None if drop_seen is None else bool(drop_seen), float(timeout) / 1e6
    )
