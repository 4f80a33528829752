"""Reads manifests and says whose they are: by which trusted key they are signed, where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from honeyguide.sdk.errors import ConfigError, UntrustedBundle
from honeyguide.sdk.manifest import Manifest, manifest_bytes, parse_manifest
from honeyguide.sdk.signatures import TrustedKey, check_signature, read_trusted_keys

__all__ = ["Trust"]


class Trust:
    """Whose bundles are served. The file of keys is read anew each time, so that a key can come and go."""

    def __init__(self, trusted_keys: Path | None = None, required: bool = False) -> None:
        """Reads the keys once; raises `ConfigError` where they cannot be read, or are required and not named."""
        if required and trusted_keys is None:
            raise ConfigError("require_signature is set and trusted_keys is not: name the file of trusted keys")
        self._file, self._required = trusted_keys, required
        self.keys()

    def keys(self) -> Mapping[bytes, TrustedKey] | None:
        """Returns the trusted keys as they are now; None where none are named. Raises `ConfigError`."""
        return None if self._file is None else read_trusted_keys(self._file)

    def read(self, folder: Path) -> tuple[Manifest, str]:
        """Reads a folder's manifest, once; returns it and the name of the key that signed it, "": no trusted one.

        Raises `BundleError` where it cannot be read, and `UntrustedBundle` where its signature is wrong, or where one
        is required and missing, of an unknown key, or of one that expired.
        """
        content = manifest_bytes(folder)
        return parse_manifest(folder, content), self._signer(folder, content)

    def _signer(self, folder: Path, content: bytes) -> str:
        try:
            keys = self.keys()
        except ConfigError as error:
            raise UntrustedBundle("the file of trusted keys cannot be read; see the server's log") from error
        if keys is None:
            return ""
        return check_signature(folder, content, keys, datetime.now(UTC), required=self._required)
