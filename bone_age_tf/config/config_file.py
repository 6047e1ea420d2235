"""The settings of a run as a file: `train --config run.toml`.

TOML with the names of `--set`, its sections as tables. TOML has no empty value: `"none"` stands for it, as
in `--set`. The `run.json` of a run is read, too.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bone_age_tf.config.parsing import Config, from_dict, to_dict
from bone_age_tf.errors import UsageError

CONFIG_FILE = "run.toml"
"""Name of the file in a run folder."""
_HEADER = """\
# Settings of a run. Another run with the same ones, or with those that you change:
#   bone-age-tf train --config {} --data DATA --run RUN
# "none" is the empty value. `bone-age-tf train --set help` explains every setting.

"""


def read_config_file(path: str | Path) -> dict[str, Any]:
    """The settings of a TOML file or a `run.json`, not checked yet. Raises `UsageError` for other files."""
    path = Path(path)
    is_json = path.suffix.lower() == ".json"
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text)["config"] if is_json else tomllib.loads(text)
        if not isinstance(values, dict):
            raise TypeError("`config` is no object")
    except (ValueError, KeyError, TypeError) as error:  # both syntax errors are a ValueError
        expected = "the run.json of a run" if is_json else "TOML, as in the run.toml of a run"
        raise UsageError(
            f"{path}: expected {expected}. Received something else ({type(error).__name__}: {error})."
        ) from error
    return values


def apply_config_file(config: Config, values: Mapping[str, Any], path: str | Path) -> Config:
    """A copy of `config` changed by the settings of the file `path`, which need not name all.

    Raises `UsageError`, with the file and the setting, for unknown names and wrong values.
    """
    changed = to_dict(config)
    _merge(changed, values, str(path))
    try:
        return from_dict(type(config), changed)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def to_toml(config: Any) -> str:
    """The file from which `train --config` reads the same configuration."""
    values = to_dict(config)
    lines = _assignments(values)
    for name, section in values.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]", *_assignments(section)]
    return _HEADER.format(CONFIG_FILE) + "\n".join(lines) + "\n"


def _assignments(section: Mapping[str, Any]) -> list[str]:
    """JSON writes text, numbers and booleans as TOML does."""
    return [
        f"{name} = {json.dumps('none' if value is None else value, ensure_ascii=False)}"
        for name, value in section.items()
        if not isinstance(value, dict)
    ]


def _merge(section: dict[str, Any], values: Mapping[str, Any], path: str, prefix: str = "") -> None:
    for name, value in values.items():
        setting, known = f"{prefix}{name}", section.get(name)
        if name not in section:
            raise UsageError(
                f"{path}: there is no setting {setting!r}. "
                f"Expected one of: {', '.join(prefix + one for one in sorted(section))}."
            )
        if isinstance(known, dict) != isinstance(value, dict):
            kind = "a table of settings" if isinstance(known, dict) else "one value"
            raise UsageError(f"{path}: {setting} must be {kind}. Received: {value!r}.")
        if isinstance(known, dict):
            _merge(known, value, path, f"{setting}.")
        elif value is None or isinstance(value, bool | int | float | str):
            is_none = isinstance(value, str) and value.strip().lower() == "none"
            section[name] = None if is_none else value
        else:  # a list or a date
            raise UsageError(f"{path}: {setting} must be one value. Received: {value!r}.")
