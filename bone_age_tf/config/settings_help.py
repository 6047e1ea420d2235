"""Every setting in words: what `train --set help` prints."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from bone_age_tf.config.parsing import to_dict

_KINDS = {"integer": "whole number", "number": "number", "boolean": "true or false"}

Described = Sequence[tuple[str, str]]
"""`train.epochs=24`, and what it may be and means."""


def settings_help(config: Any) -> dict[str, Described]:
    """Title of each section -> its settings, with their values in `config`.

    Names, types, ranges and texts are those of the JSON schema that Pydantic makes of the dataclasses.
    """
    schema = TypeAdapter(type(config)).json_schema()
    values, plain, sections = to_dict(config), [], {}
    for name, field in schema["properties"].items():
        if "$ref" in field:
            part = schema["$defs"][field["$ref"].rpartition("/")[2]]
            fields = part["properties"].items()
            title = f"{name}: {part['description']}"
            sections[title] = [_row(f"{name}.{n}", f, values[name][n]) for n, f in fields]
        elif name != "recipe":  # chosen by --recipe
            plain.append(_row(name, field, values[name]))
    return ({schema["description"]: plain} if plain else {}) | sections


def _row(name: str, field: Mapping[str, Any], value: Any) -> tuple[str, str]:
    shown = {None: "none", True: "true", False: "false"}[value] if _is_word(value) else value
    text = " ".join(field.get("description", "").split()).replace("None:", "none:")
    return f"{name}={shown}", f"{_kind(field)}. {text}"


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _kind(field: Mapping[str, Any]) -> str:
    """What a setting may be: `whole number, at least 1, or none`."""
    if "anyOf" in field:
        (kind,) = (one for one in field["anyOf"] if one["type"] != "null")
        return f"{_kind(kind)}, or none"
    if "enum" in field:
        *others, last = field["enum"]
        return f"{', '.join(others)} or {last}"
    limits = {
        "at least": field.get("minimum"),
        "above": field.get("exclusiveMinimum"),
        "at most": field.get("maximum"),
        "below": field.get("exclusiveMaximum"),
    }
    words = [f"{word} {limit}" for word, limit in limits.items() if limit is not None]
    return ", ".join([_KINDS.get(field["type"], "text"), *words])
