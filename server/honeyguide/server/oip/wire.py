"""Gives the protocol its name on the wire, which our package cannot have: see ``protos/honeyguide/oip/v2``."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from honeyguide.oip.v2 import inference_pb2

__all__ = ["INFER", "SERVICE", "wire_file"]

SERVICE = "inference.GRPCInferenceService"
"""Name of the service on the wire."""
INFER = f"/{SERVICE}/ModelInfer"
"""Path of the one method that the workers answer."""


def wire_file() -> FileDescriptorProto:
    """Returns the file of the protocol as reflection shows it: in the package `inference`."""
    own, wire = inference_pb2.DESCRIPTOR.package, SERVICE.rpartition(".")[0]
    text = inference_pb2.DESCRIPTOR.serialized_pb
    file = FileDescriptorProto.FromString(text)
    file.name, file.package = "inference.proto", wire
    file.ClearField("options")  # what code in other languages would be called
    messages = list(file.message_type)
    for message in messages:  # nested ones come to the end of the list
        messages.extend(message.nested_type)
        for field in message.field:
            if field.type_name:  # set to "", it would count as given
                field.type_name = field.type_name.replace(f".{own}.", f".{wire}.")
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(f".{own}.", f".{wire}.")
        method.output_type = method.output_type.replace(f".{own}.", f".{wire}.")
    return file
