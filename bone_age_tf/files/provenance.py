"""`provenance.json`: how the results in the same folder were made. A training run has a `run.json` instead."""

import json
from pathlib import Path
from typing import Any

from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.versions import versions

PROVENANCE = "provenance.json"


def write_provenance(folder: Path, command: str, **facts: Any) -> None:
    """Record command, versions and these facts, in plain JSON types."""
    write_json(folder / PROVENANCE, {"command": command, **facts, "versions": versions()})


def model_name(model: str | Path) -> str:
    """How results name a model: its folder, after the folder above it where it is a number, as in `runs/1`."""
    path = Path(model).resolve()
    return f"{path.parent.name}/{path.name}" if path.name.isdigit() else path.name


def read_provenance(folder: Path) -> dict[str, Any]:
    """The content that `write_provenance` wrote. Raises `OSError` or `ValueError` if it cannot be read."""
    values = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise ValueError(f"{folder / PROVENANCE}: expected a JSON object")
    return values
