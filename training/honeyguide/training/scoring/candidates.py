"""Scores the catalogue, takes the best items of each source, and has a ranker score those again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from honeyguide.sdk.candidates import ranker_inputs, sourced_candidates
from honeyguide.sdk.capabilities import Ranks, capabilities_of
from honeyguide.sdk.errors import PluginError
from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.metrics import mask_seen
from honeyguide.sdk.model import Model, Network
from honeyguide.training.plugin_calls import plugin_call
from honeyguide.training.scoring.device import device_of, tensors

__all__ = ["Source", "rerank", "retrieve", "score_all"]

Source = tuple[Model, nn.Module]
"""A model that retrieves, with its network."""


@torch.inference_mode()
def score_all(
    model: Model, network: nn.Module, histories: HistoryBatch, seen: HistoryBatch | None = None
) -> tuple[NDArray[np.float32], dict[str, Tensor]]:
    """Scores the whole catalogue for histories, none of them empty.

    Returns:
        (users, items) scores, -inf where the user has seen the item (in ``histories``, or in ``seen`` where it is
        given) and the data does not repeat; and the encoded batch on the network's device.

    Raises:
        PluginError: a score is not a number, or the plugin's code fails.
    """
    network.eval()
    typed = cast("Network", network)
    with plugin_call(model, "encode", histories):
        batch = tensors(model, histories, device_of(network))
    scorer = capabilities_of(network).scores
    with plugin_call(model, "scores" if scorer else "user or items", histories):
        every = scorer.scores(batch).clone() if scorer else typed.user(batch) @ typed.items().T  # it is changed below
        scores = every.float().cpu().numpy()
    if scores.shape != (len(histories), model.data.items):
        raise PluginError(
            f"model {model.name!r} gave scores of shape {scores.shape}; they must be (users, items): "
            f"({len(histories)}, {model.data.items})"
        )
    if not np.isfinite(scores).all():
        raise PluginError(
            f"model {model.name!r} gave scores that are not finite numbers; "
            "train with a smaller learning rate (--lr), or look for a division by zero in the model"
        ).with_facts(cause="diverged")
    if not model.data.repeats:
        mask_seen(scores, histories if seen is None else seen)
    return scores, batch


def retrieve(
    sources: Sequence[Source], histories: HistoryBatch, n: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Returns the candidates of histories, none of them empty, as a server finds them.

    Args:
        sources: what retrieves; all have one catalogue.
        histories: the users.
        n: how many items each source finds.

    Returns:
        (users, m) rows and their (users, m, sources) scores, as `sourced_candidates` gives them.
    """
    return sourced_candidates([score_all(model, network, histories)[0] for model, network in sources], n)


@torch.inference_mode()
def rerank(
    network: nn.Module, batch: dict[str, Tensor], rows: NDArray[np.int32], retrieval: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores (users, n) candidate rows by the network's ranker; -inf where the row is -1.

    Args:
        network: it ranks.
        batch: the encoded users, on the network's device.
        rows: (users, n).
        retrieval: (users, n, sources) retrieval scores.
    """
    device = device_of(network)
    inputs = (torch.from_numpy(array).to(device) for array in ranker_inputs(rows, retrieval).values())
    ranked = cast("Ranks", network).rank(batch, *inputs).float().cpu().numpy()
    scores: NDArray[np.float32] = np.where(rows < 0, -np.inf, ranked).astype(np.float32)
    if np.isnan(scores).any():
        raise PluginError(
            "the ranker gave scores that are not numbers; train with a smaller ranker_lr (--fit ranker_lr=…)"
        ).with_facts(cause="diverged")
    return scores
