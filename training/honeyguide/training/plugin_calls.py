"""Names the model, the call and the batch where a plugin's own code fails."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from honeyguide.sdk.config import config_to
from honeyguide.sdk.errors import HoneyguideError, PluginError
from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.model import Model

__all__ = ["plugin_call", "shape_of"]


@contextmanager
def plugin_call(model: Model, call: str, batch: object = None) -> Iterator[None]:
    """Turns whatever a plugin's code raises into a `PluginError`, with the original as its cause.

    Args:
        model: whose code it is.
        call: what is called, such as "loss".
        batch: what it is called with: histories, or the arrays or tensors that they were encoded to.
    """
    try:
        yield
    except HoneyguideError:
        raise
    except Exception as error:  # boundary: a plugin's code may raise anything
        reason, shape = " ".join(str(error).split())[:300], shape_of(batch)
        options = ", ".join(f"{name}={value}" for name, value in config_to(model.config).items())
        short = isinstance(error, MemoryError) or "memory" in reason
        raise PluginError(
            f"model {model.name!r} failed in {call}{shape and f' on a batch of {shape}'} ({type(error).__name__}: "
            f"{reason}); its options: {options or 'none'}; "
            + ("make these or --batch-tokens smaller: memory is short" if short else "look at them, or ask its author")
        ) from error


def shape_of(batch: object) -> str:
    """Returns in words how many users a batch has and how long their histories are; "" where it does not say."""
    if isinstance(batch, HistoryBatch):
        return f"{len(batch)} users × {int(batch.lengths.max(initial=0))} events"
    if not isinstance(batch, Mapping):
        return ""
    if isinstance(inner := batch.get("history"), Mapping):  # a ranker's
        lists: tuple[int, ...] = getattr(batch.get("candidates"), "shape", ())
        return shape_of(inner) + (f" with {lists[1]} candidates each" if len(lists) == 2 else "")
    shapes: list[tuple[int, ...]] = [tuple(getattr(value, "shape", ())) for value in batch.values()]
    flat = next((shape for shape in shapes if len(shape) >= 2), None)
    return "" if flat is None else f"{flat[0]} users × {flat[1]} events"
