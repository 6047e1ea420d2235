"""A run folder before training touches it: is it ours, and is it the same run?"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bone_age_tf.errors import UsageError
from bone_age_tf.training.run import RUN_FILE, RUN_SCHEMA

LOCK = ".lock"
LOCALIZER_RUN_SCHEMA = "bone-age-tf/localizer-run/1"
SCHEMAS = (RUN_SCHEMA, LOCALIZER_RUN_SCHEMA)


def require_run_folder(folder: Path) -> None:
    """Refuse a folder of anything else: --fresh would delete it."""
    paths = list(folder.iterdir()) if folder.exists() else []
    ours = [path for path in paths if path.name == LOCK or path.name.endswith(".writing")]
    if len(paths) > len(ours) and not _is_run(folder / RUN_FILE):
        raise UsageError(
            f"--run {folder}: expected a new folder, or one that `train` began. "
            f"Received a folder with other files and no {RUN_FILE}. Choose another --run."
        )


def _is_run(path: Path) -> bool:
    """Whether a file is the description of a training run."""
    try:
        schema = json.loads(path.read_text(encoding="utf-8")).get("schema", "")
    except (OSError, ValueError, AttributeError):
        return False
    return schema in SCHEMAS


def clear(folder: Path) -> None:
    """Delete what a run has written, but for the lock."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == RUN_FILE):  # that last
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def require_same_run(folder: Path, description: dict[str, Any]) -> None:
    """Refuse to go on in a run that was begun with other settings or data.

    Raises `UsageError` with a line for every difference.
    """
    path = folder / RUN_FILE
    if not path.exists():
        return
    changes = _differences(json.loads(path.read_text(encoding="utf-8")), description)
    if changes:
        raise UsageError(
            f"{folder} was begun with other settings or data:\n  "
            + "\n  ".join(changes)
            + "\nGive the same ones to go on, choose another --run, or say --fresh to start over."
        )


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """A line for every setting that is not the same; versions, results and logs may differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [key for key in new if key not in ("versions", "result", "logging")]
        return [
            line
            for key in keys
            for line in _differences(old.get(key), new[key], f"{name}.{key}".lstrip("."))
        ]
    return [] if old == new else [f"{name}: was {old!r}, now {new!r}"]
