"""Lets servers of both transports answer all kinds of calls for minutes: memory and descriptors must stay flat."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable

from faults.callers import Caller, calling, code_of, event, recommend_request
from faults.material import ITEMS
from faults.registry import Bench, Outcome
from honeyguide.v1.event_service_pb2 import DeleteUserRequest, ListEventsRequest
from honeyguide.v1.model_service_pb2 import ListModelsRequest, LoadModelRequest
from honeyguide.v1.recommender_service_pb2 import (
    RecommendStreamRequest,
    SimilarItemsRequest,
    StreamOptions,
    UserBatch,
    UserRow,
)

__all__ = ["soak"]

_USERS = 400
_PAUSE = 0.01
"""Seconds between two calls of a caller: the load of a calm day."""


def soak(bench: Bench) -> Outcome:
    """Calls both servers in turn, with a swap and a deleted user now and then."""
    outcome = Outcome(figures={"calls": 0, "failed": 0})
    seconds = bench.amount(600, 20)
    lock = threading.Lock()
    codes: Counter[str] = Counter()
    with (
        bench.server("native", transport="native", state_cache_users=_USERS) as native,
        bench.server("grpcio", transport="grpcio", state_cache_users=_USERS) as grpcio,
    ):
        servers = {"native": native, "grpcio": grpcio}

        def call(number: int, going: Callable[[], bool]) -> None:
            count = number
            with Caller(list(servers.values())[number % 2].address) as caller:
                while going():
                    code = code_of(lambda: _one(caller, count))  # noqa: B023
                    count += 2
                    with lock:
                        codes[code] += 1
                        outcome.add(calls=1, failed=code != "OK")
                    time.sleep(_PAUSE)

        samples: dict[str, list[tuple[float, int]]] = {name: [] for name in servers}
        with calling(4, call):
            begun = time.monotonic()
            while time.monotonic() - begun < seconds:
                time.sleep(max(0.5, seconds / 120))
                for name, server in servers.items():
                    samples[name].append((server.memory(), server.descriptors()))
        for code in codes.keys() - {"OK"}:
            outcome.expect(False, f"{codes[code]} calls ended with {code}")
        for name, taken in samples.items():
            third = len(taken) // 3
            memory = [statistics.median(m for m, _ in part) for part in (taken[third : 2 * third], taken[2 * third :])]
            files = [max(f for _, f in part) for part in (taken[third : 2 * third], taken[2 * third :])]
            outcome.figures[f"{name}_mib"] = round(memory[1], 1)
            outcome.figures[f"{name}_grown_mib"] = grown = round(memory[1] - memory[0], 1)
            outcome.figures[f"{name}_descriptors_grown"] = files[1] - files[0]
            outcome.expect(grown <= 0.05 * memory[0], f"{name}: memory grew by {grown} MiB in the last third")
            outcome.expect(files[1] - files[0] <= 8, f"{name}: descriptors grew from {files[0]} to {files[1]}")
            outcome.expect("Traceback" not in servers[name].said(), f"{name}: a traceback in its log")
    return outcome


def _one(caller: Caller, count: int) -> object:
    """Makes one call; which kind, and whose, goes by its number."""
    user, item = f"user-{count * 31 % _USERS}", f"item-{count * 17 % ITEMS}"
    if count % 997 == 1:
        name = ("near", "both")[count % 2]
        return caller.models.LoadModel(LoadModelRequest(name=name, version=1 + count // 2 % 2), timeout=20)
    match count // 2 % 20:
        case 0 | 1 | 2 | 3:
            return caller.events.RecordEvents(_record(user, item), timeout=10)
        case 4:
            return caller.recommender.SimilarItems(SimilarItemsRequest(item_id=item), timeout=10)
        case 5:
            return caller.events.ListEvents(ListEventsRequest(user_id=user), timeout=10)
        case 6:
            return caller.models.ListModels(ListModelsRequest(), timeout=10)
        case 7:
            return caller.events.DeleteUser(DeleteUserRequest(user_id=user), timeout=20)
        case 8:
            rows = [UserRow(user_id=f"user-{(count + number) % _USERS}") for number in range(20)]
            messages = [
                RecommendStreamRequest(options=StreamOptions(pipeline="both")),
                RecommendStreamRequest(batch=UserBatch(sequence=1, rows=rows)),
            ]
            return list(caller.recommender.RecommendStream(iter(messages), timeout=20))
        case 9 | 10 | 11:
            return caller.recommender.Recommend(recommend_request(item, user=user, pipeline="both"), timeout=10)
    return caller.recommender.Recommend(recommend_request(user=user), timeout=10)


def _record(user: str, item: str):  # type: ignore[no-untyped-def]  # a message of generated code
    from honeyguide.v1.event_service_pb2 import RecordEventsRequest

    return RecordEventsRequest(events=[event(user, item)])
