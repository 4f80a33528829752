"""Keeps the repository of bundles: what lies there, what serves, and how a version takes another's place."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType

import structlog

from honeyguide.sdk.errors import BundleError, ModelNotFound, NothingServed
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import Manifest, read_manifest, verify
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.folder import check_folder, list_versions
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.runtime import Runtime

__all__ = ["BundleEntry", "BundleState", "Repository"]


class BundleState(IntEnum):
    """Whether a bundle serves under its own name; the numbers are those of the proto."""

    AVAILABLE = 1
    SERVING = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """Description of one bundle of the repository."""

    name: str
    version: int
    state: BundleState
    problem: str = ""
    """Why it failed; "" unless it did."""
    manifest: Manifest | None = None
    """None where it cannot be read."""
    provider: str = ""
    """Where its graphs run; "" where it is not loaded."""


class Repository:
    """Folder ``<name>/<version>/`` of bundles, of which one version of each name may serve.

    What serves is one immutable mapping; a swap changes the reference to it. A call under way keeps the bundle it began
    with, and the bundle goes when its last call ends. So does a joint bundle with the retrievers that it pins: each
    version is in memory once, however many need it, and as long as one does.
    """

    def __init__(
        self,
        folder: Path,
        host: PluginHost,
        runtime: Runtime,
        changed: Callable[[str, int], None] = lambda _name, _version: None,
        cache_users: int = 0,
    ) -> None:
        """Loads nothing yet; raises `ConfigError` where there is no bundle at all.

        Args:
            folder: the repository.
            host: the plugins.
            runtime: opens the graphs.
            changed: called with the name and the version that serves now, 0: none.
            cache_users: how many users' vectors each bundle keeps.
        """
        check_folder(folder)
        self._folder, self._host, self._runtime, self._changed = folder, host, runtime, changed
        self._cache_users = cache_users
        self._serving: Mapping[str, LoadedBundle] = MappingProxyType({})
        self._loaded: weakref.WeakValueDictionary[tuple[str, int], LoadedBundle] = weakref.WeakValueDictionary()
        self._problems: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()
        self._log = structlog.get_logger("honeyguide.repository")

    @property
    def serving(self) -> Mapping[str, LoadedBundle]:
        """The bundles that serve, by name, as they are now; the mapping never changes."""
        return self._serving

    @property
    def names(self) -> list[str]:
        """The names of the models that lie in the repository, sorted."""
        return sorted(list_versions(self._folder))

    def get(self, name: str) -> LoadedBundle:
        """Returns the bundle that serves under a name; raises `NothingServed`."""
        try:
            return self._serving[name]
        except KeyError:
            raise NothingServed(
                f"no version of model {name!r} is loaded; an operator can load one with LoadModel"
            ) from None

    def load_newest(self) -> None:
        """Loads the newest good version of every model; what does not load is logged and listed with its reason."""
        for name, versions in list_versions(self._folder).items():
            for version in versions:
                with contextlib.suppress(BundleError):
                    self.load(name, version)
                    break

    def load(self, name: str, version: int = 0) -> tuple[LoadedBundle, int]:
        """Loads and proves a bundle, then swaps it in. Blocks: call it from a thread.

        Args:
            name: the model.
            version: 0 is the newest.

        Returns:
            The bundle, and the version that served before, 0: none.

        Raises `ModelNotFound`, or `BundleError` saying what is wrong; then what serves goes on serving.
        """
        with self._lock:
            versions = self._find(name)
            version = version or versions[0]
            if version not in versions:
                raise ModelNotFound(
                    f"no version {version} of model {name!r}; there are: {_listed(versions)}",
                    "version",
                    version,
                    versions,
                )
            bundle = self._open(name, version)
            before = self._serving.get(name)
            self._serving = MappingProxyType({**self._serving, name: bundle})
            self._changed(name, version)
        previous = before.manifest.version if before else 0
        self._log.info("model serves", model=name, version=version, previous=previous, provider=bundle.provider)
        return bundle, previous

    def unload(self, name: str) -> int:
        """Stops serving a model; returns the version that served. Raises `ModelNotFound` where none does."""
        with self._lock:
            if name not in self._serving:
                there = self._serving
                raise ModelNotFound(f"model {name!r} does not serve; there are: {_listed(there)}", "name", name, there)
            version = self._serving[name].manifest.version
            self._serving = MappingProxyType({n: b for n, b in self._serving.items() if n != name})
            self._changed(name, 0)
        self._log.info("model unloaded", model=name, version=version)
        return version

    def forget(self, user_id: str) -> None:
        """Drops what the bundles that serve, and those they pin, keep of a user."""
        for bundle in self._serving.values():
            for retriever in bundle.retrievers:
                retriever.cache.forget(user_id)

    def entries(self) -> list[BundleEntry]:
        """Lists every bundle, by name, then newest version first."""
        return [
            self._entry(name, version) for name, versions in list_versions(self._folder).items() for version in versions
        ]

    def entry(self, name: str, version: int = 0) -> BundleEntry:
        """Describes one bundle; version 0 is the one that serves, or the newest. Raises `ModelNotFound`."""
        versions = self._find(name)
        if not version:
            version = self._serving[name].manifest.version if name in self._serving else versions[0]
        if version not in versions:
            raise ModelNotFound(
                f"no version {version} of model {name!r}; there are: {_listed(versions)}",
                "version",
                version,
                versions,
            )
        return self._entry(name, version)

    def _open(self, name: str, version: int) -> LoadedBundle:
        """Returns a bundle, the one in memory if that is what lies on disk; raises `BundleError`, and notes why."""
        folder, key = self._folder / name / str(version), (name, version)
        try:
            bundle = self._loaded.get(key)
            if bundle is not None and bundle.manifest == read_manifest(folder):
                verify(folder, bundle.manifest)
            else:
                bundle = load_bundle(folder, self._host, self._runtime, self._retriever, self._cache_users)
        except BundleError as error:
            self._problems[key] = error.message
            self._log.error(
                "bundle does not load", model=name, version=version, problem=error.message, exc_info=error.__cause__
            )
            raise
        self._problems.pop(key, None)
        self._loaded[key] = bundle
        return bundle

    def _retriever(self, name: str, version: int) -> RetrievingBundle:
        """Returns what a joint bundle pins; raises `BundleError`."""
        if version not in list_versions(self._folder).get(name, ()):
            raise BundleError("the repository lacks it; put it back, or train and export the joint model again")
        # Asked before it is opened: a bundle that pins itself would never be done.
        if read_manifest(self._folder / name / str(version)).retrievers:
            raise BundleError(
                "it ranks what others retrieve and retrieves nothing itself; train and export the joint model again, "
                "over models that retrieve"
            )
        return self._open(name, version).retrievers[0]

    def _entry(self, name: str, version: int) -> BundleEntry:
        loaded, serving = self._loaded.get((name, version)), self._serving.get(name)
        provider = loaded.provider if loaded is not None else ""
        if serving is not None and serving.manifest.version == version:
            return BundleEntry(name, version, BundleState.SERVING, "", serving.manifest, provider)
        try:
            manifest = read_manifest(self._folder / name / str(version))
        except BundleError as error:
            return BundleEntry(name, version, BundleState.FAILED, error.message)
        entry = BundleEntry(name, version, BundleState.AVAILABLE, manifest=manifest, provider=provider)
        if problem := self._problems.get((name, version)):
            return replace(entry, state=BundleState.FAILED, problem=problem)
        return entry

    def _find(self, name: str) -> list[int]:
        versions = list_versions(self._folder)
        if name not in versions:
            raise ModelNotFound(f"no model {name!r}; there are: {_listed(versions)}", "name", name, versions)
        return versions[name]


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"
