"""Adds ``pytest --honeyguide-plugins[=NAME]``: one test for each installed model and each check of the kit.

pytest imports this in every run where Honeyguide is installed, so it loads nothing until the option is given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from honeyguide.conformance.subject import Subject
    from honeyguide.sdk.host import PluginHost, PluginInfo

__all__ = ["pytest_addoption", "pytest_collection_modifyitems"]

_OPTION = "--honeyguide-plugins"
_ALL = "*"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option."""
    parser.getgroup("honeyguide").addoption(
        _OPTION,
        nargs="?",
        const=_ALL,
        metavar="NAME",
        help=f"Check the installed Honeyguide model NAME, or all of them; write {_OPTION}=NAME, and paths before it.",
    )


@pytest.hookimpl(tryfirst=True)  # before -k and -m choose among the items
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Adds the checks after the tests of the files."""
    chosen = config.getoption(_OPTION)
    if chosen is not None:
        items.extend(_items(session, chosen))


def _items(session: pytest.Session, chosen: str) -> Iterator[pytest.Item]:
    from honeyguide.conformance.kit import checks
    from honeyguide.conformance.subject import check_loaded
    from honeyguide.sdk.errors import PluginError
    from honeyguide.sdk.host import PluginHost

    host = PluginHost.load()
    if chosen == _ALL:
        for plugin in host.plugins:
            yield _Test.of(session, plugin.name, "plugin_loads", _loads(host, plugin))
    else:
        try:
            check_loaded(chosen, host)
        except PluginError as error:
            raise pytest.UsageError(f"{_OPTION}={chosen}: {error}") from error
    for name in sorted(host.models) if chosen == _ALL else [chosen]:
        model = _Model.from_parent(session, name=name, nodeid=f"{_OPTION}={name}", host=host)
        for check in checks():
            yield _Test.of(model, name, check.name, lambda model=model, check=check: check(model.subject))  # type: ignore[misc]  # the defaults bind this round's


class _Model(pytest.Collector):
    """Model whose checks share a subject, which is made before the first and removed after the last."""

    subject: Subject

    def __init__(self, host: PluginHost, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._host = host

    def collect(self) -> list[pytest.Item]:
        return []  # they are added by the hook above

    def setup(self) -> None:
        from honeyguide.conformance.subject import Subject

        self.subject = Subject(self.name, self._host)
        self.addfinalizer(self.subject.close)


class _Test(pytest.Item):
    """Check of one model."""

    def __init__(self, of: str, check: Callable[[], str], **keywords: Any) -> None:
        super().__init__(**keywords)
        self._of, self._check = of, check

    @classmethod
    def of(cls, parent: pytest.Session | _Model, model: str, name: str, check: Callable[[], str]) -> _Test:
        nodeid = f"{_OPTION}={model}::{name}"
        test: _Test = cls.from_parent(parent, name=name, nodeid=nodeid, of=model, check=check)
        return test

    def runtest(self) -> None:
        if reason := self._check():
            pytest.skip(reason)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Shows a broken promise in its own words, and below it what the model itself raised."""
        from honeyguide.sdk.errors import ConformanceError, HoneyguideError

        if not isinstance(excinfo.value, ConformanceError):
            return super().repr_failure(excinfo, style)
        cause = excinfo.value.__cause__
        if cause is None or isinstance(cause, HoneyguideError):
            return excinfo.value.message
        return f"{excinfo.value.message}\n\n{super().repr_failure(pytest.ExceptionInfo.from_exception(cause), 'long')}"

    def reportinfo(self) -> tuple[Any, None, str]:
        return self.config.rootpath, None, f"{self._of}: {self.name}"


def _loads(host: PluginHost, plugin: PluginInfo) -> Callable[[], str]:
    from honeyguide.conformance.subject import check_loaded

    def check() -> str:
        if plugin.error is not None:
            check_loaded(plugin.name, host)
        return ""

    return check
