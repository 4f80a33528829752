"""Declares the hooks a plugin module may implement, with the markers to do so."""

from __future__ import annotations

from collections.abc import Callable

import pluggy

from honeyguide.sdk.model import Model
from honeyguide.sdk.rule import Rule

__all__ = ["PROJECT", "RegisterModel", "RegisterRule", "hookimpl", "hookspec", "register_models", "register_rules"]

PROJECT = "honeyguide"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

RegisterModel = Callable[[type[Model]], None]
RegisterRule = Callable[[type[Rule]], None]


@hookspec
def register_models(register: RegisterModel) -> None:
    """Registers model classes: call ``register(ModelClass)`` for each. Since 0.1."""


@hookspec
def register_rules(register: RegisterRule) -> None:
    """Registers rule classes: call ``register(RuleClass)`` for each. Since 0.1."""
