"""Stands in for the text encoder where its weights would take too long: words as places of a vector."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from honeyguide.models.content_based.text_encoder import TEXT_WIDTH, TextEncoder

__all__ = ["use_tiny_encoder"]


def use_tiny_encoder(patch: pytest.MonkeyPatch) -> list[list[str]]:
    """Lets every `TextEncoder` count words; returns the calls that it will get."""
    calls: list[list[str]] = []

    def encode(texts: list[str]) -> np.ndarray:
        calls.append(texts)
        vectors = np.zeros((len(texts), TEXT_WIDTH), np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().replace(",", " ").replace(".", " ").split():
                vectors[row, zlib.crc32(word.encode()) % TEXT_WIDTH] += 1.0
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def load(_: TextEncoder) -> Callable[[list[str]], np.ndarray]:
        return encode

    patch.setattr(TextEncoder, "_encode", property(load))
    return calls
