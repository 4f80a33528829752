"""Does to a server what broken and hostile clients do, in raw HTTP/2 frames, and says how much of it was done.

python -m serving.abuses NAME PORT SECONDS        prints JSON
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from serving.bodies import RECOMMEND, recommend_request
from serving.wire import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Call,
    Connection,
    encode,
    frame,
    frames,
    headers,
)

__all__ = ["ABUSES", "HEAVY_USER", "Abuse", "heavy_events"]

STREAM = "/honeyguide.v1.RecommenderService/RecommendStream"
HEAVY_USER = "one user with 300,000 events"
Done = dict[str, int]


@dataclass(frozen=True)
class Abuse:
    """One way to do harm: its name, and what it does to a port for some seconds."""

    name: str
    run: Callable[[int, float], Done]


def heavy_events(file: Path, items: Sequence[str]) -> None:
    """Stores 300,000 events of the user "heavy"."""
    import polars as pl

    from honeyguide.server.events.sqlite import SqliteEventStore

    count = 300_000
    frame_of_events = pl.DataFrame(
        {
            "user_id": ["heavy"] * count,
            "item_id": [items[number % len(items)] for number in range(count)],
            "time_ms": range(1_600_000_000_000, 1_600_000_000_000 + count),
        }
    )
    with SqliteEventStore(file) as store:
        for part in frame_of_events.iter_slices(20_000):
            store.import_events(part)


class _Raw:
    """A connection that sends what it is told, reads only to throw away, and is opened again when it is closed."""

    def __init__(self, port: int, settings: bytes = b"") -> None:
        self._port, self._settings = port, settings
        self.opened = 0
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self._port), 10)
        self.socket.settimeout(5)
        self.next, self.opened = 1, self.opened + 1
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, self._settings))

    def send(self, content: bytes) -> None:
        """Sends all; opens again where the server has had enough."""
        try:
            self.socket.sendall(content)
            self._discard()
        except OSError:
            self.socket.close()
            self.open()

    def stream(self) -> int:
        """Returns the number of a new stream."""
        self.next += 2
        return self.next - 2

    def _discard(self) -> None:
        self.socket.setblocking(False)
        try:
            while self.socket.recv(1 << 16):
                pass
            raise ConnectionResetError
        except BlockingIOError:
            self.socket.settimeout(5)


def rapid_reset(port: int, seconds: float) -> Done:
    """Opens streams with whole requests and resets each at once, 5,000 a second over eight connections."""
    connections = [_Raw(port) for _ in range(8)]
    block, body = headers(RECOMMEND), frames(recommend_request("k", [str(item) for item in range(50)]))
    sent = 0
    for connection in _paced(connections, seconds, 100.0):
        content = b""
        for _ in range(50):
            stream = connection.stream()
            content += frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, body)
            content += frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        connection.send(content)
        sent += 50
    return {"streams_reset": sent, "connections_opened": sum(connection.opened for connection in connections)}


def unread_streams(port: int, seconds: float) -> Done:
    """Opens 128 streams of batches whose windows are shut, so that no answer can ever be sent."""
    shut = struct.pack(">HI", 4, 0)
    connections = [_Raw(port, shut) for _ in range(16)]
    row = encode((2, encode((1, "85123A"), (1, "22423"))))
    options = encode((1, encode((1, 10), (2, "k"))))
    batch = encode((2, encode((1, 1), *((2, row) for _ in range(64)))))
    opened: list[tuple[_Raw, int]] = []
    for connection in connections:
        for _ in range(8):
            stream = connection.stream()
            opened.append((connection, stream))
            connection.send(
                frame(HEADERS, END_HEADERS, stream, headers(STREAM)) + frame(DATA, 0, stream, frames(options))
            )
    sent = 0
    for connection, stream in _paced(opened, seconds, 20.0):
        connection.send(frame(DATA, 0, stream, frames(batch)))
        sent += 1
    return {"streams": len(opened), "batches_of_64": sent}


def idle_streams(port: int, seconds: float) -> Done:
    """Opens 20,000 calls and sends the request of none."""
    connections = [_Raw(port) for _ in range(20)]
    block = headers(RECOMMEND)
    opened = 0
    begun = perf_counter()
    for connection in connections:
        for _ in range(10):
            connection.send(b"".join(frame(HEADERS, END_HEADERS, connection.stream(), block) for _ in range(100)))
            opened += 100
            sleep(0.001)
    sleep(max(0.0, seconds - (perf_counter() - begun)))
    return {"streams": opened, "connections_opened": sum(connection.opened for connection in connections)}


def idle_connections(port: int, seconds: float) -> Done:
    """Opens 400 connections and says nothing."""
    connections = [_Raw(port) for _ in range(400)]
    sleep(seconds)
    return {"connections": len(connections)}


def zeros(port: int, seconds: float) -> Done:
    """Sends 300 MB of zeros as some 300 kB of gzip, again and again."""
    bomb = gzip.compress(bytes(300_000_000), 9)
    block, body = headers(RECOMMEND, grpc_encoding="gzip"), frames(bomb, compressed=True)
    begun, answers, sent = perf_counter(), 0, 0
    while perf_counter() - begun < seconds:
        answers += _deliver(port, block, body)
        sent += 1
        sleep(0.2)
    return {"messages": sent, "answered": answers, "compressed_bytes": len(bomb)}


def heavy_user(port: int, seconds: float) -> Done:
    """Asks for the user with 300,000 events, two at a time."""
    connection = Connection(("127.0.0.1", port))
    block, body = headers(RECOMMEND), frames(recommend_request("k", user="heavy"))
    begun, ended = perf_counter(), 0
    for _ in range(2):
        connection.start(Call(block, body))
    while perf_counter() - begun < seconds:
        connection.send()
        for call in connection.receive():
            ended += call.status == 0
            connection.start(Call(block, body))
        sleep(0.005)
    return {"answered": ended}


ABUSES = (
    Abuse("rapid resets", rapid_reset),
    Abuse("streams never read", unread_streams),
    Abuse("20,000 idle streams", idle_streams),
    Abuse("400 idle connections", idle_connections),
    Abuse("gzip of 300 MB of zeros", zeros),
    Abuse(HEAVY_USER, heavy_user),
)


def _deliver(port: int, block: bytes, body: bytes) -> bool:
    """Sends one large request over a connection of its own, as the windows allow; returns whether it was answered."""
    windows, first, at, data = {0: 65_535, 1: 65_535}, 65_535, 0, b""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.settimeout(10)
        try:
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, END_HEADERS, 1, block))
            while True:
                while at < len(body) and (room := min(16_384, *windows.values())) > 0:
                    part = body[at : at + room]
                    at += len(part)
                    connection.sendall(frame(DATA, END_STREAM * (at == len(body)), 1, part))
                    windows = {stream: window - len(part) for stream, window in windows.items()}
                if not (came := connection.recv(65_536)):
                    return False
                data += came
                while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3]):
                    size, kind, flags, stream = int.from_bytes(data[:3]), data[3], data[4], int.from_bytes(data[5:9])
                    payload, data = data[9 : 9 + size], data[9 + size :]
                    if stream == 1 and (kind == RST_STREAM or (kind in (DATA, HEADERS) and flags & END_STREAM)):
                        return True
                    if kind == WINDOW_UPDATE and stream in windows:
                        windows[stream] += int.from_bytes(payload)
                    elif kind == PING and not flags & ACK:
                        connection.sendall(frame(PING, ACK, 0, payload))
                    elif kind == SETTINGS and not flags & ACK:
                        for number, value in struct.iter_unpack(">HI", payload):
                            if number == 4:
                                windows[1], first = windows[1] + value - first, value
                        connection.sendall(frame(SETTINGS, ACK, 0))
        except OSError:  # the server has had enough
            return False


def _paced(things: Sequence[Any], seconds: float, rate: float) -> Iterator[Any]:
    """Yields the things in a circle, so many a second."""
    begun, number = perf_counter(), 0
    while (now := perf_counter() - begun) < seconds:
        for _ in range(int(now * rate) - number):
            yield things[number % len(things)]
            number += 1
        sleep(0.002)


if __name__ == "__main__":
    name, port, seconds = sys.argv[1:]
    (chosen,) = (abuse for abuse in ABUSES if abuse.name == name)
    print(json.dumps(chosen.run(int(port), float(seconds))))
