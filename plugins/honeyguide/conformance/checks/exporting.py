"""Checks a network's ONNX graphs: every axis stays free, and they compute what the network computes."""

from __future__ import annotations

from honeyguide.conformance.checks.encoding import BATCHES
from honeyguide.conformance.checks.network import every_candidate
from honeyguide.conformance.data import RICH
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.errors import ConformanceError
from honeyguide.sdk.examples import example_histories
from honeyguide.sdk.manifest import Manifest

__all__ = ["axes_are_free", "torch_equals_onnx"]


def axes_are_free(subject: Subject) -> str:
    """The network's graphs can be made, and run for any batch and length."""
    from honeyguide.exporters.forward import open_session

    if isinstance(subject.bundle, Manifest):
        return ""  # its proof ran them all
    graph = open_session(subject.graphs[subject.user_output if subject.cls.retrieves else "scores"])
    for size in BATCHES:
        for length in (1, 2, subject.longest):
            batch = example_histories(RICH, [length] * size)
            more = (
                {}
                if subject.cls.retrieves
                else dict(
                    zip(
                        ("candidates", "retrieval_scores"),
                        (t.numpy() for t in every_candidate(subject, RICH, size)),
                        strict=True,
                    )
                )
            )
            try:
                (answer, *_) = graph({**subject.model(RICH).encode(batch), **more}).values()
            except Exception as error:  # boundary: ONNX Runtime raises classes of its own
                raise ConformanceError(
                    f"the graph fails for {size} histories of {length} events ({' '.join(str(error).split())[:200]}); "
                    "look for a number read from a shape when it is traced, such as int(x.shape[1]), "
                    "and write .contiguous() after a Conv1d that an LSTM follows"
                ) from error
            if len(answer) != size:
                raise ConformanceError(
                    f"the graph gives {len(answer)} rows for {size} histories; keep the batch's axis"
                )
    return ""


def torch_equals_onnx(subject: Subject) -> str:
    """The graphs give what the network gives, for batches of 1, 2 and 17 and lengths of 1, 2 and the longest."""
    if not isinstance(subject.bundle, Manifest):
        raise subject.bundle
    return ""  # a bundle is proven before it is written
