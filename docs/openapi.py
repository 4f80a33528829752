"""Describes the web port in OpenAPI 3.1, from the protos: every rpc, field and error, with the protos' own words."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)

from honeyguide.sdk import errors

PROTOS = Path(__file__).parents[1] / "protos"
PACKAGE = "honeyguide.v1"

Schema = dict[str, Any]
Places = dict[tuple[int, ...], str]
"""Comments by the path of what they stand at, as descriptors number it."""

SCALARS: Mapping[int, Schema] = {
    FieldDescriptorProto.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptorProto.TYPE_FLOAT: {"type": "number", "format": "float"},
    FieldDescriptorProto.TYPE_INT64: {"type": ["string", "integer"], "format": "int64", "pattern": "^-?[0-9]+$"},
    FieldDescriptorProto.TYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptorProto.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptorProto.TYPE_STRING: {"type": "string"},
}
"""By protobuf's rules for JSON: an int64 is a string in answers, and may be a number in requests."""

HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""Connect's status of each code that the errors have."""

HEADERS = (
    (
        "Connect-Timeout-Ms",
        "Deadline in milliseconds, at most 10 digits.",
        {"type": "string", "pattern": "^[0-9]{1,10}$"},
    ),
    ("X-Request-Id", "Names the call in answers, errors and logs; it comes back.", {"type": "string", "maxLength": 64}),
    ("traceparent", "W3C Trace Context; names the call where there is no X-Request-Id.", {"type": "string"}),
)


def document() -> Schema:
    """Returns the whole description."""
    schemas: Schema = {"connect.Error": _error()}
    paths: Schema = {}
    tags = []
    for file in _files():
        comments = _comments(file)
        for index, enum in enumerate(file.enum_type):
            schemas[f"{PACKAGE}.{enum.name}"] = _enum(enum, comments, (5, index))
        for index, message in enumerate(file.message_type):
            schemas |= _messages(message, PACKAGE, comments, (4, index))
        for number, service in enumerate(file.service):
            tags.append({"name": service.name, "description": comments.get((6, number), "")})
            for index, rpc in enumerate(service.method):
                if not rpc.client_streaming:
                    path = f"/{PACKAGE}.{service.name}/{rpc.name}"
                    paths[path] = {"post": _operation(service.name, rpc, comments.get((6, number, 2, index), ""))}
    asked, answered = ([each["post"][part] for each in paths.values()] for part in ("requestBody", "responses"))
    answers = _used(answered, schemas)
    used = answers | _used(asked, schemas)
    for name in used - answers:
        if schemas[name]["type"] == "object":
            schemas[name]["additionalProperties"] = False  # what a server does not know it refuses; answers may grow
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Honeyguide",
            "version": "1",
            "summary": "Recommendations over HTTP: the rpcs of honeyguide.v1 as JSON.",
            "description": "Made from the protos by `make docs`. What is empty, zero or false is left out of answers.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:8080", "description": "honeyguide serve --web-port 8080"}],
        "security": [{}, {"token": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": {name: schemas[name] for name in sorted(used)},
            "parameters": {
                name: {"name": name, "in": "header", "description": words, "schema": schema}
                for name, words, schema in HEADERS
            },
            "responses": {str(status): _response(status) for status in sorted(set(HTTP.values()))},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Needed where the server has callers."}
            },
        },
    }


def _files() -> list[FileDescriptorProto]:
    """Reads the protos with their comments, which the stubs leave out."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set.binpb"
        names = sorted(path.relative_to(PROTOS).as_posix() for path in (PROTOS / "honeyguide" / "v1").glob("*.proto"))
        flags = [f"-I{PROTOS}", "--include_source_info", f"--descriptor_set_out={out}"]
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *names], check=True)  # noqa: S603  # ours
        return list(FileDescriptorSet.FromString(out.read_bytes()).file)


def _comments(file: FileDescriptorProto) -> Places:
    found = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
    return {path: " ".join(words.split()) for path, words in found.items() if words}


def _operation(service: str, rpc: MethodDescriptorProto, words: str) -> Schema:
    return {
        "operationId": f"{service}_{rpc.name}",
        "tags": [service],
        "description": words,
        "parameters": [{"$ref": f"#/components/parameters/{header}"} for header, _, _ in HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _reference(rpc.input_type)}}},
        "responses": {
            "200": {
                "description": "The answer.",
                "content": {"application/json": {"schema": _reference(rpc.output_type)}},
            }
        }
        | {str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(set(HTTP.values()))},
    }


def _response(status: int) -> Schema:
    classes = [getattr(errors, name) for name in errors.__all__]
    reasons = sorted({each.reason for each in classes if HTTP.get(each.code) == status})
    return {
        "description": "Reasons: " + ", ".join(reasons) + ".",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/connect.Error"}}},
    }


def _error() -> Schema:
    detail = {
        "type": "object",
        "required": ["type", "value"],
        "properties": {
            "type": {"type": "string", "description": "As google.rpc.ErrorInfo, google.rpc.BadRequest."},
            "value": {"type": "string", "description": "The detail as protobuf, in base64 without padding."},
            "debug": {"type": "object", "description": "The same as JSON; of an ErrorInfo: reason, domain, metadata."},
        },
    }
    codes = sorted({code.lower() for code in HTTP} | {"unimplemented", "canceled"})
    return {
        "type": "object",
        "description": "An error as Connect writes it; reasons are in errors.md.",
        "required": ["code"],
        "properties": {
            "code": {"type": "string", "enum": codes},
            "message": {"type": "string"},
            "details": {"type": "array", "items": detail},
        },
    }


def _enum(enum: EnumDescriptorProto, comments: Places, path: tuple[int, ...]) -> Schema:
    lines = [comments.get(path, "")]
    lines += [f"{value.name}: {comments.get((*path, 2, index), '')}" for index, value in enumerate(enum.value)]
    return {"type": "string", "description": "\n".join(lines), "enum": [value.name for value in enum.value]}


def _messages(message: DescriptorProto, prefix: str, comments: Places, path: tuple[int, ...]) -> Schema:
    """Returns the schemas of a message and of those inside it."""
    name = f"{prefix}.{message.name}"
    maps = {f".{name}.{inner.name}": inner for inner in message.nested_type if inner.options.map_entry}
    properties = {
        field.json_name: _field(field, maps, comments.get((*path, 2, index), ""))
        for index, field in enumerate(message.field)
    }
    found = {
        name: {
            "type": "object",
            "description": comments.get(path, ""),
            "properties": properties,
        }
    }
    for index, inner in enumerate(message.nested_type):
        if not inner.options.map_entry:
            found |= _messages(inner, name, comments, (*path, 3, index))
    for index, enum in enumerate(message.enum_type):
        found[f"{name}.{enum.name}"] = _enum(enum, comments, (*path, 4, index))
    return found


def _field(field: FieldDescriptorProto, maps: Mapping[str, DescriptorProto], words: str) -> Schema:
    if entry := maps.get(field.type_name):
        return {"type": "object", "description": words, "additionalProperties": _kind(entry.field[1])}
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return {"type": "array", "description": words, "items": _kind(field)}
    return {"description": words, **_kind(field)}


def _kind(field: FieldDescriptorProto) -> Schema:
    return _reference(field.type_name) if field.type_name else dict(SCALARS[field.type])


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name.removeprefix('.')}"}


def _used(part: Any, schemas: Mapping[str, Schema]) -> set[str]:
    """Returns the names of the schemas that a part refers to, and those refer to."""
    found: set[str] = {"connect.Error"}
    waiting = [part]
    while waiting:
        for reference in _references(waiting.pop()):
            name = reference.rpartition("/")[2]
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(reference := part.get("$ref"), str):
            yield reference
        for inner in part.values():
            yield from _references(inner)
    elif isinstance(part, Sequence) and not isinstance(part, str):
        for inner in part:
            yield from _references(inner)
