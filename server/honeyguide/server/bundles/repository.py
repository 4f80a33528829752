"""Keeps the repository of bundles: what lies there, what serves, and how a version takes another's place."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial
from pathlib import Path
from types import MappingProxyType

import structlog

from honeyguide.sdk.errors import BundleError, ModelNotFound, NothingServed, UntrustedBundle
from honeyguide.sdk.host import PluginHost
from honeyguide.sdk.manifest import Manifest, verify
from honeyguide.server.bundles.background import in_background, retire
from honeyguide.server.bundles.bundle import LoadedBundle, RetrievingBundle
from honeyguide.server.bundles.folder import Oddity, check_folder, list_oddities, list_versions
from honeyguide.server.bundles.loading import load_bundle
from honeyguide.server.bundles.memory import held_bytes
from honeyguide.server.bundles.runtime import Runtime
from honeyguide.server.bundles.trust import Trust

__all__ = ["BundleEntry", "BundleState", "Repository"]


class BundleState(IntEnum):
    """Whether a bundle serves under its own name; the numbers are those of the proto."""

    AVAILABLE = 1
    SERVING = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class BundleEntry:
    """Description of one bundle of the repository, or of what lies there and cannot be one."""

    name: str
    version: int
    """0 where the folder names none."""
    state: BundleState
    problem: str = ""
    """Why it failed; "" unless it did."""
    manifest: Manifest | None = None
    """None where it cannot be read."""
    provider: str = ""
    """Where its graphs run; "" where it is not loaded."""
    signer: str = ""
    """Name of the trusted key that signed it; "": none, or nobody asked."""
    memory_bytes: int = 0
    """What is held for it, about; 0 where it is not loaded."""
    load_time_ms: int = 0
    """When it was loaded, milliseconds since 1970; 0 where it is not."""
    last_error: str = ""
    """Why it last failed to load, or why it could not be loaded now; "" unless it did. It may serve all the same."""


@dataclass(frozen=True, slots=True)
class _Loading:
    """What is known of how a bundle came into memory."""

    provider: str
    signer: str
    memory_bytes: int
    load_time_ms: int


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
        trust: Trust | None = None,
        ready: Callable[[LoadedBundle], None] = lambda _bundle: None,
    ) -> None:
        """Loads nothing yet; raises `ConfigError` where there is no bundle at all.

        Args:
            folder: the repository.
            host: the plugins.
            runtime: opens the graphs.
            changed: called with the name and the version that serves now, 0: none.
            cache_users: how many users' vectors each bundle keeps.
            trust: whose bundles are served; None: anybody's.
            ready: called with each bundle that was loaded, before it serves.
        """
        check_folder(folder)
        self._folder, self._host, self._runtime, self._changed = folder, host, runtime, changed
        self._cache_users, self._trust, self._ready = cache_users, trust or Trust(), ready
        self._serving: Mapping[str, LoadedBundle] = MappingProxyType({})
        self._loaded: weakref.WeakValueDictionary[tuple[str, int], LoadedBundle] = weakref.WeakValueDictionary()
        self._loadings: weakref.WeakKeyDictionary[LoadedBundle, _Loading] = weakref.WeakKeyDictionary()
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

    def load(self, name: str, version: int = 0, digest: str = "") -> tuple[LoadedBundle, int]:
        """Loads and proves a bundle, then swaps it in. Blocks: call it from a thread.

        It is loaded on a thread that those who answer go before; what it replaces is freed on another.

        Args:
            name: the model.
            version: 0 is the newest.
            digest: what its manifest's must be; "": any.

        Returns:
            The bundle, and the version that served before, 0: none.

        Raises `ModelNotFound`, or `BundleError` saying what is wrong; then what serves goes on serving.
        """
        with self._lock:
            versions = self._find(name)
            version = self._choose(name, version or versions[0], versions)
            # A session's threads inherit its maker's priority, and those answer.
            quiet = self._runtime.threads == 1 and bool(self._serving)
            bundle = in_background(partial(self._open, name, version, digest), quiet=quiet)
            before = self._serving.get(name)
            self._serving = MappingProxyType({**self._serving, name: bundle})
            self._changed(name, version)
        previous = before.manifest.version if before else 0
        if before is not None and before is not bundle:
            retire(before)
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

    def pin(self, name: str, version: int) -> LoadedBundle:
        """Loads and proves a version that serves under no name, for whoever keeps it; raises as `load` does."""
        with self._lock:
            return self._open(name, self._choose(name, version, self._find(name)))

    def forget(self, user_id: str) -> None:
        """Drops what the bundles that serve, and those they pin, keep of a user."""
        for bundle in self._serving.values():
            for retriever in bundle.retrievers:
                retriever.cache.forget(user_id)

    def places(self) -> list[tuple[str, int] | Oddity]:
        """Lists what there is to `describe`: bundles by name, then newest version first; then what cannot be one."""
        known = {(name, bundle.manifest.version) for name, bundle in self._serving.items()}
        oddities: list[Oddity] = []
        with contextlib.suppress(BundleError):  # the repository is gone: what serves is in memory
            versions = list_versions(self._folder)
            known |= {(name, version) for name in versions for version in versions[name]}
            oddities = list_oddities(self._folder)
        return [*sorted(known, key=lambda key: (key[0], -key[1])), *oddities]

    def describe(self, place: tuple[str, int] | Oddity) -> BundleEntry:
        """Describes one of the `places`; whatever lies there, this raises nothing."""
        if isinstance(place, Oddity):
            return BundleEntry(place.name, 0, BundleState.FAILED, place.problem, last_error=place.problem)
        name, version = place
        loaded, serving = self._loaded.get(place), self._serving.get(name)
        serves = serving is not None and serving.manifest.version == version
        entry = BundleEntry(name, version, BundleState.SERVING if serves else BundleState.AVAILABLE)
        if (loaded := serving if serves else loaded) is not None and (how := self._loadings.get(loaded)) is not None:
            entry = replace(entry, **dataclasses.asdict(how))
        problem = self._problems.get(place, "")
        if serving is not None and serves:
            return replace(entry, manifest=serving.manifest, last_error=problem)
        try:
            manifest, signer = self._trust.read(self._folder / name / str(version))
        except BundleError as error:
            return replace(entry, state=BundleState.FAILED, problem=error.message, last_error=error.message)
        state = BundleState.FAILED if problem else BundleState.AVAILABLE
        return replace(entry, state=state, problem=problem, last_error=problem, manifest=manifest, signer=signer)

    def entries(self) -> list[BundleEntry]:
        """Describes all `places`."""
        return list(map(self.describe, self.places()))

    def entry(self, name: str, version: int = 0) -> BundleEntry:
        """Describes one bundle; version 0 is the one that serves, or the newest. Raises `ModelNotFound`."""
        serving = self._serving.get(name)
        if serving is not None and version in (0, serving.manifest.version):
            return self.describe((name, serving.manifest.version))
        versions = self._find(name)
        return self.describe((name, self._choose(name, version or versions[0], versions)))

    def _open(self, name: str, version: int, digest: str = "") -> LoadedBundle:
        """Returns a bundle, the one in memory if that is what lies on disk; raises `BundleError`, and notes why."""
        folder, key = self._folder / name / str(version), (name, version)
        try:
            manifest, signer = self._trust.read(folder)
        except BundleError as error:
            self._note(key, error)
            raise
        if digest and digest != manifest.digest:  # no fault of the bundle's
            own = f"digest {manifest.digest}" if manifest.digest else "no digest, as those of older exports"
            raise UntrustedBundle(f"{name}/{version} has {own}, not {digest}")
        try:
            bundle = self._loaded.get(key)
            if bundle is not None and bundle.manifest == manifest:
                verify(folder, manifest)
            else:
                bundle = load_bundle(
                    folder, self._host, self._runtime, self._retriever, self._cache_users, manifest=manifest
                )
                self._ready(bundle)
        except BundleError as error:
            self._note(key, error)
            raise
        if not manifest.digest:
            self._log.warning("bundle has no digest; export the model again", model=name, version=version)
        self._problems.pop(key, None)
        self._loaded[key] = bundle
        now = time.time_ns() // 1_000_000
        self._loadings[bundle] = _Loading(bundle.provider, signer, held_bytes(bundle), now)
        return bundle

    def _note(self, key: tuple[str, int], error: BundleError) -> None:
        self._problems[key] = error.message
        self._log.error(
            "bundle does not load", model=key[0], version=key[1], problem=error.message, exc_info=error.__cause__
        )

    def _retriever(self, name: str, version: int) -> RetrievingBundle:
        """Returns what a joint bundle pins; raises `BundleError`."""
        if version not in list_versions(self._folder).get(name, ()):
            raise BundleError("the repository lacks it; put it back, or train and export the joint model again")
        # Asked before it is opened: a bundle that pins itself would never be done.
        if self._trust.read(self._folder / name / str(version))[0].retrievers:
            raise BundleError(
                "it ranks what others retrieve and retrieves nothing itself; train and export the joint model again, "
                "over models that retrieve"
            )
        return self._open(name, version).retrievers[0]

    def _find(self, name: str) -> list[int]:
        versions = list_versions(self._folder)
        if name not in versions:
            raise ModelNotFound(f"no model {name!r}; there are: {_listed(versions)}", "name", name, versions)
        return versions[name]

    def _choose(self, name: str, version: int, versions: Sequence[int]) -> int:
        if version not in versions:
            raise ModelNotFound(
                f"no version {version} of model {name!r}; there are: {_listed(versions)}",
                "version",
                version,
                versions,
            )
        return version


def _listed(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"
