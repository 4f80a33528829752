"""A graph that takes too long is ended between two of its nodes; one that does not is left alone."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from honeyguide.server.bundles.graph import Graph
from honeyguide.server.bundles.run_limit import RunLimit
from honeyguide.server.bundles.runtime import Runtime

SIDE, STEPS = 256, 2000


@pytest.fixture(scope="module")
def slow() -> Graph:
    """A graph of thousands of multiplications one after another: seconds."""
    nodes = [helper.make_node("MatMul", [f"x{step}", "w"], [f"x{step + 1}"]) for step in range(STEPS)]
    nodes.append(helper.make_node("Identity", [f"x{STEPS}"], ["y"]))
    x, w = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [SIDE, SIDE]) for name in ("x0", "w"))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [SIDE, SIDE])
    model = helper.make_model(
        helper.make_graph(nodes, "slow", [x, w], [y]), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    return Graph(Runtime(1, 1).session(model.SerializeToString()))


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return {"x0": np.eye(SIDE, dtype=np.float32), "w": np.eye(SIDE, dtype=np.float32)}


def test_a_run_ends_when_its_time_is_over(slow: Graph, arrays: dict[str, np.ndarray]) -> None:
    start = time.monotonic()
    with RunLimit(0.05) as limit, pytest.raises(Exception, match="terminate"):  # the runtime's own
        slow.run(arrays, ["y"], limit)
    assert limit.passed
    assert time.monotonic() - start < 1


def test_a_run_that_is_done_in_time_is_left_alone() -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "fast",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    graph = Graph(Runtime(1, 1).session(model.SerializeToString()))
    with RunLimit(5.0) as limit:
        assert graph.run({"x": np.ones(1, np.float32)}, ["y"], limit)[0].tolist() == [1.0]
    assert not limit.passed
