"""Decides how the machine is used: threads, and whether graphs run on a GPU; opens ONNX sessions accordingly."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import faiss
import onnxruntime as ort  # type: ignore[import-untyped]  # it ships no types
import structlog

from honeyguide.server.bundles.cores import usable_cores

__all__ = ["CPU", "CUDA", "Runtime"]

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
_MOST_WORKERS = 8
"""More would wait for the interpreter, which each holds for a part of its batch; further cores are further threads."""
_EMBEDDED: Mapping[str, bytes] = MappingProxyType({})
"""No files beside a graph: its weights are inside."""
_FATAL_ONLY = 4
"""ONNX Runtime's severity: what goes wrong is raised, so that nothing needs to be written to stderr as well."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Share of the machine: how many batches run at once, how many threads each may use, and where graphs run."""

    workers: int
    """Batches computed at the same time, 1 or more."""
    threads: int
    """Threads of each graph run and each index search, 1 or more."""
    providers: tuple[str, ...] = (CPU,)
    """ONNX Runtime providers to ask for, best first."""

    @classmethod
    def detect(cls, threads: int = 0, workers: int = _MOST_WORKERS) -> Runtime:
        """Shares the cores out: full, never oversubscribed.

        Batches side by side, on one thread each, beat one batch at a time on all threads: on two cores batches of 8 to
        64 users gain a factor of 1.1 to 1.9 in user graph, rank graph and search, and one user loses nothing.

        Args:
            threads: cores to use; 0 is all that this process may keep busy.
            workers: batches computed at the same time at most.
        """
        cores = threads or usable_cores()
        each = -(-cores // workers)
        usable = CUDA in ort.get_available_providers() and _has_cuda_device()
        return cls(cores // each, each, (CUDA, CPU) if usable else (CPU,))

    def prepare_thread(self) -> None:
        """Prepares a thread that computes; called on it: FAISS keeps its thread count for each calling thread."""
        faiss.omp_set_num_threads(self.threads)

    def session(
        self, graph: bytes, threads: int = 0, *, name: str = "", weights: Mapping[str, bytes] = _EMBEDDED
    ) -> ort.InferenceSession:
        """Opens a graph; falls back from GPU to CPU with a line in the log.

        Args:
            graph: its serialised bytes; the session copies what it needs and keeps none of them.
            threads: what a run of it may use; 0 is all of the runtime's.
            name: what the log calls it.
            weights: contents of the files that the graph refers to, by the names it uses.
        """
        if self.providers[0] != CPU:
            try:
                # Finds the CUDA libraries that lie in site-packages; it prints what it misses.
                with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                    ort.preload_dlls()
                    session = self._open(graph, threads, weights, self.providers)
                if session.get_providers()[0] == self.providers[0]:
                    return session
                problem = "its libraries do not load"
            except Exception as error:  # boundary: the GPU runtime raises types of its own
                problem = type(error).__name__
            structlog.get_logger().warning("gpu_unusable", graph=name, problem=problem, falls_back_to=CPU)
        return self._open(graph, threads, weights, (CPU,))

    def _open(
        self, graph: bytes, threads: int, weights: Mapping[str, bytes], providers: Sequence[str]
    ) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or self.threads
        options.inter_op_num_threads = 1
        # Spinning threads take the cores from the other batch: a third of the throughput on two cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = _FATAL_ONLY
        contents = list(weights.values())
        options.add_external_initializers_from_files_in_memory(list(weights), contents, list(map(len, contents)))
        session = ort.InferenceSession(graph, options, providers=list(providers))
        # It would keep the graph for a second try on another provider, which `session` makes itself.
        session._model_bytes = None  # noqa: SLF001  # nothing public frees it
        return session


def _has_cuda_device() -> bool:
    """Whether the driver loads and knows a device; asked first because ONNX Runtime complains on stderr otherwise."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        count = ctypes.c_int(0)
        return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
    except (OSError, AttributeError):
        return False
