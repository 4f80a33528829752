"""Reads the server's TLS files, again when they change, and turns them into what gRPC takes."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextvars import Context
from pathlib import Path
from typing import TypeVar

import grpc
import structlog

from honeyguide.sdk.errors import ConfigError
from honeyguide.server.access.files import WatchedFiles
from honeyguide.server.ops.metrics import Metrics
from honeyguide.server.settings import Settings

__all__ = ["server_context", "server_credentials"]

Made = TypeVar("Made")


def server_credentials(settings: Settings, metrics: Metrics) -> grpc.ServerCredentials:
    """Makes what one port speaks TLS with; with `tls_client_ca`, clients need a certificate to connect at all.

    gRPC asks for changes at every handshake. New files that are no pair change nothing: what was read before goes on.
    Raises `ConfigError` saying what is wrong with the files.
    """
    return grpc.dynamic_ssl_server_credentials(
        _read(settings),
        _changes(settings, metrics, lambda: _read(settings)),  # type: ignore[arg-type]  # its stub knows no None
        require_client_authentication=settings.tls_client_ca is not None,
    )


def server_context(settings: Settings, metrics: Metrics) -> ssl.SSLContext:
    """Makes what the web port speaks TLS with, from the same files and as often read again; raises `ConfigError`."""
    first = latest = _context(settings)
    changed = _changes(settings, metrics, lambda: _context(settings))

    def shake_hands(connection: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: ssl.SSLContext) -> None:
        nonlocal latest
        latest = changed() or latest
        connection.context = latest

    first.sni_callback = shake_hands  # OpenSSL calls it at every handshake, also of clients that name no host
    return first


def _changes(settings: Settings, metrics: Metrics, make: Callable[[], Made]) -> Callable[[], Made | None]:
    """Returns what makes something of the TLS files anew where they changed; else, or where they are bad, None."""
    log = structlog.get_logger("honeyguide.access")
    paths = (settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    files = WatchedFiles([path for path in paths if path is not None])

    def changed() -> Made | None:
        if not files.changed():
            return None
        try:
            found = make()
        except ConfigError as error:
            metrics.reloads.labels("tls", "failed").inc()
            log.error("TLS files not reloaded; those of before go on", problem=error.message)  # noqa: TRY400  # no fault of ours
            return None
        metrics.reloads.labels("tls", "done").inc()
        log.info("TLS files reloaded")
        return found

    # In a context of its own: it is nobody's request that the log then tells of.
    return lambda: Context().run(changed)


def _context(settings: Settings) -> ssl.SSLContext:
    _read(settings)  # says what is wrong with the files
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(settings.tls_certificate), settings.tls_key, password="")
    context.set_alpn_protocols(["http/1.1"])
    if settings.tls_client_ca is not None:
        context.load_verify_locations(settings.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(settings: Settings) -> grpc.ServerCertificateConfiguration:
    certificate, key = (_readable(name, getattr(settings, name)) for name in ("tls_certificate", "tls_key"))
    try:
        # gRPC takes anything for a pair, and then calls the port taken. The password keeps OpenSSL from asking for one.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        pair = (key.read_bytes(), certificate.read_bytes())
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError, too
        raise ConfigError(
            f"tls_certificate {str(certificate)!r} and tls_key {str(key)!r} are no pair that TLS can use ({error}); "
            "give PEM files of a certificate chain and of its private key, which has no password"
        ) from error
    return grpc.ssl_server_certificate_configuration([pair], _authorities(settings.tls_client_ca))


def _authorities(path: Path | None) -> bytes | None:
    """Returns the certificates of a file; None: no file."""
    if path is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(_readable("tls_client_ca", path))
        return path.read_bytes()
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"tls_client_ca is {str(path)!r}, which holds no certificate ({error}); give a PEM file of the authorities "
            "that sign your clients' certificates"
        ) from error


def _readable(name: str, path: Path | None) -> Path:
    """Returns the path of a file that can be read; raises `ConfigError`."""
    if path is None:
        raise ConfigError(f"{name} is unset; TLS needs both tls_certificate and tls_key")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{name} is {str(path)!r}, which cannot be read ({error.strerror})") from error
    return path
