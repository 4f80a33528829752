"""Runs every check on every model that is installed: a new model is tested by being registered."""

from collections.abc import Iterator

import pytest

from honeyguide.conformance.kit import Check, checks
from honeyguide.conformance.subject import Subject
from honeyguide.sdk.host import PluginHost

HOST = PluginHost.load()


@pytest.fixture(scope="module", params=sorted(HOST.models))
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    with Subject(request.param, HOST) as subject:
        yield subject


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_the_model_keeps_its_promise(subject: Subject, check: Check) -> None:
    if reason := check(subject):
        pytest.skip(reason)
