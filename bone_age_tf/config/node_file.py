"""The settings of the DICOM node as a file, `node.toml`.

Relative paths in it are those from the folder of the file. Every error names the file, the section and the setting.
"""

import dataclasses
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bone_age_tf.config.dicom_output import DicomOutputConfig
from bone_age_tf.config.node import (
    NodeConfig,
    NodeSection,
    Rule,
    StoreDestination,
    TlsSection,
    WebDestination,
)
from bone_age_tf.errors import UsageError

Section = TypeVar("Section")

SECTIONS = ("node", "tls", "output", "destination", "rule")
_PATHS = {"node": ("spool", "model", "audit"), "tls": ("certificate", "key", "ca")}


def read_node_file(path: str | Path) -> NodeConfig:
    """The settings. Raises `UsageError` for a file that is not what the node expects."""
    path = Path(path)
    file = _File(path, _parsed(path))
    config = {
        "node": file.section("node", NodeSection),
        "tls": file.section("tls", TlsSection) if "tls" in file.values else None,
        "output": file.section("output", DicomOutputConfig),
        "destinations": file.sections("destination"),
        "rules": file.sections("rule"),
    }
    try:
        return NodeConfig(**config)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(
            f"{path}: expected TOML in UTF-8. Received something else ({error})."
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
    unknown = sorted(set(values) - set(SECTIONS))
    if unknown:
        raise UsageError(
            f"{path}: there is no section or setting {', '.join(unknown)} at the top. Expected the sections [node], "
            "[tls], [output], [[destination]] and [[rule]]."
        )
    if "node" not in values:
        raise UsageError(f"{path}: expected a section [node]. Received none.")
    return values


@dataclasses.dataclass(frozen=True)
class _File:
    path: Path
    values: Mapping[str, Any]

    def section(self, name: str, kind: type[Section]) -> Section:
        """`[name]`."""
        values = self.values.get(name, {})
        if not isinstance(values, dict):
            raise UsageError(
                f"{self.path}: expected one section [{name}]. Received: {_shown(values)}."
            )
        return self._made(f"[{name}]", kind, self._resolved(name, values))

    def sections(self, name: str) -> Sequence[Any]:
        """`[[name]]`, in their order."""
        values = self.values.get(name, [])
        if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
            raise UsageError(
                f"{self.path}: expected sections [[{name}]], in double brackets. Received: {_shown(values)}."
            )
        return tuple(
            self._made(f"[[{name}]] {number}", _kind_of(name, one), one)
            for number, one in enumerate(values, 1)
        )

    def _made(self, where: str, kind: type[Section], values: Mapping[str, Any]) -> Section:
        known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UsageError(
                f"{self.path}, {where}: there is no setting {', '.join(unknown)}. "
                f"Expected: {', '.join(known)}.{_HINTS.get(kind, '')}"
            )
        try:
            # As JSON, since strict validation takes a list as a tuple there.
            return TypeAdapter(kind).validate_json(json.dumps(values, default=str))
        except UsageError as error:
            raise UsageError(f"{self.path}, {where}: {error}") from None
        except ValidationError as error:
            raise UsageError(f"{self.path}, {where}: {error.errors()[0]['msg']}.") from None

    def _resolved(self, section: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Paths from the folder of the file become absolute."""
        changed = dict(values)
        for name in _PATHS.get(section, ()):
            given = changed.get(name)
            if isinstance(given, str) and given and (section, given) != ("node", "shipped"):
                changed[name] = os.path.normpath(
                    self.path.parent.absolute() / Path(given).expanduser()
                )
        return changed


_HINTS: dict[type, str] = {
    WebDestination: " A destination with a url is a DICOMweb server, one without is sent to by C-STORE.",
}


def _kind_of(name: str, values: Mapping[str, Any]) -> type:
    if name == "rule":
        return Rule
    return WebDestination if "url" in values else StoreDestination


def _shown(values: Any) -> str:
    text = json.dumps(values, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
