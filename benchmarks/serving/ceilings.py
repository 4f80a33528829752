"""Does the job with nothing around it: the rate that a server on these cores could reach if serving cost nothing.

python -m serving.ceilings JOB_FOLDER JOB THREADS BATCH SECONDS        prints JSON
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

__all__ = ["ceiling"]


def ceiling(folder: Path, job: str, threads: int, batch: int, seconds: float) -> dict[str, float]:
    """Answers batches of real histories in so many threads; returns users a second and a batch's percentiles."""
    sys.path.append(str(Path(__file__).parent / "peers"))
    from job import Job  # type: ignore[import-not-found]  # the peers' own

    from serving.environments import LENGTH, Bundle
    from serving.generator import percentiles

    work = Job(folder)
    stream = [item for items in Bundle(folder.parent).histories().values() for item in items]
    batches = [
        [work.rows(stream[start : start + LENGTH]) for start in range(first, first + batch)]
        for first in range(0, 64 * batch, batch)
    ]
    work.answer(job, batches[0])
    times: list[float] = []
    start = perf_counter()

    def repeat(own: Sequence[Sequence[Sequence[int]]]) -> None:
        while (begun := perf_counter()) - start < seconds:
            work.answer(job, own[len(times) % len(own)])
            times.append(perf_counter() - begun)

    workers = [threading.Thread(target=repeat, args=(batches,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"requests_per_s": len(times) * batch / (perf_counter() - start)} | percentiles(times)


if __name__ == "__main__":
    folder, job, threads, batch, seconds = sys.argv[1:]
    print(json.dumps(ceiling(Path(folder), job, int(threads), int(batch), float(seconds))))
