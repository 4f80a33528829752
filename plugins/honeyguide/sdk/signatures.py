"""Signs the manifests of bundles and checks who signed them: Ed25519, over the bytes of ``bundle.json``."""

from __future__ import annotations

import base64
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honeyguide.sdk.errors import ConfigError, InvalidArgument, UntrustedBundle
from honeyguide.sdk.manifest import SIGNATURE
from honeyguide.sdk.untrusted import parse_json, read_bounded

if TYPE_CHECKING:  # imported where a key is used: whoever signs nothing needs no cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["SigningKey", "TrustedKey", "check_signature", "new_key", "read_trusted_keys"]

_ALGORITHM = "ed25519"
_LARGEST_KEYS = 1_048_576
_LARGEST_SIGNATURE = 4096


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """Key whose signatures are believed."""

    name: str
    """What the file of trusted keys calls it."""
    public_key: bytes
    """32 bytes."""
    expires: datetime | None
    """From when on it is believed no more; None: never."""


class SigningKey:
    """Private key that signs manifests."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def read(cls, file: Path) -> SigningKey:
        """Reads a private key in PEM, without a password; raises `ConfigError` saying what to do."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        remedy = "`honeyguide keys new` makes one"
        try:
            private = load_pem_private_key(file.read_bytes(), None)
        except OSError as error:
            raise ConfigError(f"key {file} cannot be read: {error.strerror}; {remedy}") from error
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{file} is no private key in PEM, or has a password; {remedy}") from error
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError(f"{file} is a private key of another kind than Ed25519; {remedy}")
        return cls(private)

    @property
    def public_key(self) -> bytes:
        """Its public half, 32 bytes."""
        return self._private.public_key().public_bytes_raw()

    def sign(self, content: bytes) -> bytes:
        """Returns what ``bundle.sig`` says beside a manifest of this content."""
        raw = {
            "algorithm": _ALGORITHM,
            "public_key": base64.b64encode(self.public_key).decode(),
            "signature": base64.b64encode(self._private.sign(content)).decode(),
        }
        return (json.dumps(raw, indent=2) + "\n").encode()


def new_key(name: str, file: Path, expires: date | None = None) -> str:
    """Writes a new private key, readable by its owner alone; returns its entry for the file of trusted keys.

    Args:
        name: what trusted keys call it: letters, digits, "_" and "-".
        file: where it is written; it must not be there.
        expires: last day on which its signatures are believed; None: no end.

    Raises:
        InvalidArgument: for another name.
        ConfigError: where the file exists or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if not name or not name.isascii() or not name.replace("_", "").replace("-", "").isalnum():
        raise InvalidArgument("name", name, 'letters, digits, "_" and "-"')
    private = Ed25519PrivateKey.generate()
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    except OSError as error:
        raise ConfigError(f"key {file} cannot be written: {error.strerror}; name another file") from error
    public = base64.b64encode(SigningKey(private).public_key).decode()
    return f'[{name}]\npublic_key = "{public}"\n' + (f"expires = {expires.isoformat()}\n" if expires else "")


def read_trusted_keys(file: Path) -> Mapping[bytes, TrustedKey]:
    """Reads the TOML file of trusted keys, by public key; raises `ConfigError` naming the entry that is wrong."""
    try:
        tables = tomllib.loads(read_bounded(file.resolve(), _LARGEST_KEYS).decode())
    except OSError as error:
        raise ConfigError(f"trusted keys {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"trusted keys {file} are not TOML: {error}") from error
    keys = [_trusted(file, name, entry) for name, entry in tables.items()]
    if not keys:
        raise ConfigError(f"trusted keys {file} hold none; `honeyguide keys new` prints an entry")
    return {key.public_key: key for key in keys}


def check_signature(
    folder: Path, content: bytes, keys: Mapping[bytes, TrustedKey], now: datetime, *, required: bool = True
) -> str:
    """Returns the name of the trusted key that signed a bundle's manifest.

    Args:
        folder: the bundle.
        content: the very bytes of its manifest that are used.
        keys: of `read_trusted_keys`.
        now: the moment, with a time zone.
        required: whether one must have; otherwise "" is returned where none did.

    Raises `UntrustedBundle` where nobody signed it, or a key that is not trusted or has expired; and, required or not,
    where the signature is wrong: the manifest is not what was signed.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    label = f"{folder.parent.name}/{folder.name}"
    try:
        public, signature = _parts(parse_json(read_bounded(folder / SIGNATURE, _LARGEST_SIGNATURE)))
        key = keys.get(public)
        if key is not None:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except FileNotFoundError:
        problem = "is not signed: export it with --sign-key"
    except InvalidSignature:
        raise UntrustedBundle(
            f"{label}: its signature is wrong: the manifest was changed after it was signed; export the model again"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UntrustedBundle(f"{label}: {SIGNATURE} is no signature ({error}); export the model again") from error
    else:
        if key is not None and (key.expires is None or now < key.expires):
            return key.name
        if key is not None:
            problem = f"is signed by {key.name!r}, which expired on {key.expires:%Y-%m-%d}: export it with a newer key"
        else:
            known = ", ".join(key.name for key in keys.values())
            shown = base64.b64encode(public).decode()[:44]
            problem = f"is signed by key {shown}, which is not trusted; trusted are: {known}"
    if required:
        raise UntrustedBundle(f"{label} {problem}")
    return ""


def _parts(raw: Any) -> tuple[bytes, bytes]:
    """Returns public key and signature of a parsed signature file; raises what dictionaries and base64 raise."""
    if raw["algorithm"] != _ALGORITHM:
        raise ValueError(f"algorithm {raw['algorithm']!r}")
    return base64.b64decode(raw["public_key"], validate=True), base64.b64decode(raw["signature"], validate=True)


def _trusted(file: Path, name: str, entry: Any) -> TrustedKey:
    public, expires = b"", None
    try:
        public, expires = base64.b64decode(entry["public_key"], validate=True), entry.get("expires")
        known = set(entry) <= {"public_key", "expires"} and isinstance(expires, date | None)
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known or len(public) != 32:
        raise ConfigError(
            f"trusted keys {file}: entry {name!r} must hold public_key, base64 of 32 bytes, and, if it ends, expires, "
            "a date or a time; `honeyguide keys new` prints one"
        )
    if isinstance(expires, datetime):
        expires = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    elif expires is not None:  # that day is the last one
        expires = datetime.combine(expires, time.max, UTC)
    return TrustedKey(name, public, expires)
