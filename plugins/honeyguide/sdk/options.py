"""Describes the options of models, rules and trainings for people: type, default, and the field's own words."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = ["OptionRow", "describe_options"]


class OptionRow(NamedTuple):
    """Description of one option."""

    name: str
    type: str
    default: Any
    meaning: str
    """The field's docstring in one line, its range in it; "" where the class has no source or says nothing."""


def describe_options(cls: type[Any], defaults: Mapping[str, Any] | None = None) -> list[OptionRow]:
    """Lists the fields of an options dataclass, in their order; ``defaults`` stand above the class's own."""
    types, meanings = typing.get_type_hints(cls), _docstrings(cls)
    own = dataclasses.asdict(cls()) | dict(defaults or {})
    return [
        OptionRow(f.name, _type_name(types[f.name]), own[f.name], meanings.get(f.name, ""))
        for f in dataclasses.fields(cls)
    ]


def _docstrings(cls: type[Any]) -> dict[str, str]:
    """Reads the string below each field, of the class and of those it extends."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError, SyntaxError):  # built-in, or made without a source file
            continue
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for field, text in pairwise(statements):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                found[field.target.id] = " ".join(text.value.value.split())
    return found


def _type_name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and typing.get_origin(kind) is None else str(kind)
