"""What a setting may be is said by its annotation, and checked when the settings are made.

| annotation                                  | takes                                              |
|---------------------------------------------|----------------------------------------------------|
| `bool`, `int`, `float`, `str`               | a value of that type (an `int` is a `float`, too)  |
| `Literal["relu", "elu"]`                    | one of these                                       |
| `Annotated[float, Bounds(gt=0, le=1)]`      | a number above 0 and at most 1                     |
| `X | None`                                  | what `X` takes, or None                            |

Nothing is converted: `"3"` is no number, `1` no `bool`.
"""

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from bone_age_tf.errors import UsageError

_KINDS: Mapping[Any, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """The range of a number, named as in Python's operators."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        if self.ge is not None and self.le is not None:
            return f"between {self.ge:g} and {self.le:g}"
        words = {"at least": self.ge, "above": self.gt, "at most": self.le, "below": self.lt}
        return " and ".join(f"{word} {end:g}" for word, end in words.items() if end is not None)


@dataclasses.dataclass(frozen=True)
class TypedAs:
    """In an annotation: what the user types for this setting, where it is not the class's pattern."""

    name: str


class Settings:
    """Base of all settings, frozen dataclasses that raise `UsageError` for what a setting cannot be.

    `typed_as` is what the user types for the setting `{}`, as in `train.{}` or `--{}`.
    """

    _typed_as: ClassVar[str] = "{}"

    def __init_subclass__(cls, *, typed_as: str = "{}", **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._typed_as = typed_as

    def __post_init__(self) -> None:
        for name, hint in hints_of(type(self)).items():
            value = getattr(self, name)
            expected = _unmet(value, hint)
            require(expected is None, self._name(name, hint), expected or "", value)

    def _name(self, name: str, hint: Any) -> str:
        given = [m.name for m in getattr(hint, "__metadata__", ()) if isinstance(m, TypedAs)]
        words = name.replace("_", "-") if self._typed_as.startswith("--") else name
        return given[0] if given else self._typed_as.format(words)


def require(condition: bool, setting: str, expected: str, received: object) -> None:
    """Raises `UsageError` where a condition on settings is not met."""
    if not condition:
        raise UsageError(f"{setting} must be {expected}. Received: {received!r}.")


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass's fields, in order."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def without_extras(hint: Any) -> Any:
    """`int` for `Annotated[int, ...]`."""
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The members of `X | None`; of anything else, itself."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _unmet(value: Any, hint: Any) -> str | None:
    """What this annotation expects, where the value is not that."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if len(alternatives(hint)) > 1:
        if value is None and type(None) in arguments:
            return None
        return _unmet(value, arguments[0])
    if origin is Literal:
        return None if value in arguments else f"one of {', '.join(arguments)}"
    if origin is Annotated:
        bounds = [extra for extra in arguments[1:] if isinstance(extra, Bounds)]
        outside = (str(each) for each in bounds if value not in each)
        return _unmet(value, arguments[0]) or next(outside, None)
    kind, expected = _KINDS.get(hint, (origin or hint, f"a {getattr(hint, '__name__', hint)}"))
    is_flag = isinstance(value, bool) and hint in (int, float)
    return expected if is_flag or not isinstance(value, kind) else None
