"""Makes the page of the API from the comments of the protos: every rpc, field, enum, limit and error."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

__all__ = ["details", "page"]

PROTOS = Path(__file__).parents[1] / "protos"
FILES = ("recommender_service", "event_service", "model_service", "history", "errors")
_OPENING = """\
What [the protos](../protos/honeyguide/v1) say, on one page. [What may change](compatibility.md);
[every error](errors.md); [other languages](other-languages.md). A field marked *optional* knows unset from zero."""
_DETAILS = (
    ("Python", "`googleapis-common-protos`", "`rpc_status.from_call(error)` of `grpcio-status`"),
    (
        "TypeScript",
        "none alone on npm; three are in [`clients/typescript/proto`](../clients/typescript/proto)",
        "`ConnectError.findDetails(ErrorInfoSchema)`",
    ),
    ("Go", "`google.golang.org/genproto/googleapis/rpc/errdetails`", "`status.Convert(err).Details()`"),
    ("Java", "`com.google.api.grpc:proto-google-common-protos`", "`StatusProto.fromThrowable(error)`"),
    (
        "C++",
        "a checkout of googleapis, or the files of pip's `googleapis-common-protos`",
        "`google::rpc::Status::ParseFromString(status.error_details())`",
    ),
    ("Ruby", "the gem `googleapis-common-protos-types`", "`error.to_rpc_status`"),
    ("C#", "`Google.Api.CommonProtos`, `Grpc.StatusProto`", "`exception.GetRpcStatus()`"),
    ("grpcurl", "inside", "it prints them"),
)
"""Language, where google/rpc's messages are found, and how they are read."""
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
"""Numbers of a file's parts in the paths of its comments (google/protobuf/descriptor.proto)."""

Table = Callable[[Sequence[str], Iterable[Sequence[object]]], str]


def page(note: str, table: Table) -> str:
    """Returns the page; `note` says who made it, `table` writes a table."""
    parts = [
        "# API v1",
        note.strip(),
        _OPENING,
    ]
    for file in _files():
        parts += list(_file(file, table))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def details(table: Table) -> str:
    """Returns the section on reading the details of an error."""
    return (
        "## Reading the details\n\n"
        "They travel in the trailing metadata `grpc-status-details-bin`, the bytes of a `google.rpc.Status`\n"
        "(`google/rpc/status.proto`, `error_details.proto`). The examples in [`clients/`](../clients) do it.\n\n"
        + table(("language", "package", "how"), _DETAILS)
    )


def _files() -> list[FileDescriptorProto]:
    """Reads the protos with their comments."""
    names = [f"honeyguide/v1/{name}.proto" for name in FILES]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        flags = ["--include_source_info", f"-I{PROTOS}", f"--descriptor_set_out={out}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *names], check=True)  # noqa: S603  # ours
        files = {file.name: file for file in FileDescriptorSet.FromString(out.read_bytes()).file}
    return [files[name] for name in names]


def _file(file: FileDescriptorProto, table: Table) -> Iterable[str]:
    comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}

    def said(*path: int) -> str:
        return _text(comments.get(path, ""))

    for s, service in enumerate(file.service):
        yield f"## {service.name}"
        yield said(_SERVICES, s)
        rpcs = []
        for m, method in enumerate(service.method):
            sides = [
                ("stream " if streams else "") + _link(name)
                for streams, name in (
                    (method.client_streaming, method.input_type),
                    (method.server_streaming, method.output_type),
                )
            ]
            rpcs.append((f"`{method.name}`", *sides, said(_SERVICES, s, 2, m)))
        yield table(("rpc", "request", "response", "what it does"), rpcs)
    if not file.service:
        yield f"## {file.name.rpartition('/')[2]}"
    for n, message in enumerate(file.message_type):
        maps = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
        yield f"### {message.name}"
        yield said(_MESSAGES, n)
        fields = [
            (field.number, f"`{field.name}`", _type(field, message, maps), said(_MESSAGES, n, 2, f))
            for f, field in enumerate(message.field)
        ]
        if fields:
            yield table(("number", "field", "type", "meaning, limits, zero"), fields)
    for n, enum in enumerate(file.enum_type):
        yield f"### {enum.name}"
        yield said(_ENUMS, n)
        values = [(value.number, f"`{value.name}`", said(_ENUMS, n, 2, v)) for v, value in enumerate(enum.value)]
        yield table(("number", "value", "meaning"), values)


def _type(field: FieldDescriptorProto, message: Any, maps: dict[str, Any]) -> str:
    name = field.type_name.rpartition(".")[2]
    if name in maps:
        key, value = (_type(part, message, {}) for part in maps[name].field)
        return f"map of {key} to {value}"
    kind = _link(field.type_name) if name else FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {kind}"
    if field.proto3_optional:
        return f"*optional* {kind}"
    return f"{kind}, one of `{message.oneof_decl[field.oneof_index].name}`" if field.HasField("oneof_index") else kind


def _link(full_name: str) -> str:
    name = full_name.rpartition(".")[2]
    return f"[{name}](#{name.lower()})"


def _text(comment: str) -> str:
    """Returns a comment as one line; its first is a sentence about what follows it."""
    return re.sub(r"\s+", " ", comment).strip()
