"""The folder that a command writes its results into: never over other results, unless that is asked for."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from bone_age_tf.errors import UsageError
from bone_age_tf.files.provenance import PROVENANCE, read_provenance, write_provenance

MODELS_AND_DATA = ("run.json", "ensemble.json", "manifest.json")
"""Files of a training run, an ensemble, a data set and an exported model, where no results belong."""

OUTPUT = "--output"
"""The option that names the folder, unless another is given."""


def claim_output(
    folder: str | Path,
    command: str,
    results: Sequence[str],
    *,
    overwrite: bool = False,
    option: str = OUTPUT,
) -> Path:
    """Make the folder of a command's results, and name the command there; returns its path.

    `results` are the names of what the command writes; other files in the folder are left alone. With `overwrite`,
    results of the same command are deleted. `option` is that which names the folder. Raises `UsageError` as `require_free`.
    """
    path = Path(folder)
    require_free(path, command, results, overwrite=overwrite, option=option)
    for found in _found(path, results):
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
    path.mkdir(parents=True, exist_ok=True)
    write_provenance(path, command)  # whose results these are, if it is interrupted
    return path


def require_free(
    folder: Path,
    command: str,
    results: Sequence[str],
    *,
    overwrite: bool,
    option: str = OUTPUT,
) -> None:
    """The check alone, for a command that works for long before it writes.

    Raises `UsageError` where there are results and `overwrite` is False, or where the folder is one of another command.
    """
    found, made_by = _found(folder, (*MODELS_AND_DATA, *results)), _command_of(folder)
    if not found and made_by in (None, command):
        return
    names = ", ".join(one.name for one in found[:3]) or PROVENANCE
    if made_by != command or _found(folder, MODELS_AND_DATA):
        raise UsageError(
            f"{option} {folder}: expected a new or empty folder. Received one with {names}, which `{command}` "
            f"did not write. Choose another {option}."
        )
    if not overwrite:
        raise UsageError(
            f"{option} {folder}: expected a new or empty folder. Received one with the results of an earlier "
            f"`{command}` ({names}). Choose another {option}, or replace them with --overwrite."
        )


def _found(folder: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).exists()]


def _command_of(folder: Path) -> str | None:
    """The command that wrote the `provenance.json` of a folder."""
    try:
        return str(read_provenance(folder)["command"])
    except (OSError, ValueError, KeyError):
        return None
