"""Checks what serving uses of a model: its options, its import, and the arrays it makes of histories."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy

import numpy as np

from honeyguide.conformance.data import SPECS
from honeyguide.conformance.subject import Subject
from honeyguide.sdk import Arrays, HistoryBatch, TensorSpec
from honeyguide.sdk.config import config_from, config_to
from honeyguide.sdk.errors import ConfigError, ConformanceError
from honeyguide.sdk.examples import example_histories

__all__ = [
    "arrays_match_the_signature",
    "columns_of",
    "eight_threads_equal_one",
    "encoding_changes_no_input",
    "options_come_back_from_json",
    "serving_loads_no_heavy_library",
]

BATCHES = (1, 2, 17)


def options_come_back_from_json(subject: Subject) -> str:
    """The options survive the way through a checkpoint's and a bundle's JSON."""
    for config in (subject.cls.Config(), subject.config):
        try:
            back = config_from(subject.cls.Config, json.loads(json.dumps(config_to(config))))
        except (TypeError, ConfigError) as error:
            raise ConformanceError(
                f"the options do not come back from JSON ({error}); "
                "give every field of Config the type str, int, float, bool or a tuple of these"
            ) from error
        if back != config:
            raise ConformanceError(
                f"the options {config} come back from JSON as {back}; "
                "__post_init__ must leave valid options as they are"
            )
    return ""


def serving_loads_no_heavy_library(subject: Subject) -> str:
    """Importing the model, building it and encoding load neither torch nor another heavy library."""
    options = json.dumps(config_to(subject.config))
    arguments = [subject.cls.__module__, subject.cls.__qualname__, options, json.dumps(sys.path)]
    done = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConformanceError(
            f"a fresh process cannot use the model: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}; "
            "it must work without what training has imported"
        )
    for stage, heavy in json.loads(done.stdout).items():
        if heavy:
            raise ConformanceError(
                f"{stage} loads {', '.join(heavy)}, and a server would carry that: "
                "import it inside network(), and for types under `if TYPE_CHECKING:`"
            )
    return ""


def arrays_match_the_signature(subject: Subject) -> str:
    """What `encode` returns has the names, types and axes of `inputs`, for batches of 1, 2 and 17 of any length."""
    for data, spec in SPECS.items():
        model = subject.model(spec)
        signature = {tensor.name: tensor for tensor in model.inputs()}
        for size in BATCHES:
            for longest in (1, subject.longest - 1 or 1, 3 * subject.longest):
                batch = example_histories(spec, [1 + i % longest for i in range(size - 1)] + [longest])
                arrays = model.encode(batch)
                where = f"with {data}, for {size} histories of up to {longest} events"
                if set(arrays) != set(signature):
                    raise ConformanceError(
                        f"{where}, encode returns {sorted(arrays)} and inputs() describes {sorted(signature)}; "
                        "they must name the same arrays"
                    )
                _check_axes(arrays, signature, size, min(longest, subject.longest), where)
    return ""


def encoding_changes_no_input(subject: Subject) -> str:
    """`encode` leaves the histories as they were, and gives the same answer twice."""
    for data, spec in SPECS.items():
        model, batch = subject.model(spec), example_histories(spec, [1, 5, *[3 * subject.longest] * 6])
        before = deepcopy(batch)
        first = deepcopy(dict(model.encode(batch)))
        for name, was in columns_of(before).items():
            if not np.array_equal(was, columns_of(batch)[name]):
                raise ConformanceError(
                    f"encode changes {name} of the histories it is given (with {data}); other parts of the pipeline "
                    "read them too: work on a copy, such as `batch.items + 1` for `batch.items += 1`"
                )
        _check_equal(first, model.encode(batch), f"encode gives another answer the second time (with {data})")
    return ""


def eight_threads_equal_one(subject: Subject) -> str:
    """Eight threads that encode with one model at once get what one thread gets."""
    for data, spec in SPECS.items():
        model = subject.model(spec)
        batches = [example_histories(spec, [1 + (seed + i) % 12 for i in range(3)], seed) for seed in range(64)]
        alone = [deepcopy(dict(model.encode(batch))) for batch in batches]
        with _restless(), ThreadPoolExecutor(8) as pool:
            together = list(pool.map(model.encode, batches * 4))
        for arrays, expected in zip(together, alone * 4, strict=True):
            _check_equal(expected, arrays, f"eight threads get other arrays than one (with {data})")
    return ""


def _check_axes(arrays: Arrays, signature: dict[str, TensorSpec], size: int, length: int, where: str) -> None:
    for name, array in arrays.items():
        tensor = signature[name]
        if array.dtype != np.dtype(tensor.dtype):
            raise ConformanceError(
                f"{where}, encode returns {name!r} as {array.dtype} and inputs() says {tensor.dtype}; "
                f"return {name}.astype({tensor.dtype!r}), or say {str(array.dtype)!r} in inputs()"
            )
        shape = tuple({"batch": size, "length": length}.get(axis, axis) for axis in tensor.axes)  # type: ignore[arg-type]  # a fixed axis is its own number
        if tensor.axes[:1] != ("batch",) or array.shape != shape:
            raise ConformanceError(
                f"{where}, encode returns {name!r} of shape {array.shape}; its axes {tensor.axes} mean {shape}: "
                "the first axis is the batch, and the length is the longest history's, at most max_length"
            )


def _check_equal(expected: Arrays, arrays: Arrays, problem: str) -> None:
    if not all(np.array_equal(expected[name], arrays[name], equal_nan=False) for name in expected):
        raise ConformanceError(f"{problem}; it must keep nothing between calls: no buffers on self, no randomness")


def columns_of(batch: HistoryBatch) -> dict[str, np.ndarray]:
    """Returns what a batch holds, by name."""
    named = {name: getattr(batch, name) for name in ("items", "offsets", "times_ms", "event_types", "request_times_ms")}
    return {name: column for name, column in {**named, **batch.features}.items() if column is not None}


@contextmanager
def _restless() -> Iterator[None]:
    """Lets threads take turns a thousand times as often, so that a race shows."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


_PROGRAM = """
import importlib, json, operator, sys
module, name, options, path = sys.argv[1:]
sys.path[:] = json.loads(path)
from honeyguide.conformance.data import RICH
from honeyguide.sdk.config import config_from
from honeyguide.sdk.examples import example_histories
HEAVY = {"faiss", "jax", "lightning", "onnx", "onnxruntime", "tensorflow", "torch"}
loaded = lambda: sorted(HEAVY & set(sys.modules))
cls = operator.attrgetter(name)(importlib.import_module(module))
stages = {f"importing {module}": loaded()}
model = cls(config_from(cls.Config, json.loads(options)), RICH)
stages["constructing the model"] = loaded()
model.inputs(), model.encode(example_histories(RICH, [1, 3]))
print(json.dumps({**stages, "encode": loaded()}))
"""
