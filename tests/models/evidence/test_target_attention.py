import pytest
import torch
from torch import Tensor

from honeyguide.models.evidence.target_attention import TargetAttention

ITEMS, WIDTH = 12, 6
TOKENS = torch.tensor([[0, 3, 4, 1, 9], [0, 0, 0, 0, 7]])
CANDIDATES = torch.tensor([[2, 5, 4, 0], [1, 2, 3, 12]])


def tables() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(ITEMS + 1, WIDTH, generator=generator), torch.randn(ITEMS, WIDTH, generator=generator)


def attention(attended: int) -> TargetAttention:
    torch.manual_seed(0)
    return TargetAttention(WIDTH, attended)


@pytest.mark.parametrize("attended", [1, 3])
def test_only_the_newest_events_are_read(attended: int) -> None:
    made = attention(attended)
    found = made(TOKENS, CANDIDATES, *tables())
    assert found.shape == (2, 4, made.heads)
    other = TOKENS.clone()
    other[0, :-attended] = 11
    torch.testing.assert_close(made(other, CANDIDATES, *tables()), found)
    other[0, -attended] = 11
    assert (made(other, CANDIDATES, *tables())[0, :3] != found[0, :3]).all()


def test_what_is_found_is_as_by_hand() -> None:
    made, (events, items) = attention(9), tables()
    found = made(TOKENS, CANDIDATES, events, items)[0, 0]  # [heads]
    query = (made.query.weight @ items[1]).view(made.heads, 16)  # of token 2
    for head in range(made.heads):
        fits = [
            query[head] @ (made.key.weight @ events[token]).view(made.heads, 16)[head] / 4 + made.recency[head, 9 - lag]
            for lag, token in enumerate([9, 1, 4, 3], start=1)
        ]
        torch.testing.assert_close(found[head], torch.stack(fits).exp().sum().log())


def test_padding_adds_nothing() -> None:
    made = attention(9)
    longer = torch.nn.functional.pad(TOKENS, (7, 0))
    torch.testing.assert_close(made(TOKENS, CANDIDATES, *tables()), made(longer, CANDIDATES, *tables()))


def test_a_candidate_attends_to_the_event_it_asks_for() -> None:
    made = attention(5)
    events, items = torch.zeros(ITEMS + 1, WIDTH), torch.zeros(ITEMS, WIDTH)
    with torch.no_grad():
        made.recency.zero_()
        made.query.weight.fill_(2.0)
        made.key.weight.fill_(2.0)
    events[4], items[1] = 1.0, 1.0  # token 4 offers what candidate 2 asks for
    values = made(TOKENS, torch.tensor([[2, 5], [2, 5]]), events, items)
    assert (values[0, 0] > values[0, 1] + 10).all()


def test_at_first_newer_events_weigh_more_and_each_head_forgets_at_its_own_pace() -> None:
    recency = attention(5).recency
    assert (recency.diff() > 0).all()
    assert (recency[:, 0].diff() > 0).all()
