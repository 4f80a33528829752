"""Counts what one Recommend crosses between the servicer and its answer: modules, functions, calls and depth.

    python benchmarks/path.py [--trace]

A profile function sees each call of a Python function, in every thread, from the entry of
`RecommenderServicer.Recommend` to its return. Counted are the functions of Honeyguide, without generated stubs,
comprehensions and lambdas. Depth counts them on the stack, the servicer being 1; in the thread that computes it goes on
from where the query was handed over. The model is an untrained one that retrieves and ranks
(`tests/plugins_for_tests`), the user anonymous with two events.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import grpc

from honeyguide.server.app import Server
from honeyguide.server.settings import Settings
from honeyguide.v1.history_pb2 import History
from honeyguide.v1.recommender_service_pb2 import RecommendRequest
from honeyguide.v1.recommender_service_pb2_grpc import RecommenderServiceStub

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "plugins_for_tests"))

from bundles import make_bundle, tiny_host  # noqa: E402  # found by the line above

_OUTSIDE = ("_guard", "unary", "stream", "intercept_service")
"""Functions of the interceptor, which stand before the servicer."""


class Crossing:
    """Calls of one request, as a profile function sees them."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []
        """Module, function and depth."""
        self._loop = threading.get_ident()
        self._counting, self._handed_over = False, 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Takes one event of the interpreter, as `sys.setprofile` gives it."""
        if (module := _module(frame.f_code)) is None:
            return
        if frame.f_code.co_qualname == "RecommenderServicer.Recommend":
            if event == "call" and not self.calls:
                self._counting = True
            elif type(argument).__name__ == "RecommendResponse":
                self._counting = False
        if event == "call" and self._counting:
            depth = _depth(frame)
            if threading.get_ident() != self._loop:
                depth += self._handed_over
            elif frame.f_code.co_name == "submit":
                self._handed_over = depth
            self.calls.append((module, frame.f_code.co_qualname, depth))


def _module(code: CodeType) -> str | None:
    """Returns the path of a function's module within Honeyguide; None for functions that are not counted."""
    inside = "/honeyguide/" in code.co_filename and "_pb2" not in code.co_filename
    return code.co_filename.rpartition("/honeyguide/")[2] if inside and not code.co_name.startswith("<") else None


def _depth(frame: FrameType | None) -> int:
    depth = 0
    while frame is not None:
        depth += _module(frame.f_code) is not None and frame.f_code.co_name not in _OUTSIDE
        frame = frame.f_back
    return depth


async def cross(folder: Path, pipeline: dict[str, Any]) -> Crossing:
    """Answers one request by a server of its own, after one that warms it."""
    crossing = Crossing()
    places = {"repository": folder / "models", "events": folder / "events.db", "cold_items": folder / "items.db"}
    settings = Settings(**places, port=0, metrics_port=-1, pipelines={"p": pipeline})
    request = RecommendRequest(history=History(item_ids=["item-1", "item-2"]), k=5)
    threading.setprofile(crossing)
    async with (
        Server(settings, tiny_host()) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: Any = RecommenderServiceStub(channel)
        await stub.Recommend(request)
        crossing.calls.clear()
        sys.setprofile(crossing)
        await stub.Recommend(request)
        sys.setprofile(None)
    threading.setprofile(None)
    return crossing


def main() -> None:
    """Prints the figures with and without a rule, and every call with --trace."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_bundle(folder / "models", "tiny_ranker", model="tiny_ranker")
        for rules in ([], [{"name": "diversity"}]):
            calls = asyncio.run(cross(folder, {"model": "tiny_ranker", "rules": rules})).calls
            modules, functions = {module for module, *_ in calls}, {call[:2] for call in calls}
            stages = " → ".join(["retrieve", "rank", *(rule["name"] for rule in rules)])
            print(
                f"{stages}: {len(modules)} modules, {len(functions)} functions, {len(calls)} calls, "
                f"{max(depth for *_, depth in calls)} deep"
            )
            if "--trace" in sys.argv:
                print("".join(f"{'  ' * depth}{module} {function}\n" for module, function, depth in calls))


if __name__ == "__main__":
    main()
