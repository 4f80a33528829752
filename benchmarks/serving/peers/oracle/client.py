"""Calls a server with an unmodified tritonclient, in each of its ways; prints what came back: ``client.py ADDRESS``."""

from __future__ import annotations

import asyncio
import json
import queue
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import tritonclient.grpc as sync
import tritonclient.grpc.aio as aio
from tritonclient.utils import InferenceServerException

ROWS = 3
told: dict[str, Any] = {}


def history(kind: Any, rows: int = ROWS) -> list[Any]:
    """Returns the input of a pipeline."""
    tensor = kind.InferInput("history", [rows, 2], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"item-1", b"item-2"]] * rows, object))
    return [tensor]


def shapes(result: Any) -> dict[str, list[int]]:
    """Returns the shapes of what came back, read as this client reads it."""
    return {name: list(result.as_numpy(name).shape) for name in ("ids", "scores")}


def outcome(call: Callable[[], Any]) -> str:
    """Returns the code of a call that may fail."""
    try:
        call()
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode.")
    return "OK"


def synchronous(url: str) -> None:
    """Calls every method of the sync client that a server can answer."""
    with sync.InferenceServerClient(url) as client:
        told["live"], told["ready"] = client.is_server_live(), client.is_server_ready()
        told["model ready"] = [client.is_model_ready("tiny"), client.is_model_ready("tiny", "9")]
        told["server"] = client.get_server_metadata(as_json=True)["name"]
        told["metadata"] = client.get_model_metadata("tiny", as_json=True)["inputs"][0]
        told["config"] = client.get_model_config("tiny", as_json=True)["config"]["max_batch_size"]
        told["index"] = [each["name"] for each in client.get_model_repository_index(as_json=True)["models"]]
        told["infer"] = shapes(client.infer("tiny", history(sync), request_id="mine"))
        told["infer by parameters"] = shapes(client.infer("tiny", history(sync), parameters={"k": 4}))
        answers: queue.Queue[Any] = queue.Queue()
        client.async_infer("tiny", history(sync), lambda result, error: answers.put(shapes(result)))
        told["async infer"] = answers.get(timeout=20)
        client.start_stream(lambda result, error: answers.put(str(error)[:20] if error else result.get_response().id))
        for number in range(5):
            client.async_stream_infer("nowhere" if number == 2 else "tiny", history(sync), request_id=str(number))
        told["stream"] = [answers.get(timeout=20) for _ in range(5)]
        client.stop_stream()
        counts = client.get_inference_statistics("tiny", as_json=True)["model_stats"][0]["inference_stats"]
        told["queue"] = int(counts["queue"]["count"])
        told["unload and load"] = [outcome(lambda: client.unload_model("tiny")), client.is_model_ready("tiny")]
        told["unload and load"] += [outcome(lambda: client.load_model("tiny")), client.is_model_ready("tiny")]
        told["codes"] = {
            "unknown model": outcome(lambda: client.infer("nowhere", history(sync))),
            "override": outcome(lambda: client.load_model("tiny", config="{}")),
            "classification": outcome(
                lambda: client.infer("tiny", history(sync), outputs=[sync.InferRequestedOutput("ids", class_count=2)])
            ),
            "shared memory": outcome(client.get_system_shared_memory_status),
            "trace": outcome(client.get_trace_settings),
            "log": outcome(client.get_log_settings),
        }


async def asynchronous(url: str) -> None:
    """Calls by the asyncio client."""

    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number in range(3):
            yield {"model_name": "tiny", "inputs": history(aio), "request_id": str(number)}

    async with aio.InferenceServerClient(url) as client:
        told["aio live"] = await client.is_server_live()
        told["aio infer"] = shapes(await client.infer("tiny", history(aio)))
        told["aio stream"] = [shapes(result) async for result, _ in client.stream_infer(requests())]


if __name__ == "__main__":
    synchronous(sys.argv[1])
    asyncio.run(asynchronous(sys.argv[1]))
    print(json.dumps(told))
