"""Builds what networks know of a catalogue's items, and the learnt map from it to vectors.

A text's or a brought vector is centred and whitened: the directions that most items share say little about one, and
those in which items differ count alike (Su et al., "Whitening sentence representations", 2021). What is missing is 0.

N items, F features, K components, S attributes of an item, d dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from honeyguide.models.content_based.item_content import BUCKETS, ItemContent
from honeyguide.sdk import ItemTable

__all__ = ["ItemFeatures", "ItemProjection", "combined_vectors"]

_COMPONENTS = 128
_FEWEST = 2  # items that have an attribute; one that a single item has says nothing of others
_FURTHEST = 3.0  # standard deviations that a number may be off


class ItemFeatures(nn.Module):
    """What is known of each item of the catalogue, and how the same is made of other items."""

    attributes: Tensor
    known: Tensor
    dense: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, content: ItemContent, items: int) -> None:
        """Takes what lays items out, and the size of the catalogue."""
        super().__init__()
        self.content = content
        sizes = {spec.name: int(spec.axes[1]) for spec in content.inputs()}
        slots, self.numbers = sizes.pop("attributes", 0), sizes.pop("numbers", 0)
        self.vectors = {name: min(size, _COMPONENTS) for name, size in sizes.items()}
        self.width = sum(self.vectors.values()) + 2 * self.numbers
        """F, the features that are numbers."""
        self.slots = slots
        self.register_buffer("attributes", torch.zeros(items, slots, dtype=torch.int32))
        self.register_buffer("known", torch.zeros(BUCKETS + 1 if slots else 0))  # which attributes were learnt from
        self.register_buffer("dense", torch.zeros(items, self.width))
        self.register_buffer("middle", torch.zeros(self.numbers))
        self.register_buffer("spread", torch.ones(self.numbers))
        for name, components in self.vectors.items():
            self.register_buffer(f"{name}_mean", torch.zeros(sizes[name]))
            self.register_buffer(f"{name}_map", torch.zeros(sizes[name], components))

    def observe(self, items: ItemTable) -> None:
        """Writes down what is known of the catalogue, and how vectors are whitened and numbers normalised."""
        arrays = self.content.encode(items)
        for name in self.vectors:
            mean, change = _whitening(arrays[name], self.vectors[name])
            self.get_buffer(f"{name}_mean").copy_(torch.from_numpy(mean))
            self.get_buffer(f"{name}_map").copy_(torch.from_numpy(change))
        if self.numbers:
            given = np.isfinite(arrays["numbers"])
            count = np.maximum(given.sum(0), 1)
            values = np.where(given, arrays["numbers"], 0.0).astype(np.float64)
            mean = values.sum(0) / count
            spread = np.sqrt((np.where(given, values - mean, 0.0) ** 2).sum(0) / count)
            self.middle.copy_(torch.from_numpy(mean))
            self.spread.copy_(torch.from_numpy(np.where(spread > 0, spread, 1.0)))
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        if self.slots:
            self.attributes.copy_(tensors["attributes"])
            counts = torch.bincount(tensors["attributes"].flatten(), minlength=BUCKETS + 1)
            self.known.copy_(counts >= _FEWEST)
            self.known[0] = 0.0
        self.dense.copy_(self.dense_of({name: tensor.to(self.dense.device) for name, tensor in tensors.items()}))

    def dense_of(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, F] of the arrays of `ItemContent`."""
        parts = []
        for name in self.vectors:
            given = items[name].nan_to_num(0.0)
            there = (given != 0).any(1, keepdim=True)
            parts.append((given - self.get_buffer(f"{name}_mean")) @ self.get_buffer(f"{name}_map") * there)
        if self.numbers:
            there = ~items["numbers"].isnan()
            apart = (items["numbers"].nan_to_num(0.0) - self.middle) / self.spread
            parts += [apart.clamp(-_FURTHEST, _FURTHEST) * there, there.to(apart.dtype)]
        return torch.cat(parts, 1) if parts else next(iter(items.values())).new_zeros(1, 0).float()


class ItemProjection(nn.Module):
    """Learnt map from what is known of an item to a vector."""

    def __init__(self, features: ItemFeatures, width: int) -> None:
        super().__init__()
        self._features = [features]  # in a list, so that it is one module's alone
        self.linear = nn.Linear(features.width, width, bias=False) if features.width else None
        self.table = nn.Parameter(torch.randn(BUCKETS + 1, width) * 0.02) if features.slots else None
        if self.linear is not None:
            nn.init.normal_(self.linear.weight, std=0.02)

    def catalogue(self) -> Tensor:
        """Returns [N, d]."""
        features = self._features[0]
        return self._sum(features.attributes, features.dense)

    def forward(self, items: Mapping[str, Tensor]) -> Tensor:
        """Returns [B, d] of the arrays of `ItemContent`."""
        features = self._features[0]
        return self._sum(items.get("attributes"), features.dense_of(items) if features.width else None)

    def _sum(self, attributes: Tensor | None, dense: Tensor | None) -> Tensor:
        parts = []
        if self.linear is not None and dense is not None:
            parts.append(self.linear(dense))
        if self.table is not None and attributes is not None:
            features = self._features[0]
            table = self.table * features.known[:, None]
            # One attribute after the other: all at once they would take S times the room of the vectors.
            total = sum(functional.embedding(attributes[:, slot].long(), table) for slot in range(features.slots))
            count = functional.embedding(attributes.long(), features.known[:, None]).sum(1)
            parts.append(total / count.clamp_min(1.0).sqrt())
        total_of_parts: Tensor = sum(parts[1:], parts[0])
        return total_of_parts


def combined_vectors(own: Tensor | None, known: ItemProjection | None, padding: int = 0) -> Tensor:
    """Returns [padding + N, d]: the items' own vectors, what is known of the items, or the sum of both.

    Args:
        own: [padding + N, d], or None.
        known: the map of what is known, or None; one of the two is given.
        padding: rows before the first item, of which nothing is known.
    """
    if known is None:
        assert own is not None
        return own
    vectors = functional.pad(known.catalogue(), (0, 0, padding, 0))
    return vectors if own is None else own + vectors


def _whitening(vectors: NDArray[np.float32], components: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns (width,) the mean and (width, components) the map to the main components, each of variance 1."""
    finite = np.nan_to_num(vectors, nan=0.0).astype(np.float64)
    given = finite[(finite != 0).any(1)]
    width = vectors.shape[1]
    if len(given) < 2:
        return np.zeros(width, np.float32), np.zeros((width, components), np.float32)
    mean = given.mean(0)
    variances, directions = np.linalg.eigh((given - mean).T @ (given - mean) / len(given))
    variances, directions = variances[::-1][:components], directions[:, ::-1][:, :components]
    signs = np.sign(directions[np.abs(directions).argmax(0), np.arange(components)])  # else the sign is by chance
    real = variances > 1e-6 * max(variances[0], 1e-12)
    scale = np.where(real, 1.0 / np.sqrt(np.where(real, variances, 1.0)), 0.0)
    return mean.astype(np.float32), (directions * signs * scale).astype(np.float32)
