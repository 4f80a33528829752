import torch

from honeyguide.models.knn.popularity import Popularity
from honeyguide.sdk import HistoryBatch


def test_it_decides_between_equals_and_nothing_else() -> None:
    popularity = Popularity(4)
    popularity.observe(HistoryBatch.from_lists([[2, 1], [2], []]))
    scores = popularity(torch.tensor([[0.0, 0.0, 0.0, 1e-3]]))
    assert scores.argsort(descending=True).tolist() == [[3, 2, 1, 0]]
    assert (scores - torch.tensor([0.0, 5e-7, 1e-6, 1e-3])).abs().max() < 1e-9


def test_without_events_all_are_alike() -> None:
    popularity = Popularity(3)
    popularity.observe(HistoryBatch.from_lists([[]]))
    assert popularity.share.tolist() == [0.0, 0.0, 0.0]
