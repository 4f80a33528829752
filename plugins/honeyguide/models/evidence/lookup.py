"""Finds the evidence of pairs of items by looking it up, in a form that ONNX Runtime is fast at.

Of small catalogues there is a table of all pairs. It is computed from constants alone, so a graph holds the compact
lists, and ONNX Runtime makes the table once, when it loads the graph. Of larger ones each item has a row of hash slots,
about as large as its list (cuckoo hashing: Pagh & Rodler, 2004; with three choices: Fotakis et al., 2005).

B users, n candidates, H newest events, N items, M neighbours, T tables of evidence.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

__all__ = ["CELLS", "hash_neighbours", "look_up_in_slots", "look_up_in_table"]

CELLS = 1 << 24
"""The largest table of all pairs, 32 MB: of 4,095 items."""
_CHOICES = 3
_ROOM = 0.5  # slots of each choice for each neighbour: 1.5 in all, where 1.1 nearly always do
_LEAST = 32  # slots of each choice: with few, four neighbours may share their three
_CHUNK = 4096  # items whose neighbours are placed at a time
_ROUNDS = 500
_TRIES = 20


def look_up_in_table(neighbours: Tensor, lifts: Tensor, events: Tensor, candidates: Tensor) -> Tensor:
    """Returns [B, n, H, T] lifts of candidates after events, zeros where they are no neighbours.

    Args:
        neighbours: [N + 1, M] int32 tokens by token, 0 where there are fewer; none of PAD.
        lifts: [N + 1, M, T].
        events: [B, H] tokens.
        candidates: [B, n] tokens.
    """
    items, width = neighbours.shape
    # Places in the lists, 0 for none: 16 bits a pair. It has its shape from the start, for a view would be a copy more.
    places = torch.arange(1, width + 1, dtype=torch.int32, device=events.device).expand(items, width)
    places = places.where(neighbours > 0, 0).to(torch.int16)
    pairs = torch.arange(items, device=events.device)[:, None] * items + neighbours.long()
    empty = torch.zeros(items * items, 1, dtype=torch.int16, device=events.device)
    table = empty.scatter(0, pairs.reshape(-1, 1), places.reshape(-1, 1))
    place = functional.embedding(events[:, None, :] * items + candidates[:, :, None], table).squeeze(3)  # [B, n, H]
    entry = events[:, None, :] * (width + 1) + place
    return functional.embedding(entry, functional.pad(lifts, (0, 0, 1, 0)).flatten(0, 1))


def look_up_in_slots(slots: Tensor, homes: Tensor, lifts: Tensor, events: Tensor, candidates: Tensor) -> Tensor:
    """Returns what `look_up_in_table` does, with ``slots`` and ``homes`` of `hash_neighbours`."""
    width = lifts.shape[1]
    row = events[:, None, :].int() * slots.shape[1]
    code = candidates[:, :, None].int() * _factor(width)
    place = torch.full((), width, dtype=torch.int32, device=events.device)
    for home in homes:
        there = functional.embedding(row + functional.embedding(candidates, home[:, None]), slots.view(-1, 1))
        place = torch.minimum(place, (there.squeeze(3) - code).abs())
    entry = events[:, None, :] * (width + 1) + place
    return functional.embedding(entry, functional.pad(lifts, (0, 0, 0, 1)).flatten(0, 1))


def hash_neighbours(neighbours: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Gives each neighbour one of three slots in its item's row.

    Args:
        neighbours: (N + 1, M) tokens by token, 0 where there are fewer.

    Returns:
        (N + 1, S) slots, each a neighbour's token · 2 (M + 1) + its place in the list, or what is nobody's; and
        (3, N + 1) the slots in which a token may be.

    Raises `RuntimeError` where twenty draws of places leave a neighbour without a slot.
    """
    items, width = neighbours.shape
    third = max(round(width * _ROOM), _LEAST)
    rng = np.random.default_rng(0)
    for _ in range(_TRIES):
        homes = (
            rng.integers(0, third, (_CHOICES, items), np.int32) + np.arange(_CHOICES, dtype=np.int32)[:, None] * third
        )
        rows = range(0, items, _CHUNK)
        parts = [_placed(neighbours[row : row + _CHUNK], homes, third * _CHOICES, rng) for row in rows]
        placed = [part for part in parts if part is not None]
        if len(placed) == len(parts):
            break
    else:
        raise RuntimeError(f"no places for the neighbours of {items} items in {third * _CHOICES} slots")
    slots = np.concatenate(placed)
    codes = np.take_along_axis(neighbours, np.maximum(slots, 0), 1) * _factor(width) + slots
    return np.where(slots < 0, -_factor(width), codes).astype(np.int32), homes


def _placed(
    neighbours: NDArray[np.int32], homes: NDArray[np.int32], size: int, rng: np.random.Generator
) -> NDArray[np.int32] | None:
    """Returns (items, size) the place in the list of whoever has a slot, -1 for nobody; None where it goes round."""
    slots = np.full((len(neighbours), size), -1, np.int32)
    rows, places = np.nonzero(neighbours)
    choices = rng.integers(0, _CHOICES, len(rows))
    for _ in range(_ROUNDS):
        if not len(rows):
            return slots
        at = homes[choices, neighbours[rows, places]]
        before = slots[rows, at]
        slots[rows, at] = places  # of several that come at once the last one stays
        stays = slots[rows, at] == places
        moved = stays & (before >= 0)  # whoever was there looks for another place
        rows, places, choices = (
            np.concatenate([came[~stays], left[moved]])
            for came, left in ((rows, rows), (places, before), (choices, choices))
        )
        choices = (choices + rng.integers(1, _CHOICES, len(rows))) % _CHOICES
    return None


def _factor(width: int) -> int:
    """A code's distance to another token's is at least half of this, and more than any place."""
    return 2 * (width + 1)
