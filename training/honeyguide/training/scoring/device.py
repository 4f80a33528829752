"""Chooses the device, finds the one a network is on, and brings encoded histories to it."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor, nn

from honeyguide.sdk.history import HistoryBatch
from honeyguide.sdk.model import Model

__all__ = ["best_device", "device_of", "tensors"]


def best_device() -> torch.device:
    """Returns the accelerator where there is one, else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def device_of(network: nn.Module) -> torch.device:
    """Returns where the network's parameters, or else its buffers, live."""
    first = next(chain(network.parameters(), network.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def tensors(model: Model, histories: HistoryBatch, device: torch.device | None = None) -> dict[str, Tensor]:
    """Encodes histories, none of them empty, as torch tensors."""
    return {name: torch.from_numpy(array).to(device) for name, array in model.encode(histories).items()}
