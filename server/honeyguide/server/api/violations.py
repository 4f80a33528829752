"""Gathers all that is wrong with a request, so that one answer names every field at fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from honeyguide.sdk.errors import InvalidArgument

__all__ = ["Violations"]

P = ParamSpec("P")
T = TypeVar("T")


class Violations:
    """List of the fields at fault: `check` one after another, then `refuse` before any value is used."""

    def __init__(self) -> None:
        self._errors: list[InvalidArgument] = []

    def check(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Returns what the function returns; where it raises `InvalidArgument`, notes that: the value means nothing."""
        try:
            return function(*args, **kwargs)
        except InvalidArgument as error:
            self._errors.append(error)
            return cast("T", None)  # nobody sees it: `refuse` raises first

    def add(self, error: InvalidArgument) -> None:
        """Notes an error."""
        self._errors.append(error)

    def refuse(self) -> None:
        """Raises the first `InvalidArgument` that was noted, with the others; does nothing where none was."""
        if self._errors:
            first, *others = self._errors
            first.others = tuple(others)
            raise first
