"""Reads requests of JSON and of protobuf, and writes answers, so that what is behind sees protobuf alone."""

from __future__ import annotations

from typing import Any, NamedTuple

from connectrpc.codec import Codec
from connectrpc.compression.gzip import GzipCompression
from google.protobuf.json_format import MessageToJson, Parse, ParseError
from google.protobuf.message import EncodeError, Message

from honeyguide.sdk.errors import Malformed, TooLarge
from honeyguide.server.api.reading import MAX_MESSAGE_BYTES, inflate

__all__ = ["CODECS", "Body", "Gzip", "from_json", "to_json"]

_MOST_VALUES = 100_000
"""Commas in one request: three times what any rpc takes. A value costs microseconds in Python; 8 MiB hold millions."""
_MOST_LETTERS = 300
"""Of the parser's own words, which list every field that there is."""


class Body(NamedTuple):
    """Request as it came, perhaps compressed; it is read when its caller is known."""

    data: bytes
    is_json: bool


class _Unread(Codec[bytes, Any]):
    """Codec that leaves requests unread, and takes answers that are written already."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        """Returns what the content type calls it."""
        return self._name

    def encode(self, message: bytes) -> bytes:
        """Returns the answer as it is."""
        return message

    def decode(self, data: bytes | bytearray, message_class: type[Any]) -> Any:  # noqa: ARG002  # the library's
        """Returns the request as it came."""
        return Body(bytes(data), self._name == "json")


CODECS = (_Unread("proto"), _Unread("json"))


class Gzip(GzipCompression):
    """The library's gzip for answers; requests stay packed until `from_json` and gRPC's own reader take them."""

    def decompress(self, data: bytes | bytearray | memoryview, read_max_bytes: int | None = None) -> bytes:  # noqa: ARG002
        """Returns the data as they are: they are inflated when their caller is known, no further than is read."""
        return bytes(data)


def from_json(data: bytes, message: Message) -> bytes:
    """Returns the protobuf of a request in JSON; raises `TooLarge` or `Malformed`, as of a field that there is not.

    Args:
        data: the JSON, perhaps compressed with gzip; empty is an empty message.
        message: an empty message of the request's kind, which is filled.
    """
    text = inflate(data)
    if len(text) > MAX_MESSAGE_BYTES:
        raise TooLarge(f"the JSON has more than {MAX_MESSAGE_BYTES:,} bytes, which is what is allowed; send several")
    if text.count(b",") > _MOST_VALUES:
        raise TooLarge(f"the JSON has more than {_MOST_VALUES:,} values; send several")
    if text and text.lstrip()[:1] in (b"[", b'"'):  # json_format takes what is empty of these
        raise Malformed("no request of this call: the JSON is no object")
    try:
        if text:
            Parse(text, message)
        return message.SerializeToString()
    except ParseError as error:
        raise Malformed(f"no request of this call: {_shortened(str(error))}") from error
    except RecursionError as error:
        raise Malformed("no request of this call: the JSON is nested too deeply") from error
    # What json_format lets through: lone surrogates, and values whose kind no field takes.
    except (ValueError, TypeError, AttributeError, EncodeError) as error:
        raise Malformed("no request of this call: a value is not what its field takes") from error


def to_json(payload: bytes, message: Message) -> bytes:
    """Returns the JSON of an answer in protobuf; ``message``: an empty one of its kind, which is filled."""
    message.ParseFromString(payload)
    return MessageToJson(message, indent=None, ensure_ascii=False).encode()


def _shortened(words: str) -> str:
    """Returns the first line of what a parser says."""
    line = words.partition("\n")[0]
    return line if len(line) <= _MOST_LETTERS else line[:_MOST_LETTERS] + "…"
