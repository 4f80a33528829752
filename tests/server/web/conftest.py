"""Speaks HTTP/1.1 as bytes, so that tests can say what no library would."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any, NamedTuple

import pytest

RECOMMEND = "/honeyguide.v1.RecommenderService/Recommend"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """Of the ErrorInfo; "": there is none."""
        details = self.json.get("details", [])
        return str(details[0]["debug"]["reason"]) if details else ""


class Web:
    """Client of one port."""

    path = RECOMMEND

    async def post(
        self, port: int, path: str, body: Any, method: str = "POST", tls: ssl.SSLContext | None = None, **more: str
    ) -> Answer:
        """Sends one request over a connection of its own; ``more`` are headers, as names of Python."""
        return await self.exchange(port, self.request(path, body, method, **more), tls)

    @staticmethod
    def request(path: str, body: Any, method: str = "POST", **more: str) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", "content-length": str(len(data)), "connection": "close"}
        headers |= {key.replace("_", "-"): value for key, value in more.items()}
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", *(f"{key}: {headers[key]}" for key in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + data

    async def exchange(self, port: int, sent: bytes, tls: ssl.SSLContext | None = None) -> Answer:
        reader, writer = await asyncio.open_connection("localhost" if tls else "127.0.0.1", port, ssl=tls)
        try:
            writer.write(sent)
            return await self.receive(reader)
        finally:
            writer.close()

    @staticmethod
    async def receive(reader: asyncio.StreamReader) -> Answer:
        """Reads until the server closes the connection."""
        head, _, rest = (await asyncio.wait_for(reader.read(), 20)).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in lines)}
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while (size := int(rest.partition(b"\r\n")[0], 16)) > 0:
                start = rest.index(b"\r\n") + 2
                body, rest = body + rest[start : start + size], rest[start + size + 2 :]
        return Answer(int(first.split()[1]), headers, body or rest)


@pytest.fixture
def web() -> Web:
    return Web()
