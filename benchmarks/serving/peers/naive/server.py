"""The server that everybody writes first: grpc.aio, one call at a time, no batches.

python server.py PORT JOB_FOLDER        started once or twice on one port (SO_REUSEPORT)
"""

import asyncio
import sys
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).parents[1]))
from job import Job

from honeyguide.v1 import recommender_service_pb2 as pb
from honeyguide.v1.recommender_service_pb2_grpc import (
    RecommenderServiceServicer,
    add_RecommenderServiceServicer_to_server,
)


class Recommender(RecommenderServiceServicer):
    """Answers in the event loop: a call takes less time than handing it to a thread."""

    def __init__(self, job):
        """Takes the job."""
        self._job = job

    async def Recommend(self, request, context):
        """Answers one call."""
        rows, scores = self._job.answer(request.pipeline, [self._job.rows(request.history.item_ids)])
        response = pb.RecommendResponse(request_id="0" * 32)
        for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True):
            response.items.add(item_id=self._job.items[row], score=score, source=pb.SOURCE_RETRIEVED)
        return response


async def main():
    server = grpc.aio.server(options=[("grpc.so_reuseport", 1)])
    add_RecommenderServiceServicer_to_server(Recommender(Job(sys.argv[2])), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    print("ready", flush=True)
    await server.wait_for_termination()


asyncio.run(main())
