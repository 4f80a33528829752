from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from honeyguide.exporters.forward import open_session
from honeyguide.exporters.tracing import trace
from honeyguide.models.evidence.lookup import hash_neighbours, look_up_in_slots, look_up_in_table

pytestmark = pytest.mark.slow(6)


def lists(items: int, width: int) -> NDArray[np.int32]:
    """Draws up to ``width`` neighbours for each item, popular ones more often; none for every fifth."""
    rng = np.random.default_rng(0)
    neighbours = np.zeros((items + 1, width), np.int32)
    for row in range(1, items + 1):
        drawn = np.unique((items * rng.random(width if row % 5 else 0) ** 2).astype(np.int32)) + 1
        neighbours[row, : len(drawn)] = drawn
    return neighbours


def compared(neighbours: Tensor, lifts: Tensor, events: Tensor, candidates: Tensor) -> Tensor:
    """Finds by comparing all pairs, which is slow and cannot be wrong."""
    match = neighbours[events][:, None] == candidates[:, :, None, None].int()  # [B, n, H, M]
    return torch.einsum("bnhm,bhmt->bnht", match.float(), lifts[events])


@pytest.mark.parametrize(("items", "width"), [(1, 1), (40, 6), (600, 200)])
def test_what_is_looked_up_equals_what_comparing_finds(items: int, width: int) -> None:
    made = lists(items, width)
    neighbours = torch.from_numpy(made)
    lifts = torch.rand(items + 1, width, 5) * (neighbours > 0)[:, :, None]
    events, candidates = torch.randint(0, items + 1, (8, 3)), torch.randint(0, items + 1, (8, 50))
    candidates[:, :1] = neighbours[events[:, :1], 0]  # one of them is a neighbour, or PAD
    expected = compared(neighbours, lifts, events, candidates)
    assert (expected > 0).any() or items == 1
    assert torch.equal(look_up_in_table(neighbours, lifts, events, candidates), expected)
    slots, homes = map(torch.from_numpy, hash_neighbours(made))
    assert torch.equal(look_up_in_slots(slots, homes, lifts, events, candidates), expected)


def test_padding_has_no_evidence() -> None:
    made = lists(40, 6)
    pad, everything = torch.zeros(1, 2, dtype=torch.int64), torch.arange(41)[None]
    slots, homes = map(torch.from_numpy, hash_neighbours(made))
    lifts = torch.ones(41, 6, 5) * torch.from_numpy(made > 0)[:, :, None]
    for events, candidates in ((pad, everything), (everything, pad)):
        assert not look_up_in_table(torch.from_numpy(made), lifts, events, candidates).any()
        assert not look_up_in_slots(slots, homes, lifts, events, candidates).any()


def test_slots_take_hardly_more_room_than_the_lists() -> None:
    slots, homes = hash_neighbours(lists(600, 200))
    assert slots.dtype == homes.dtype == np.int32
    assert slots.shape == (601, 300)
    assert (np.sort(homes // 100, 0) == np.arange(3)[:, None]).all()  # each choice has slots of its own


def test_slots_answer_the_same_in_a_graph(tmp_path: Path) -> None:
    made = lists(40, 6)
    slots, homes = map(torch.from_numpy, hash_neighbours(made))
    lifts = torch.rand(41, 6, 5) * torch.from_numpy(made > 0)[:, :, None]

    class Lookup(nn.Module):
        def forward(self, events: Tensor, candidates: Tensor) -> Tensor:
            return look_up_in_slots(slots, homes, lifts, events, candidates)

    events, candidates = torch.randint(0, 41, (3, 4)), torch.randint(0, 41, (3, 7))
    batch, count = torch.export.Dim("batch"), torch.export.Dim("candidates")
    shapes = {"events": {0: batch}, "candidates": {0: batch, 1: count}}
    trace(Lookup(), {"events": events, "candidates": candidates}, shapes, ["lifts"], tmp_path / "lookup.onnx")
    events, everything = torch.arange(41)[:, None].expand(41, 4), torch.arange(41).expand(41, 41)
    answer = open_session(tmp_path / "lookup.onnx")({"events": events.numpy(), "candidates": everything.numpy()})
    assert np.array_equal(answer["lifts"], compared(torch.from_numpy(made), lifts, events, everything).numpy())
