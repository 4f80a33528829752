"""Reads the address of a server: whether it can be one, whether it is of this machine, which proxy lies before it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

__all__ = ["Proxy", "check_address", "is_local", "proxy_of"]

_PROXY_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Where gRPC looks for a proxy, in its order."""
_NO_PROXY_VARIABLES = ("no_grpc_proxy", "no_proxy")
_RESOLVERS = ("dns:", "ipv4:", "ipv6:")
_SOCKETS = ("unix:", "unix-abstract:")


@dataclass(frozen=True)
class Proxy:
    """HTTP proxy that gRPC goes through, and the variable of the environment that names it."""

    variable: str
    address: str
    """host:port, without user and password."""


def check_address(target: str, *, secure: bool) -> str:
    """Says what is wrong with an address and what to write instead; "": gRPC may make something of it.

    Without a port gRPC takes 443, where over plain text nobody answers.
    """
    text = target.strip()
    if not text:
        return "give host:port, such as 127.0.0.1:50051"
    if web := re.match(r"https?://([^/]+)", text):
        return f"give it without http://: {web[1]}"
    if text != target:
        return f"leave the blanks out: {text}"
    if text.count(":") > 1 and not text.startswith(("[", *_RESOLVERS, *_SOCKETS)) and "://" not in text:
        host, _, port = text.rpartition(":")
        if re.fullmatch(r"[0-9a-fA-F:.]+", host) and port.isdigit():
            return f"an IPv6 host stands in brackets: [{host}]:{port}"
    if text in _SOCKETS:
        return f"give the path of the socket, too: {text}/run/honeyguide.sock"
    if not text.startswith(_SOCKETS):
        if text.endswith("/") and "://" not in text:
            return f"leave the slash out: {text.rstrip('/')}"
        last = re.search(r":([^:\]/]*)$", text)
        if last and not (last[1].isdecimal() and 1 <= int(last[1]) <= 65_535) and not text.startswith(_RESOLVERS):
            return f"a port is a number, 1–65,535, and {last[1]!r} is none"
    if not secure and (":" not in text or text.endswith("]")):
        return f"give the port, too: {text}:50051, if that is where it listens"
    return ""


def is_local(target: str) -> bool:
    """Says whether the address is one of this machine's own: a socket, localhost, 127.*, ::1, or any (0.0.0.0, ::)."""
    if target.startswith(_SOCKETS):
        return True
    host = _host(target)
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def proxy_of(target: str) -> Proxy | None:
    """Finds the proxy that a call to this address goes through, by the rules of gRPC; None where there is none."""
    if is_local(target):
        return None
    host = _host(target)
    without = next(filter(None, map(os.environ.get, _NO_PROXY_VARIABLES)), "")
    if any(host.endswith(name.strip()) for name in without.split(",") if name.strip()):
        return None
    for variable in _PROXY_VARIABLES:
        if url := os.environ.get(variable):
            parts = urlsplit(url if "://" in url else f"http://{url}")
            return Proxy(variable, parts.netloc.rpartition("@")[2])
    return None


def _host(target: str) -> str:
    """Takes the host out of an address, lower case and without brackets."""
    for resolver in _RESOLVERS:
        if target.startswith(resolver):
            target = target.removeprefix(resolver)
            target = target.removeprefix("//").partition("/")[2] if target.startswith("//") else target
    if bracketed := re.match(r"\[([^\]]*)\]", target):
        return bracketed[1].lower()
    return (target.rpartition(":")[0] if target.count(":") == 1 else target).lower()
