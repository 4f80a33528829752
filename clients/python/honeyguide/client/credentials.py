"""Says who calls and whom the client trusts: a token, the files of TLS; no message shows what they hold."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from honeyguide.answers.arguments import shown
from honeyguide.client.addresses import is_local
from honeyguide.client.errors import InputError

__all__ = ["TOKEN_VARIABLE", "Tls", "check_credentials"]

TOKEN_VARIABLE = "HONEYGUIDE_TOKEN"  # noqa: S105  # the variable's name
"""Where a client finds its token unless it is given one."""


@dataclass(frozen=True)
class Tls:
    """How a client speaks TLS; `Tls()` trusts the public authorities and shows no certificate."""

    ca: str | os.PathLike[str] | None = None
    """PEM file of the authorities that sign the server's certificate, or that itself; None: the public ones."""
    certificate: str | os.PathLike[str] | None = None
    """PEM file of the client's own certificate chain, where the server asks for one (mutual TLS)."""
    key: str | os.PathLike[str] | None = None
    """PEM file of that certificate's private key, which has no password."""


def check_credentials(
    target: str, token: object, tls: object, credentials: object, *, insecure: bool
) -> tuple[str, grpc.ChannelCredentials | None]:
    """Takes who calls and how; returns the token, "": none, and the channel's credentials, None: plain text.

    Args:
        target: the server's address.
        token: None: that of the environment.
        tls: a `Tls`, or None.
        credentials: what gRPC takes, in the place of ``tls``.
        insecure: whether a token may go to another machine in plain text.

    Raises `InputError`, which never shows a token.
    """
    if not isinstance(tls, Tls | None):
        raise InputError(f"tls is {shown(tls)}; allowed: a Tls, or None for plain text", field="tls")
    if not isinstance(credentials, grpc.ChannelCredentials | None):
        raise InputError(
            f"credentials is {shown(credentials)}; allowed: grpc.ChannelCredentials, or None for plain text",
            field="credentials",
            remedy="give the files of TLS: tls=Tls(ca=...)",
        )
    if tls is not None and credentials is not None:
        raise InputError("tls and credentials are both given", field="tls", remedy="give one of them")
    word = _token(token)
    if tls is not None:
        credentials = _channel_credentials(tls)
    if word and credentials is None and not insecure and not is_local(target):
        raise InputError(
            f"a token would go to {target} in plain text, where everybody on the way can read it",
            field="tls",
            remedy="speak TLS: tls=Tls(ca=...), for verbs --tls-ca; or say that it may: insecure=True, --insecure",
        )
    return word, credentials


def _token(given: object) -> str:
    token = os.environ.get(TOKEN_VARIABLE, "").strip() if given is None else given
    if isinstance(token, str) and (token == "" or (token.isascii() and token.isprintable() and " " not in token)):
        return token
    what = f"the variable {TOKEN_VARIABLE}" if given is None else "token"
    raise InputError(f"{what} holds no token: letters, digits and signs of ASCII, no blanks", field="token")


def _channel_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Reads the files; gRPC takes anything for them, and then finds no server."""
    if (tls.certificate is None) != (tls.key is None):
        raise InputError("tls has one of certificate and key", field="tls", remedy="give both, or neither")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key, password="")  # else OpenSSL would ask for one
        ca, key, certificate = (
            None if path is None else Path(path).read_bytes() for path in (tls.ca, tls.key, tls.certificate)
        )
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(f"{name} {str(path)!r}" for name, path in vars(tls).items() if path is not None)
        raise InputError(
            f"TLS cannot use {files} ({getattr(error, 'strerror', None) or error})",
            field="tls",
            remedy="give PEM files that can be read: of authorities, and of a certificate and its own key",
        ) from error
    return grpc.ssl_channel_credentials(ca, key, certificate)
