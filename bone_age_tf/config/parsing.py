"""How settings are checked, read from JSON and overridden by `--set train.epochs=3`.

Pydantic checks each value against its annotation; what it finds is raised as `UsageError`.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, TypeVar

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo

from bone_age_tf.errors import UsageError

Config = TypeVar("Config")

FROM_LIST = Field(strict=False)
"""In a tuple's annotation: a list is taken, too, which is what JSON makes of it."""


@dataclass(
    frozen=True, config=ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)
)
class Settings:
    """Base of all settings: frozen, and strict: `"3"` is no number, `1` no `bool`.

    `typed_as` is what the user types for the setting `{}`, as in `train.{}` or `--{}`. The docstring of a
    field is what `train --set help` prints.
    """

    _typed_as: ClassVar[str] = "{}"

    def __init_subclass__(cls, *, typed_as: str = "{}", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._typed_as = typed_as

    @model_validator(mode="wrap")
    @classmethod
    def _raise_usage_errors(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            if error.errors()[0]["loc"]:
                raise UsageError(_message(cls, error)) from None
            raise  # not a section at all: named by the settings that it is a part of


def require(condition: bool, setting: str, expected: str, received: object) -> None:
    """Raises `UsageError` where a condition on settings is not met."""
    if not condition:
        raise UsageError(f"{setting} must be {expected}. Received: {received!r}.")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The configuration that `to_dict` wrote. Raises `UsageError` for an unknown setting.

    Read as JSON, since strict validation takes a section as an object there, but no `dict`.
    """
    return TypeAdapter(kind).validate_json(json.dumps(values))


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A copy of `config` changed by assignments such as `train.epochs=3`."""
    values = to_dict(config)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(
                f"--set expects NAME=VALUE, as in train.epochs=3. Received: {assignment!r}."
            )
        *sections, name = path.strip().split(".")
        section = values
        for each in sections:
            section = _look_up(section, each, dict, assignment)
        _look_up(section, name, object, assignment)
        section[name] = None if text.strip().lower() == "none" else text.strip()
    return TypeAdapter(type(config)).validate_python(values, strict=False)


def _look_up(section: dict[str, Any], name: str, kind: type, assignment: str) -> Any:
    found = section.get(name)
    if name not in section or isinstance(found, dict) != (kind is dict):
        raise UsageError(
            f"--set {assignment}: there is no setting {name!r} here. "
            f"Expected one of: {', '.join(sorted(section))}."
        )
    return found


def _message(kind: type[Settings], error: ValidationError) -> str:
    """Pydantic's words for what is expected, after the name that the user types."""
    faults = error.errors()
    names = [field.name for field in dataclasses.fields(kind)]
    unknown = [str(f["loc"][0]) for f in faults if f["type"] == "unexpected_keyword_argument"]
    if unknown:
        return (
            f"{kind.__name__} has no setting {', '.join(sorted(unknown))}. "
            f"Expected: {', '.join(sorted(names))}."
        )
    first = faults[0]
    setting = _as_typed(kind, str(first["loc"][0]))
    if first["type"] == "missing":
        return f"{setting} must be given."
    return (
        f"{setting} {first['msg'].replace('Input should', 'must')}. Received: {first['input']!r}."
    )


def _as_typed(kind: type[Settings], name: str) -> str:
    """`--scale` for `scale`: the title of the setting's field, otherwise as its class says."""
    fields: Mapping[str, FieldInfo] = kind.__pydantic_fields__
    words = name.replace("_", "-") if kind._typed_as.startswith("--") else name
    return (name in fields and fields[name].title) or kind._typed_as.format(words)
