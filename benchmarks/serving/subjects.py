"""Lists everything that is measured: which server, on which graphs, asked for what."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from honeyguide.server.settings import Settings
from serving import environments, life, measures, servers
from serving.bodies import INFER, RECOMMEND, Best, infer_request, recommend_request
from serving.environments import LENGTH, Bundle, Python
from serving.measures import Measure, Sample
from serving.processes import Group
from serving.servers import Serve, Serving

__all__ = ["CALLERS", "Checked", "Subject", "checked_histories", "subjects"]

CALLERS = (1, 16, 64)
_CHECKED = 16
"""Histories whose answers are compared with the job in process, each round and of each server."""


@dataclass(frozen=True)
class Checked:
    """How a server is asked, and on whose graphs it answers."""

    path: str
    ask: Callable[[str, Sequence[str]], bytes]
    bundle: Bundle


@dataclass(frozen=True)
class Subject:
    """A server, or a ceiling, and what is measured of it."""

    name: str
    serve: Serve
    measures: tuple[Measure, ...]
    checked: Checked | None = None
    """None: it answers nothing that could be wrong."""
    missing: str = ""
    """Why it cannot be measured here; empty: it can."""


def checked_histories(bundle: Bundle) -> list[Sample]:
    """Returns jobs, histories and what the job in process answers."""
    sys.path.append(str(environments.PEERS))
    from job import Job  # type: ignore[import-not-found]  # the peers' own

    work, items = Job(bundle.job), bundle.items()
    stream = [item for history in bundle.histories().values() for item in history]
    starts = [number * 997 for number in range(_CHECKED)]
    answers: list[Sample] = []
    for job in ("r", "k"):
        for start in starts:
            history = stream[start : start + LENGTH]
            rows, scores = work.answer(job, [work.rows(history)])
            best = Best(tuple(items[row] for row in rows[0].tolist()), tuple(scores[0].tolist()))
            answers.append((job, history, best))
    return answers


def subjects(peers: Path, cache: Path) -> Iterator[Subject]:
    """Makes what is missing, then yields every subject, in the order of a round."""
    ours = Python(Path(sys.executable))
    old_python = environments.old_python(cache)
    old = environments.bundle(cache / "bundle-old", old_python, environments.OLD_COMMIT)
    new = environments.bundle(cache / "bundle", ours, environments.sources_now())
    triton_python = environments.peer_python("triton", peers)

    def ids(bundle: Bundle) -> Checked:
        return Checked(RECOMMEND, recommend_request, bundle)

    def rows(bundle: Bundle) -> Checked:
        row_of = {item: row for row, item in enumerate(bundle.items())}
        return Checked(INFER, lambda job, history: infer_request(job, [row_of[item] for item in history]), bundle)

    for name, bundle in (("", new), (", old graphs", old)):
        sizes = [("r", 2, 8), ("r", 2, 32), ("r", 1, 1), ("k", 2, 8), ("k", 2, 32), ("k", 1, 1)]
        yield Subject(f"in process{name}", nothing, tuple(measures.ceilings(ours, bundle, *size) for size in sizes))
    for kind in ("aio", "native"):
        empty = tuple(measures.calls("nothing", "/bench.Bench/Nothing", b"", callers) for callers in CALLERS)
        yield Subject(f"empty handler, {kind}", servers.empty(ours, kind), empty)
    transports = "transport" in Settings.model_fields
    without = "" if transports else "this commit has no choice of transports"
    native = servers.honeyguide(ours, new, transport="native") if transports else servers.honeyguide(ours, new)
    grpcio = servers.honeyguide(ours, new, transport="grpcio") if transports else servers.honeyguide(ours, new)
    on_old = servers.honeyguide(ours, old, transport="native") if transports else servers.honeyguide(ours, old)
    tls = servers.honeyguide(ours, new, tls=True, transport="grpcio")
    yield Subject(
        "Honeyguide, native",
        native,
        (
            *inline(ids(new), CALLERS),
            *stored(CALLERS),
            *(measures.streamed(ours, new, job) for job in ("r", "k")),
            measures.scored(ours, "k"),
            life.lifelike(new, 64),
            measures.recorded(64),
        ),
        ids(new),
        without,
    )
    yield Subject(
        "Honeyguide, native, 2 processes",
        servers.honeyguide(ours, new, transport="native", processes=2),
        (*inline(ids(new), CALLERS), *stored((64,)), life.lifelike(new, 64), measures.recorded(64)),
        ids(new),
        without,
    )
    yield Subject("Honeyguide, native, old graphs", on_old, inline(ids(old), (64,)), ids(old), without)
    yield Subject(
        "Honeyguide, grpcio",
        grpcio,
        (*inline(ids(new), CALLERS), *stored((64,)), life.lifelike(new, 64), measures.recorded(64)),
        ids(new),
    )
    yield Subject(
        "Honeyguide, grpcio, 2 processes",
        servers.honeyguide(ours, new, transport="grpcio", processes=2),
        inline(ids(new), (64,)),
        ids(new),
        without,
    )
    yield Subject("Honeyguide, grpcio, TLS", tls, inline(ids(new), (1, 64)), ids(new), without)
    yield Subject("nginx, TLS, before native", servers.nginx(ours, new), inline(ids(new), (1, 64)), ids(new), without)
    for name, bundle, callers in (("", new, CALLERS), (", old graphs", old, (64,))):
        for instances in (2, 1):
            yield Subject(
                f"Triton, {instances} instance{'s' * (instances > 1)}{name}",
                servers.triton(triton_python, bundle, instances),
                inline(rows(bundle), callers),
                rows(bundle),
            )
    for processes in (1, 2):
        yield Subject(
            f"naive grpc.aio, {processes} process{'es' * (processes > 1)}",
            servers.naive(ours, new, processes),
            inline(ids(new), CALLERS),
            ids(new),
        )
    ray, ml = environments.peer_python("ray", peers), environments.peer_python("mlserver", peers)
    yield Subject("Ray Serve", servers.ray_serve(ray, new), inline(ids(new), CALLERS), ids(new))
    yield Subject("MLServer", servers.mlserver(ml, new), inline(rows(new), CALLERS), rows(new))
    yield Subject(
        f"commit {environments.OLD_COMMIT}",
        servers.honeyguide(old_python, old, users=False),
        (*inline(ids(old), CALLERS), measures.recorded(64)),
        ids(old),
    )


def inline(checked: Checked, callers: Sequence[int]) -> tuple[Measure, ...]:
    """Returns both jobs with a history in the request, by so many callers each."""
    history = checked.bundle.history()
    return tuple(
        measures.calls(f"{job.upper()}, inline", checked.path, checked.ask(job, history), count)
        for job in ("r", "k")
        for count in callers
    )


def stored(callers: Sequence[int]) -> tuple[Measure, ...]:
    """Returns both jobs for a stored user, whose vector is in the cache after the first call."""
    user = environments.STORED[0]
    return tuple(
        measures.calls(f"{job.upper()}, stored", RECOMMEND, recommend_request(job, user=user), count)
        for job in ("r", "k")
        for count in callers
    )


@contextmanager
def nothing(_folder: Path, _cores: Sequence[int]) -> Iterator[Serving]:
    """Serves nothing: a ceiling needs no server."""
    yield Serving(0, Group(()))
