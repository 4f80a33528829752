"""The job as a Ray Serve deployment behind its gRPC proxy, with its own dynamic batching.

python server.py PORT HTTP_PORT JOB_FOLDER STUBS_FOLDER

The stubs are Honeyguide's own: Ray serves the user's protos.
"""

import signal
import sys

import ray
from ray import serve
from ray.serve.config import gRPCOptions

PORT, HTTP_PORT, FOLDER, STUBS = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
PEERS = __file__.rpartition("/ray/")[0]

ray.init(
    num_cpus=2,
    include_dashboard=False,
    log_to_driver=False,
    runtime_env={"env_vars": {"PYTHONPATH": f"{STUBS}:{PEERS}"}},
)
serve.start(
    proxy_location="HeadOnly",
    http_options={"host": "127.0.0.1", "port": HTTP_PORT},
    grpc_options=gRPCOptions(
        port=PORT,
        grpc_servicer_functions=["honeyguide.v1.recommender_service_pb2_grpc.add_RecommenderServiceServicer_to_server"],
    ),
)


# One replica for each core, less than a core claimed by each so that the proxy finds a place.
@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.5}, max_ongoing_requests=256)
class Recommender:
    """A replica."""

    def __init__(self, folder):
        from job import Job

        self._job = Job(folder)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0)
    async def _batch(self, requests):
        from honeyguide.v1 import recommender_service_pb2 as pb

        responses = [None] * len(requests)
        for name in ("r", "k"):
            own = [i for i, request in enumerate(requests) if request.pipeline == name]
            if not own:
                continue
            rows, scores = self._job.answer(name, [self._job.rows(requests[i].history.item_ids) for i in own])
            for i, best, values in zip(own, rows.tolist(), scores.tolist(), strict=True):
                responses[i] = pb.RecommendResponse(request_id="0" * 32)
                for row, score in zip(best, values, strict=True):
                    responses[i].items.add(item_id=self._job.items[row], score=score, source=1)
        return responses

    async def Recommend(self, request):
        """Answers one call."""
        return await self._batch(request)


serve.run(Recommender.bind(FOLDER), name="recommender")
print("ready", flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
serve.shutdown()
ray.shutdown()
