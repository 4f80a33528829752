"""Lowers the precision of a graph that was traced: weights of 8 bits, or numbers of 16 bits throughout."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from honeyguide.sdk.errors import ExportError
from honeyguide.training.target_folder import writing

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

__all__ = ["EXACT", "PRECISIONS", "Precision"]


@dataclass(frozen=True, slots=True)
class Precision:
    """Numbers that a bundle's graphs compute with, and how far they may be from the network."""

    name: str
    convert: Callable[[onnx.ModelProto, Path], None] | None
    """Writes a converted graph; None leaves it as it was traced."""
    share: float
    """How far an output may be off beside what rounding is allowed: this much of its largest value, or of 1."""
    ndcg: float
    """How much NDCG@10 may differ from the network's after each stage."""

    @property
    def bound(self) -> str:
        """What is allowed beside rounding, in words; "" where nothing is."""
        return f", and {self.share:g} of the largest value or of 1, in {self.name}" if self.share else ""

    @property
    def cause(self) -> str:
        """Why a proof is likely to fail; "" where the precision is not why."""
        return f"{self.name} is too coarse for this network: export it in float32" if self.share else ""

    def allows(self, expected: NDArray[np.float32]) -> float:
        """Returns how far an output may be off beside what rounding is allowed."""
        return self.share * max(float(np.abs(expected).max()), 1.0)

    def apply(self, path: Path) -> None:
        """Converts the graph of a file in place; raises `ExportError` where it is too large or has no such form."""
        import onnx

        if self.convert is None:
            return
        if list(path.parent.glob(f"{path.name}.*")):
            raise ExportError(
                f"{path.name} has weights of 2 GB or more, which have no form in {self.name}: use float32"
            )
        graph = onnx.load(path)
        try:
            with writing(path, "the graph"), _quiet():
                self.convert(graph, path)
        except (ValueError, RuntimeError, onnx.shape_inference.InferenceError) as error:
            raise ExportError(
                f"{path.name} has no form in {self.name} ({type(error).__name__}): use float32"
            ) from error


def _to_int8(graph: onnx.ModelProto, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # type: ignore[import-untyped]  # it ships no types

    del graph.graph.value_info[:]  # some are of before the exporter folded transposed weights
    quantize_dynamic(graph, path, op_types_to_quantize=["MatMul", "Gemm", "LSTM"], weight_type=QuantType.QInt8)


def _to_float16(graph: onnx.ModelProto, path: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16  # type: ignore[import-untyped]  # none

    onnx.save(convert_float_to_float16(graph, keep_io_types=True), path)


EXACT = Precision("float32", None, share=0.0, ndcg=0.001)
PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        each.name: each
        for each in (
            EXACT,
            Precision("float16", _to_float16, share=0.05, ndcg=0.005),
            Precision("int8", _to_int8, share=0.1, ndcg=0.005),
        )
    }
)
"""What a bundle can be exported in, by name."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what the converters say of every graph: that it was not prepared, and which constants they cut off."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"the float32 number .* will be truncated", UserWarning)
        try:
            yield
        finally:
            root.setLevel(level)
