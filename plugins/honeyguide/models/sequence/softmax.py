"""Computes the cross-entropy over a whole catalogue in little memory, fused with its gradients; or over drawn items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["SeenItems", "fast_bfloat16", "full_softmax_loss", "sampled_softmax_loss"]

_CELLS = 1 << 22  # scores at a time: 1,024 positions of 4,096 items, which a core's cache still holds
_MASKED = -1e4


@dataclass(frozen=True, slots=True)
class SeenItems:
    """Items that each position has behind it; a softmax need not push those down, as they cannot be next.

    They are listed, not marked among all items: a history holds few of a catalogue.
    """

    events: Tensor
    """[E] catalogue rows of all events, user by user, oldest first."""
    begins: Tensor
    """[P] where the events of each position's user begin."""
    counts: Tensor
    """[P] how many of them each position has behind it, itself included."""

    @classmethod
    def of(cls, tokens: Tensor, earlier: Tensor, chosen: Tensor) -> SeenItems:
        """Finds them.

        Args:
            tokens: [B, L] tokens, 0 is padding.
            earlier: [B, E] tokens of what came before the first column, 0 is padding.
            chosen: [B, L] which positions take part, P of them.
        """
        events = torch.cat([earlier, tokens], 1)
        real = events > 0
        counts = real.cumsum(1)  # [B, E + L]
        begins = functional.pad(counts[:, -1].cumsum(0), (1, 0))[:-1]
        rows, columns = torch.nonzero(chosen, as_tuple=True)
        return cls(events[real] - 1, begins[rows], counts[rows, columns + earlier.shape[1]])

    def cells(self, part: slice, items: int) -> Tensor:
        """Returns the places of the seen in [part, N] scores laid out as one row; an item met twice is there twice."""
        counts = self.counts[part]
        before = counts.cumsum(0) - counts
        events = torch.arange(int(counts.sum()), device=counts.device)
        events += (self.begins[part] - before).repeat_interleave(counts)
        rows = torch.arange(len(counts), device=counts.device) * items
        return self.events[events] + rows.repeat_interleave(counts)


def full_softmax_loss(
    users: Tensor,
    items: Tensor,
    bias: Tensor,
    targets: Tensor,
    seen: SeenItems | None = None,
    weights: Tensor | None = None,
    *,
    half: bool | None = None,
) -> Tensor:
    """Returns the mean cross-entropy of ``users @ items.T + bias`` against the targets.

    The gradients are made with the value, some positions at a time, so the (positions, items) scores never lie in
    memory as a whole.

    Args:
        users: [P, d] user vectors.
        items: [N, d] item vectors.
        bias: [N] added to each item's score.
        targets: [P] catalogue rows; a target is never masked.
        seen: what to leave out of the softmax; None leaves nothing out.
        weights: [P] what each position counts for, 1 on average; None: all alike.
        half: whether matrices are multiplied in bfloat16; the softmax is float32 all the same. None: where the
            processor has instructions for it.
    """
    half = fast_bfloat16(users.device) if half is None else half
    kind = torch.bfloat16 if half else users.dtype
    share = torch.full_like(users[:, 0], 1.0 / len(users)) if weights is None else weights / len(users)
    loss: Tensor = _FullSoftmax.apply(users, items, bias, targets, seen, share, kind)  # type: ignore[no-untyped-call]  # torch's
    return loss


def sampled_softmax_loss(
    users: Tensor, items: Tensor, targets: Tensor, drawn: Tensor, expected: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Returns the mean cross-entropy of ``users @ items.T`` against the targets, over the target and drawn items.

    Each drawn item stands for as many as it was expected to be drawn less often than once: its score is less log
    ``expected`` (Bengio & Senécal, 2008). The target is there for certain, so its score is as it is, and a draw of it
    does not count twice (Khrylchenko et al., RecSys 2025).

    Args:
        users: [P, d] user vectors.
        items: [N, d] item vectors.
        targets: [P] catalogue rows.
        drawn: [M] catalogue rows, the same for all positions.
        expected: [M] how often each was expected among M draws, above 0.
        weights: as in `full_softmax_loss`.
    """
    scores = users @ items[drawn].T - expected.log()  # [P, M]
    scores = scores.masked_fill(targets[:, None] == drawn, _MASKED)
    own = (users * items[targets]).sum(1, keepdim=True)  # [P, 1]
    losses = torch.cat([own, scores], 1).logsumexp(1) - own.squeeze(1)
    return (losses if weights is None else losses * weights).mean()


class _FullSoftmax(torch.autograd.Function):
    """Value and gradients together: d loss / d score = (softmax − one-hot) · weight."""

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        bias: Tensor,
        targets: Tensor,
        seen: SeenItems | None,
        weights: Tensor,
        kind: torch.dtype,
    ) -> Tensor:
        positions = len(users)
        d_users, d_items, d_bias = torch.empty_like(users), torch.zeros_like(items), torch.zeros_like(bias)
        total = users.new_zeros(())
        users, items = users.to(kind), items.to(kind)
        across = items.T.contiguous()  # [d, N]
        size = max(16, min(1024, _CELLS // len(items)))
        for start in range(0, positions, size):
            part = slice(start, min(start + size, positions))
            target, weight = targets[part, None], weights[part, None]  # [p, 1]
            scores = (users[part] @ across).float().add_(bias)  # [p, N]
            own = scores.gather(1, target)  # [p, 1]
            if seen is not None:
                scores.view(-1).index_fill_(0, seen.cells(part, len(items)), _MASKED)
                scores.scatter_(1, target, own)
            best = scores.amax(1, keepdim=True)
            share = scores.sub_(best).exp_()
            mass = share.sum(1, keepdim=True)
            total += ((mass.log() + best - own) * weight).sum()
            share.mul_(weight / mass)
            share.scatter_add_(1, target, -weight)  # now it is d loss / d score
            d_bias += share.sum(0)
            share = share.to(kind)
            d_users[part] = share @ items
            d_items += share.T @ users[part]
        ctx.save_for_backward(d_users, d_items, d_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grads
        d_users, d_items, d_bias = ctx.saved_tensors
        return grad * d_users, grad * d_items, grad * d_bias, None, None, None, None


def fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32.

    Intel's processors do so with AMX alone: with AVX-512's instructions an epoch took 1.2 to 1.3 times as long.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    known = torch.cpu.get_capabilities()
    vectors = known.get("avx512_bf16") and not str(known.get("cpu_name", "")).startswith("Intel")
    return device.type == "cpu" and bool(known.get("amx_bf16") or vectors)
