"""The kit runs every check that its modules define, once each."""

import inspect

from honeyguide.conformance.checks import capabilities, encoding, exporting, learning, network, observing, serving
from honeyguide.conformance.kit import checks

MODULES = (capabilities, encoding, exporting, learning, network, observing, serving)


def is_check(function: object) -> bool:
    """Says whether a function takes a subject alone and returns why it does not apply."""
    return inspect.isfunction(function) and inspect.get_annotations(function) == {"subject": "Subject", "return": "str"}


def test_every_check_is_run_once() -> None:
    defined = [name for module in MODULES for name in module.__all__ if is_check(getattr(module, name))]
    assert len(defined) == 23
    assert sorted(check.name for check in checks()) == sorted(defined)
