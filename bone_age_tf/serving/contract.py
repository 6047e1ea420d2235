"""TensorFlow Serving's REST bodies: JSON <-> arrays by input name, and its error codes.

Row form: `{"instances": [{"image_bytes": {"b64": ...}, "sex": "F"}]}` -> `{"predictions": [...]}`.
Column form: `{"inputs": {"image_bytes": [...], "sex": [...]}}` -> `{"outputs": {...}}`. Where a
signature has one input (or output), its value may stand (or stands) there without its name. Bytes are
`{"b64": TEXT}`; an output whose name ends in `_bytes` is written so, others as text.
"""

import base64
import binascii
import dataclasses
import enum
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

DEFAULT_SIGNATURE = "serving_default"


class Code(enum.Enum):
    """What went wrong, with the HTTP status that TensorFlow Serving gives it."""

    INVALID_ARGUMENT = 400
    UNAUTHENTICATED = 401
    PERMISSION_DENIED = 403
    NOT_FOUND = 404
    INTERNAL = 500
    UNAVAILABLE = 503


class ServingError(Exception):
    """An error response: its code and one line of text for the client."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.http_status: int = code.value


def invalid(message: str) -> ServingError:
    """An error of the request itself."""
    return ServingError(Code.INVALID_ARGUMENT, message)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An input or output of a signature."""

    dtype: np.dtype
    """`object` for strings."""
    shape: tuple[int | None, ...]
    """None where a dimension is free; the first is that of the radiographs."""


@dataclasses.dataclass(frozen=True)
class Request:
    """A decoded predict request."""

    signature: str
    inputs: Mapping[str, np.ndarray]
    """By name, all with the same first dimension."""
    is_rows: bool


def parse(body: bytes, signatures: Mapping[str, Mapping[str, Tensor]]) -> Request:
    """A body -> the request. `signatures` are the inputs of each. Raises `ServingError`."""
    content = _content(body)
    name = content.get("signature_name") or DEFAULT_SIGNATURE
    if not isinstance(name, str) or name not in signatures:
        raise invalid(
            f"Serving signature name: {name!r} not found. There are: {', '.join(sorted(signatures))}."
        )
    expected = signatures[name]
    is_rows = "instances" in content
    columns = (
        _columns_of_rows(content["instances"], expected)
        if is_rows
        else _columns(content["inputs"], expected)
    )
    return Request(name, to_arrays(columns, expected), is_rows)


def _content(body: bytes) -> dict[str, Any]:
    """The object of a body, which has rows or columns. Raises `ServingError`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON parse error: {error}") from error
    if not isinstance(content, dict):
        raise invalid("The body must be a JSON object with 'instances' or 'inputs'.")
    if ("instances" in content) == ("inputs" in content):
        raise invalid(
            "The body must have exactly one of 'instances' (rows) and 'inputs' (columns)."
        )
    return content


def to_arrays(columns: Mapping[str, Any], expected: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Lists or arrays by name -> arrays of the dtypes and shapes of the signature. Raises `ServingError`."""
    require_names(columns, expected)
    arrays = {name: _array(name, columns[name], tensor) for name, tensor in expected.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise invalid(f"The inputs have different numbers of radiographs: {lengths}.")
    if not min(lengths.values()):
        raise invalid("The request holds no radiograph.")
    return arrays


def require_names(given: Mapping[str, Any], expected: Mapping[str, Tensor]) -> None:
    """Raises `ServingError` where an input is missing or unknown."""
    missing, unknown = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
    if missing or unknown:
        raise invalid(
            f"The inputs must be {', '.join(sorted(expected))}."
            + (f" Missing: {', '.join(missing)}." if missing else "")
            + (f" Unknown: {', '.join(name[:40] for name in unknown)}." if unknown else "")
        )


def reply(request: Request, outputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The body of the answer, its names in one order: a signature of protobuf has them in any."""
    values = {name: _jsonable(name, outputs[name]) for name in sorted(outputs)}
    if not request.is_rows:
        return {"outputs": next(iter(values.values())) if len(values) == 1 else values}
    if len(values) == 1:
        return {"predictions": next(iter(values.values()))}
    rows = zip(*values.values(), strict=True)
    return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}


def _columns_of_rows(rows: Any, expected: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances' must be a list with an entry for each radiograph.")
    only = next(iter(expected)) if len(expected) == 1 else None
    objects = []
    for entry in rows:
        is_bare = only is not None and not (isinstance(entry, dict) and set(entry) == {only})
        row = {str(only): entry} if is_bare else entry
        if not isinstance(row, dict):
            raise invalid(
                f"Each entry of 'instances' must be an object with {', '.join(sorted(expected))}."
            )
        require_names(row, expected)
        objects.append(row)
    return {name: [row[name] for row in objects] for name in expected}


def _columns(inputs: Any, expected: Mapping[str, Tensor]) -> Mapping[str, Any]:
    only = next(iter(expected)) if len(expected) == 1 else None
    if only is not None and not (isinstance(inputs, dict) and set(inputs) == {only}):
        return {only: inputs}
    if not isinstance(inputs, dict):
        raise invalid(f"'inputs' must be an object with {', '.join(sorted(expected))}.")
    return inputs


def _array(name: str, values: Any, tensor: Tensor) -> np.ndarray:
    if tensor.dtype == object:
        return _strings(name, values)
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf" or (array.dtype.kind == "f" and tensor.dtype.kind != "f"):
            raise ValueError(f"numbers of type {tensor.dtype} are expected")
        exact = array.astype(tensor.dtype)
        if tensor.dtype.kind != "f" and not np.array_equal(exact, array):
            raise ValueError(f"a number is outside of {tensor.dtype}")
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid(f"Input {name!r} is not an array of numbers: {error}.") from error
    wanted = tensor.shape
    if array.ndim != len(wanted) or any(
        size not in (None, got) for size, got in zip(wanted, array.shape, strict=True)
    ):
        raise invalid(
            f"Input {name!r} must have the shape {list(wanted)}, got {list(array.shape)}."
        )
    return exact


def _strings(name: str, values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, list):
        raise invalid(f"Input {name!r} must be a list with a text or bytes for each radiograph.")
    array = np.empty(len(values), object)
    array[:] = [_bytes(name, value) for value in values]
    return array


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
        try:
            text = "".join(value["b64"].split())
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f"Input {name!r}: not base64: {error}.") from error
    raise invalid(
        f'Input {name!r} must be text, or bytes as {{"b64": BASE64}}. Received {type(value).__name__}.'
    )


def _jsonable(name: str, array: np.ndarray) -> list[Any]:
    if array.dtype == object:
        if name.endswith("_bytes"):
            return [{"b64": base64.b64encode(value).decode()} for value in array]
        return [value.decode("utf-8", "replace") for value in array]
    if array.dtype == np.float32:
        return _short(array)
    return array.tolist()


def _short(array: np.ndarray) -> Any:
    """Nested lists whose numbers have the digits of float32, not more."""
    if array.ndim == 0:
        return float(str(array))
    return [_short(part) for part in array]
