"""Finds, loads and lists plugins; one that is broken never stops the others."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import traceback
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TypeVar

import pluggy

from honeyguide.sdk import hooks
from honeyguide.sdk.config import config_from
from honeyguide.sdk.data import DataSpec
from honeyguide.sdk.errors import ConfigError, PluginError
from honeyguide.sdk.model import API_VERSION, Model
from honeyguide.sdk.names import NAME_PATTERN
from honeyguide.sdk.rule import Rule
from honeyguide.sdk.scrub import without_paths

__all__ = ["ENTRY_POINT_GROUP", "PluginHost", "PluginInfo", "installed_plugins"]

ENTRY_POINT_GROUP = "honeyguide.plugins"
_TAKEN = "taken"
"""Fact of an error: the name that is another plugin's."""
_Class = TypeVar("_Class", bound=type[Any])


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """Entry point of a plugin: what it registered, or why it did not load."""

    name: str
    distribution: str
    version: str
    models: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    error: BaseException | None = field(default=None, compare=False)
    """What kept it from loading; None when it loaded."""

    @property
    def error_class(self) -> str:
        """The exception's class name, "" when the plugin loaded."""
        return "" if self.error is None else type(self.error).__name__

    @property
    def error_message(self) -> str:
        """What the exception said, without paths, one line; "" when the plugin loaded."""
        return "" if self.error is None else without_paths(" ".join(str(self.error).split()))[:500]

    @property
    def error_traceback(self) -> str:
        """The traceback, for the operator's log; "" when the plugin loaded."""
        return "" if self.error is None else "".join(traceback.format_exception(self.error))


class PluginHost:
    """Registry of the model and rule classes that the installed plugins offer."""

    def __init__(
        self,
        plugins: tuple[PluginInfo, ...],
        models: Mapping[str, type[Model]],
        rules: Mapping[str, type[Rule]],
        owners: Mapping[str, PluginInfo],
    ) -> None:
        self.plugins = plugins
        """Every entry point found, by name, broken ones too."""
        self.models = models
        """Model classes by name."""
        self.rules = rules
        """Rule classes by name."""
        self._owners = owners

    @classmethod
    def load(cls, entry_points: Iterable[metadata.EntryPoint] | None = None, *, strict: bool = False) -> PluginHost:
        """Loads every entry point of the group, one at a time.

        Args:
            entry_points: what to load; by default all that is installed.
            strict: whether a broken plugin raises `PluginError` instead of being listed with its reason.

        Honeyguide's own come first, the others by name: a plugin never takes the place of a model or rule that is
        there. One that tries is listed as broken, and a `RuntimeWarning` says so.
        """
        chosen, unreadable = installed_plugins() if entry_points is None else (list(entry_points), [])
        infos: list[PluginInfo] = []
        models: dict[str, type[Model]] = {}
        rules: dict[str, type[Rule]] = {}
        owners: dict[str, PluginInfo] = {}
        for entry_point in sorted(chosen, key=lambda e: (not _built_in(e), e.name)):
            info, new_models, new_rules = _load_one(entry_point, models, rules)
            infos.append(info)
            models |= new_models
            rules |= new_rules
            owners |= dict.fromkeys(new_models, info)
        infos = sorted([*infos, *unreadable], key=lambda info: info.name)
        for info in infos:
            if info.error is not None and strict:
                raise PluginError(
                    f"plugin {info.name!r} of {info.distribution or 'an unknown distribution'} did not load: "
                    f"{info.error_class}: {info.error_message}; repair or uninstall it, "
                    "or start without --strict-plugins"
                ) from info.error
            if _TAKEN in getattr(info.error, "facts", {}):
                of = f" of {info.distribution}" if info.distribution else ""
                warnings.warn(f"plugin {info.name!r}{of} is not used: {info.error_message}", RuntimeWarning, 2)
        return cls(tuple(infos), models, rules, owners)

    def model(self, name: str) -> type[Model]:
        """Returns the model class of that name; raises `PluginError` naming those that exist."""
        return _find(name, self.models, "model", self.plugins)

    def build(self, name: str, options: Mapping[str, Any], data: DataSpec) -> Model:
        """Builds a model from what a checkpoint or a bundle says of it.

        Raises `PluginError` where no plugin offers it, `ConfigError` where it refuses the options or the data.
        """
        model_class = self.model(name)
        config = config_from(model_class.Config, options)
        try:
            return model_class(config, data)
        except Exception as error:  # boundary: the plugin's constructor
            raise ConfigError(
                f"model {name!r} refuses its options or its data ({type(error).__name__}: {error})"
            ) from error

    def rule(self, name: str) -> type[Rule]:
        """Returns the rule class of that name; raises `PluginError` naming those that exist."""
        return _find(name, self.rules, "rule", self.plugins)

    def owner(self, model: str) -> PluginInfo:
        """Returns the plugin that registered a model."""
        return self._owners[model]


def installed_plugins() -> tuple[list[metadata.EntryPoint], list[PluginInfo]]:
    """Returns the entry points of all installed plugins, and each package whose list of them cannot be read."""
    points: list[metadata.EntryPoint] = []
    unreadable: list[PluginInfo] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():  # not `metadata.entry_points`, which one broken package stops
        try:
            offered = distribution.entry_points.select(group=ENTRY_POINT_GROUP)
            if offered and distribution.name not in seen:  # the first on the path hides its like behind it
                seen.add(distribution.name)
                points += offered
        except Exception as error:  # boundary: the metadata of any package on this machine
            unreadable.append(_unreadable(distribution, error))
    return points, unreadable


def _unreadable(distribution: metadata.Distribution, error: Exception) -> PluginInfo:
    try:
        name, version = distribution.name, distribution.version
    except Exception:  # boundary: as above
        name, version = "", ""
    name = name or str(getattr(distribution, "_path", "")).rpartition("/")[2] or "unknown"
    problem = PluginError(
        f"package {name!r} has metadata that cannot be read, in its entry_points.txt ({type(error).__name__}): "
        "install it anew or uninstall it"
    )
    problem.__cause__ = error
    return PluginInfo(name, name, version, error=problem)


def _built_in(entry_point: metadata.EntryPoint) -> bool:
    return entry_point.dist is not None and entry_point.dist.name == "honeyguide"


def _find(name: str, known: Mapping[str, _Class], kind: str, plugins: tuple[PluginInfo, ...]) -> _Class:
    if name in known:
        return known[name]
    broken = [p.name for p in plugins if p.error is not None]
    error = PluginError(
        f"no installed plugin offers {kind} {name!r}; there are: {', '.join(sorted(known)) or 'none'}"
        + (f"; plugins that did not load: {', '.join(broken)} (see `honeyguide plugins`)" if broken else "")
    )
    raise error.with_facts(field=kind, value=name, existing=", ".join(sorted(known)))


def _load_one(
    entry_point: metadata.EntryPoint, taken_models: Mapping[str, type[Model]], taken_rules: Mapping[str, type[Rule]]
) -> tuple[PluginInfo, dict[str, type[Model]], dict[str, type[Rule]]]:
    distribution = (entry_point.dist.name or "") if entry_point.dist else ""
    version = (entry_point.dist.version or "") if entry_point.dist else ""
    models: dict[str, type[Model]] = {}
    rules: dict[str, type[Rule]] = {}
    try:
        # A manager of its own for each plugin: what a broken one registered before it failed goes with it.
        manager = pluggy.PluginManager(hooks.PROJECT)
        manager.add_hookspecs(hooks)
        with contextlib.redirect_stdout(sys.stderr):  # stdout is the command's result, and may be JSON
            module = entry_point.load()
        manager.register(module, name=entry_point.name)
        manager.check_pending()
        manager.hook.register_models(register=lambda cls: _register(cls, Model, models, taken_models))
        manager.hook.register_rules(register=lambda cls: _register(cls, Rule, rules, taken_rules))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # boundary: a plugin's import or registration may raise anything
        return PluginInfo(entry_point.name, distribution, version, error=error), {}, {}
    return (
        PluginInfo(entry_point.name, distribution, version, tuple(sorted(models)), tuple(sorted(rules))),
        models,
        rules,
    )


def _register(cls: Any, base: type[Any], new: dict[str, Any], taken: Mapping[str, Any]) -> None:
    """Checks one class against the contract before it counts."""
    kind = base.__name__.lower()
    if not (isinstance(cls, type) and issubclass(cls, base)):
        raise PluginError(f"register({cls!r}): it must be a subclass of honeyguide.sdk.{base.__name__}")
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise PluginError(f"{kind} class {cls.__name__} has name {name!r}; it must match {NAME_PATTERN.pattern}")
    if name in new or name in taken:
        error = PluginError(f"{kind} {name!r} is registered already; choose another name")
        raise error.with_facts(**{_TAKEN: name}) if name in taken else error
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise PluginError(f"{kind} {name!r} does not define {', '.join(missing)}")
    version = getattr(cls, "api_version", API_VERSION)
    if version != API_VERSION:
        advice = "upgrade honeyguide" if isinstance(version, int) and version > API_VERSION else "upgrade the plugin"
        raise PluginError(f"{kind} {name!r} needs plugin API {version!r}; this honeyguide has {API_VERSION}: {advice}")
    config = getattr(cls, "Config", None)
    if not dataclasses.is_dataclass(config) or not isinstance(config, type) or not config.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # the attribute is public in fact, absent in typeshed
        raise PluginError(f"{kind} {name!r} needs a nested frozen dataclass Config")
    try:
        config()
    except TypeError as error:
        raise PluginError(f"{kind} {name!r}: every field of Config needs a default ({error})") from error
    new[name] = cls
