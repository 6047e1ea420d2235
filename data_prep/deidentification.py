"""DICOM in a source: its salt, its ids and the table that tells the researcher whose they are."""

import csv
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bone_age_tf.config import PrepareConfig
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.sources import dicom
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.dicom.salt import Salt, new_salt, read_salt, salt_path, write_salt
from bone_age_tf.dicom.warnings import WARNINGS
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.atomic import written_whole

log = logging.getLogger(__name__)

COLUMNS: tuple[str, ...] = ("id", "group", "warnings", "sop_instance_uid", "file")
"""Of the table of ids."""
EXAMPLES = 3
"""Ids that are named in a line of warnings."""


def deidentified(
    source: Source,
    config: PrepareConfig,
    *,
    on_progress: Callable[[int, int], None],
    is_dry_run: bool,
) -> Source:
    """The source with salted ids for its DICOM files; the salt is made where there is none.

    A dry run writes none: its ids are then of no further use.
    """
    path = salt_path(config.output, config.salt)
    if not dicom.has_dicom(source):
        return source
    return dicom.with_ids(source, _salt(path, is_dry_run=is_dry_run), on_progress)


def _salt(path: Path, *, is_dry_run: bool) -> Salt:
    salt = read_salt(path)
    if salt is not None:
        return salt
    salt = new_salt()
    if is_dry_run:
        log.info(
            f"No salt yet: the ids of DICOM files in this dry run are not those that {path} will give."
        )
    else:
        write_salt(path, salt)
    return salt


def write_ids(source: Source, config: PrepareConfig, rows: Iterable[CheckedRow]) -> None:
    """Write which file an id is: a table for the researcher alone, since it identifies patients.

    Rows of other files stay in it, since several data sets may share a salt.
    """
    if not source.pseudonyms.files:
        return
    salt = salt_path(config.output, config.salt)
    path = ids_path(salt)
    warnings = {row.id: " ".join(row.warnings) for row in rows}
    table = {row["file"]: row for row in _read_ids(path)}
    for file in source.pseudonyms.files.values():
        values = (file.id, file.group, warnings.get(file.id, ""), file.sop_instance_uid, file.place)
        table[file.place] = dict(zip(COLUMNS, values, strict=True))
    with written_whole(path, private=True) as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table[place] for place in sorted(table))
    log.info(
        f"DICOM files have salted ids. {path} names the file of each: it and {salt} identify patients, keep them to "
        "yourself."
    )


def ids_path(salt: Path) -> Path:
    """The table of ids beside a salt: `prepared.ids.csv` beside `prepared.salt`."""
    return salt.with_name(f"{salt.name.removesuffix('.salt')}.ids.csv")


def _read_ids(path: Path) -> list[dict[str, str]]:
    """Raises `InputDataError` where the file is another table."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = [*reader]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputDataError(f"{path}: the table of ids cannot be read ({error}).") from error
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputDataError(
            f"{path}: expected a table of ids with the columns {', '.join(COLUMNS)}, to bring up to date. Received "
            f"another one. Move it, or choose another --salt."
        )
    return rows


def header_warnings(source: Source, rows: Sequence[CheckedRow]) -> list[str]:
    """A line for each warning of headers: in how many radiographs, the first of them, and what it means."""
    counts = Counter(code for row in rows for code in row.warnings)
    ordered = sorted(rows, key=lambda row: (row.label.table, row.label.row, row.id))
    lines = [_line(code, ordered) for code in WARNINGS if counts[code]]
    return [*_about_patients(source, rows), *lines]


def _about_patients(source: Source, rows: Sequence[CheckedRow]) -> list[str]:
    """Where the Patient ID does not tell patients apart."""
    files = source.pseudonyms.files
    groups = Counter(row.label.group for row in rows if row.file in files)
    advice = "name the patients by --group-column"
    if groups[""]:
        return [
            f"{groups['']} of {groups.total()} DICOM radiographs have no Patient ID: those of one patient may be in "
            f"several splits; {advice}"
        ]
    if len(groups) == 1 and groups.total() > 1:
        return [
            f"all {groups.total()} DICOM radiographs have the same Patient ID and stay in one split; {advice}"
        ]
    return []


def _line(code: str, rows: Sequence[CheckedRow]) -> str:
    found = [row for row in rows if code in row.warnings]
    named = [f"row {row.label.row}" if row.label.row else row.id for row in found]
    shown = ", ".join(named[:EXAMPLES]) + (", ..." if len(named) > EXAMPLES else "")
    plural = "s" * (len(found) > 1)
    return f"{len(found)} radiograph{plural} ({shown}): {WARNINGS[code]} [{code}]"
