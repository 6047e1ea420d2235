"""The .proto files of TensorFlow Serving's gRPC API, which the wheel `tensorflow-serving-api` holds compiled only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

_KINDS = {
    number: name.removeprefix("TYPE_").lower() for name, number in FieldDescriptorProto.Type.items()
}


def write_proto_files(folder: Path) -> None:
    """Write those of both services and all that they import; Google's own come with each library."""
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    waiting = [model_service_pb2.DESCRIPTOR, prediction_service_pb2.DESCRIPTOR]
    while waiting:
        file = waiting.pop()
        path = folder / file.name
        if file.name.startswith("google/") or path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        described = FileDescriptorProto()
        file.CopyToProto(described)
        path.write_text("\n".join(_file(described)) + "\n")
        waiting.extend(file.dependencies)


def _file(file: FileDescriptorProto) -> Iterator[str]:
    yield f'syntax = "{file.syntax or "proto2"}";'
    yield f"package {file.package};"
    yield from (f'import "{name}";' for name in file.dependency)
    for enum in file.enum_type:
        yield from _enum(enum)
    for message in file.message_type:
        yield from _message(message, "" if file.syntax == "proto3" else "optional ")
    for service in file.service:
        yield f"service {service.name} {{"
        for method in service.method:
            yield f"rpc {method.name} ({method.input_type}) returns ({method.output_type});"
        yield "}"


def _enum(enum: Any) -> Iterator[str]:
    yield f"enum {enum.name} {{"
    if enum.options.allow_alias:
        yield "option allow_alias = true;"
    yield from (f"{value.name} = {value.number};" for value in enum.value)
    yield "}"


def _message(message: Any, optional: str) -> Iterator[str]:
    """`optional` is the label of a field that is neither repeated nor one of several."""
    maps = {one.name: one for one in message.nested_type if one.options.map_entry}
    yield f"message {message.name} {{"
    for enum in message.enum_type:
        yield from _enum(enum)
    for nested in message.nested_type:
        if nested.name not in maps:
            yield from _message(nested, optional)
    for field in message.field:
        if not field.HasField("oneof_index"):
            yield _field(field, maps, optional)
    for number, oneof in enumerate(message.oneof_decl):
        yield f"oneof {oneof.name} {{"
        for field in message.field:
            if field.HasField("oneof_index") and field.oneof_index == number:
                yield _field(field, maps, "")
        yield "}"
    yield "}"


def _field(field: Any, maps: dict[str, Any], optional: str) -> str:
    entry = maps.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = entry.field
        return f"map<{_kind(key)}, {_kind(value)}> {field.name} = {field.number};"
    label = "repeated " if field.label == FieldDescriptorProto.LABEL_REPEATED else optional
    return f"{label}{_kind(field)} {field.name} = {field.number};"


def _kind(field: Any) -> str:
    return field.type_name or _KINDS[field.type]
