import torch

from honeyguide.models.evidence.shares import event_shares


def test_help_is_shared_out_and_harm_counts_nothing() -> None:
    contributions = torch.tensor([[[3.0, -5.0, 1.0, 7.0], [-1.0, -2.0, -3.0, -4.0]]])
    found = event_shares(contributions, torch.tensor([[4, 2, 9, 0]]))
    expected = torch.tensor([[[0.75, 0.0, 0.25, 0.0], [1 / 3, 1 / 3, 1 / 3, 0.0]]])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
