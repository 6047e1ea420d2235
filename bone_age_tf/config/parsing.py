"""Settings to and from plain JSON types, and `--set train.epochs=3`."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from bone_age_tf.config.checks import alternatives, hints_of, without_extras
from bone_age_tf.errors import UsageError

Config = TypeVar("Config")

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The configuration that `to_dict` wrote. Raises `UsageError` for an unknown setting."""
    hints = hints_of(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise UsageError(
            f"{kind.__name__} has no setting {', '.join(unknown)}. "
            f"Expected: {', '.join(sorted(hints))}."
        )
    return kind(**{name: _restored(value, hints[name]) for name, value in values.items()})


def _restored(value: Any, hint: Any) -> Any:
    """A section as its dataclass, and what JSON made a list as the tuple that it was."""
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value)
    return tuple(value) if typing.get_origin(hint) is tuple else value


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A copy of `config` changed by assignments such as `train.epochs=3`."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(
                f"--set expects NAME=VALUE, as in train.epochs=3. Received: {assignment!r}."
            )
        config = _replace(config, path.strip().split("."), text.strip(), assignment)
    return config


def _replace(config: Any, path: Sequence[str], text: str, assignment: str) -> Any:
    hints = hints_of(type(config))
    name = path[0]
    is_section = dataclasses.is_dataclass(hints.get(name))
    if name not in hints or is_section != (len(path) > 1):
        raise UsageError(
            f"--set {assignment}: there is no setting {name!r} here. "
            f"Expected one of: {', '.join(sorted(hints))}."
        )
    if is_section:
        value = _replace(getattr(config, name), path[1:], text, assignment)
    else:
        value = _parse(text, hints[name], assignment)
    return dataclasses.replace(config, **{name: value})


def _parse(text: str, hint: Any, assignment: str) -> Any:
    kinds = alternatives(hint)
    if type(None) in kinds and text.lower() == "none":
        return None
    kind = without_extras(kinds[0])
    kind = str if typing.get_origin(kind) is Literal else kind
    try:
        return _FLAGS[text.lower()] if kind is bool else kind(text)
    except (KeyError, ValueError):
        raise UsageError(
            f"--set {assignment}: expected a value of type {kind.__name__}. Received: {text!r}."
        ) from None
