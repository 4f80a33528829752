"""Speaks just enough HTTP/2 and gRPC to ask and to count answers: prepared frames over plain sockets.

A client written for comfort costs more than the server it measures. This one sends bytes that were put together
beforehand and looks at no more of an answer than its length and its status: some 40,000 calls a second from one core.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

__all__ = ["RESET", "UNREADABLE", "Call", "Connection", "decode", "encode", "frame", "frames", "headers"]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
RESET, UNREADABLE = 100, 101
"""Outcomes beside gRPC's statuses: the stream was reset or its connection closed; the trailers have no status."""
UNAVAILABLE = 14
_REFUSED_STREAM = 7
_WIDEST = (1 << 31) - 1
_FRAME = struct.Struct(">HBBBI")  # two bytes and one of the length, type, flags, stream

# What RFC 7541 sends for the characters of "grpc-status" and of digits, where a server compresses them.
_HUFFMAN = {
    "a": (0x3, 5), "c": (0x4, 5), "s": (0x8, 5), "t": (0x9, 5), "0": (0x0, 5), "1": (0x1, 5), "2": (0x2, 5),
    "-": (0x16, 6), "3": (0x19, 6), "4": (0x1A, 6), "5": (0x1B, 6), "6": (0x1C, 6), "7": (0x1D, 6), "8": (0x1E, 6),
    "9": (0x1F, 6), "g": (0x26, 6), "p": (0x2B, 6), "r": (0x2C, 6), "u": (0x2D, 6),
}  # fmt: skip


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Returns one frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def headers(path: str, **more: str) -> bytes:
    """Returns the header block of a call, every field as a literal that no table keeps; ``_`` in a name means ``-``."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "127.0.0.1"}
    fields |= {"content-type": "application/grpc", "te": "trailers"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def frames(message: bytes, *, compressed: bool = False) -> bytes:
    """Returns a message as gRPC sends it."""
    return struct.pack(">BI", compressed, len(message)) + message


def encode(*fields: tuple[int, Any]) -> bytes:
    """Writes a protobuf message of texts, bytes and lists of whole numbers, by field number."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
            continue
        content = value.encode() if isinstance(value, str) else value
        content = b"".join(map(_varint, content)) if isinstance(content, list | tuple) else content
        out += _varint(number << 3 | 2) + _varint(len(content)) + content
    return out


def decode(message: bytes) -> dict[int, list[Any]]:
    """Reads a protobuf message: whole numbers, four or eight bytes, or bytes, by field number."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(message):
        key, at = _read(message, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _read(message, at)
        else:
            size, at = _read(message, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = message[at : at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


@dataclass(slots=True)
class Call:
    """One call under way: when it was due, what it is, and what has come of it so far."""

    block: bytes
    """Its headers."""
    content: bytes
    """Its request, as `frames` returns it."""
    due: float = 0.0
    kind: int = 0
    phase: int = 0
    stream: int = 0
    refused: bool = False
    """Whether the server had no stream for it once: it may still count one just closed. gRPC, too, asks again, once."""
    size: int = 0
    """Bytes of the answer's messages with their prefixes; 0: refused."""
    status: int = -1
    body: bytes | None = None
    """The answer's messages, collected where this is not None."""


@dataclass(eq=False)
class Connection:
    """One HTTP/2 connection without locks and waits: `start` calls, `send`, and `receive` what has ended."""

    address: tuple[str, int]
    most: int = 1 << 30
    """Streams open at once; the server may allow fewer."""
    calls: dict[int, Call] = field(default_factory=dict)
    waiting: deque[Call] = field(default_factory=deque)
    closed: bool = False
    leaving: bool = False
    """Whether the server wants no more calls here."""

    def __post_init__(self) -> None:
        """Connects and asks for plain headers and windows that never close."""
        self.socket = socket.create_connection(self.address, 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._allowed, self._window, self._next = 0, 65_535, 1  # no call before the server says how many
        self._in, self._out, self._consumed = b"", bytearray(PREFACE), 0
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, _WIDEST)
        self._out += frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", _WIDEST - 65_535))
        self.send()

    def close(self) -> None:
        """Closes the connection; what is under way is lost."""
        self.socket.close()

    def start(self, call: Call) -> None:
        """Begins a call as soon as the server allows it."""
        self.waiting.append(call)
        self._begin()

    def cancel(self, call: Call) -> None:
        """Gives a call up, whether it has been sent or waits for the server's leave."""
        call.status = 4
        if self.calls.pop(call.stream, None) is not None:
            self._out += frame(RST_STREAM, 0, call.stream, struct.pack(">I", 8))

    def send(self) -> None:
        """Hands what is ready to the socket, as much as it takes."""
        if self._out and not self.closed:
            try:
                del self._out[: self.socket.send(self._out)]
            except BlockingIOError:
                pass
            except OSError:
                self.closed = True

    @property
    def blocked(self) -> bool:
        """Whether the socket did not take everything."""
        return bool(self._out)

    def receive(self) -> list[Call]:
        """Reads what has come; returns the calls that have ended."""
        try:
            came = self.socket.recv(1 << 18)
        except BlockingIOError:
            return []
        except OSError:
            came = b""
        if not came:
            self.closed = True
            return self.fail()
        data, at, ended = self._in + came, 0, []
        while len(data) - at >= 9:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, at)
            start, stop = at + 9, at + 9 + (high << 8 | low)
            if stop > len(data):
                break
            at = stop
            if kind == DATA:
                self._consumed += stop - start
                if (call := self.calls.get(stream)) is not None:
                    call.size += stop - start
                    if call.body is not None:
                        call.body += data[start:stop]
                    if flags & END_STREAM:
                        call.status = UNREADABLE
                        ended.append(self.calls.pop(stream))
            elif kind == HEADERS:
                if flags & END_STREAM and (call := self.calls.pop(stream, None)) is not None:
                    call.status = _status(data[start:stop])
                    ended.append(call)
            elif kind == RST_STREAM:
                if (call := self.calls.pop(stream, None)) is None:
                    continue
                unheard = int.from_bytes(data[start:stop]) == _REFUSED_STREAM
                if unheard and not call.refused:
                    call.refused = True
                    self.waiting.appendleft(call)
                else:
                    call.status = UNAVAILABLE if unheard else RESET
                    ended.append(call)
            else:
                self._control(kind, flags, stream, data[start:stop])
        self._in = data[at:]
        if self._consumed > 1 << 20:
            self._out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed))
            self._consumed = 0
        if self.waiting:
            self._begin()
        return ended

    def fail(self) -> list[Call]:
        """Returns what is under way or waits, as reset; nothing is left."""
        failed = [*self.calls.values(), *(call for call in self.waiting if call.status < 0)]
        for call in failed:
            call.status = RESET
        self.calls.clear()
        self.waiting.clear()
        return failed

    def _begin(self) -> None:
        while self.waiting and len(self.calls) < self._allowed and self._window >= len(self.waiting[0].content):
            call = self.waiting.popleft()
            if call.status >= 0:
                continue
            call.stream, self._next = self._next, self._next + 2
            self.calls[call.stream] = call
            self._window -= len(call.content)
            self._out += frame(HEADERS, END_HEADERS, call.stream, call.block)
            self._out += frame(DATA, END_STREAM, call.stream, call.content)

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            given = dict(struct.iter_unpack(">HI", payload))
            self._allowed = min(self.most, given.get(3, self._allowed or self.most))
            self._out += frame(SETTINGS, ACK, 0)
        elif kind == PING and not flags & ACK:
            self._out += frame(PING, ACK, 0, payload)
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload)
        elif kind == GOAWAY:
            self._allowed, self.leaving = 0, True


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _read(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _text(text: str) -> bytes:
    """Writes a text as it is; HPACK's lengths have a prefix of seven bits."""
    size = len(text)
    return (bytes((size,)) if size < 127 else b"\x7f" + _varint(size - 127)) + text.encode()


def _squeezed(text: str) -> bytes:
    """Writes a text in HPACK's Huffman code."""
    bits = "".join(f"{code:0{size}b}" for code, size in map(_HUFFMAN.__getitem__, text))
    bits += "1" * (-len(bits) % 8)
    return bytes((128 | len(bits) // 8,)) + int(bits, 2).to_bytes(len(bits) // 8)


_FIELDS = [
    (name + value, status)
    for status in (0, 8, *(s for s in range(1, 17) if s != 8))  # the likely ones first
    for name in (_squeezed("grpc-status"), _text("grpc-status"))
    for value in {_squeezed(str(status)), _text(str(status))}
]


def _status(block: bytes) -> int:
    """Finds the status in trailers; every field is spelt out there, since this side has no table of headers."""
    return next((status for text, status in _FIELDS if text in block), UNREADABLE)
