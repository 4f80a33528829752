"""Puts together what is asked, in the form each server speaks, and reads what it answers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from honeyguide.v1 import event_service_pb2, recommender_service_pb2
from serving.wire import decode, encode

__all__ = ["INFER", "RECOMMEND", "RECORD", "Best", "infer_request", "read_best", "recommend_request", "record_request"]

RECOMMEND = "/honeyguide.v1.RecommenderService/Recommend"
RECORD = "/honeyguide.v1.EventService/RecordEvents"
INFER = "/inference.GRPCInferenceService/ModelInfer"


@dataclass(frozen=True, slots=True)
class Best:
    """The items of an answer, best first."""

    items: tuple[str, ...]
    scores: tuple[float, ...]


def recommend_request(job: str, history: Sequence[str] = (), user: str | None = None) -> bytes:
    """Returns Honeyguide's request for ten items, of a history or of a stored user."""
    request = recommender_service_pb2.RecommendRequest(pipeline=job, k=10)
    if user is not None:
        request.user_id = user
    request.history.item_ids.extend(history)
    if not history:
        request.ClearField("history")
    return request.SerializeToString()


def record_request(user: str, item: str) -> bytes:
    """Returns a request to record one event."""
    event = event_service_pb2.Event(user_id=user, item_id=item, event_type="view", dwell_seconds=1.5)
    return event_service_pb2.RecordEventsRequest(events=[event]).SerializeToString()


def infer_request(job: str, rows: Sequence[int]) -> bytes:
    """Returns the Open Inference Protocol's request of one history, its rows as raw bytes."""
    shape = (1, len(rows))
    tensor = encode((1, "rows"), (2, "INT64"), (3, shape))
    return encode((1, job), (5, tensor), (7, struct.pack(f"<{len(rows)}q", *rows)))


def read_best(path: str, message: bytes, items: Sequence[str]) -> Best:
    """Reads an answer of `RECOMMEND` or `INFER`; raises `ValueError` where it has not ten items with scores, sorted.

    Args:
        path: the method.
        message: what it answered.
        items: ids of the catalogue's rows, for answers that have rows.
    """
    if path == RECOMMEND:
        answer = recommender_service_pb2.RecommendResponse.FromString(message)
        best = Best(tuple(item.item_id for item in answer.items), tuple(item.score for item in answer.items))
        if answer.degraded:
            raise ValueError(f"the answer is degraded: {list(answer.degraded_reasons)}")
    else:
        outputs = [decode(output)[1][0].decode() for output in decode(message)[5]]
        raw = dict(zip(outputs, decode(message)[6], strict=True))
        rows = [row for (row,) in struct.iter_unpack("<q", raw["items"])]
        best = Best(tuple(items[row] for row in rows), tuple(s for (s,) in struct.iter_unpack("<f", raw["scores"])))
    if len(best.items) != 10 or len(set(best.items)) != 10 or list(best.scores) != sorted(best.scores, reverse=True):
        raise ValueError(f"not ten different items, best first: {best}")
    return best
