"""What the spool gives and takes: radiographs, the objects made of them, and their deliveries."""

import dataclasses
import sqlite3
from pathlib import Path
from typing import Any, TypeVar

Row = TypeVar("Row", "Received", "Delivery")


@dataclasses.dataclass(frozen=True)
class Received:
    """A radiograph in the spool."""

    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    path: Path
    """Of the file as received."""
    calling_ae: str
    received_at: float
    """Seconds since 1970."""
    attempts: int
    """Started so far; more than 0 where the process ended during the work."""


@dataclasses.dataclass(frozen=True)
class NewObject:
    """A DICOM object that was made of a radiograph."""

    kind: str
    """Of `objects.MAKERS`."""
    object_uid: str
    """SOP Instance UID."""
    sop_class_uid: str
    encoded: bytes = dataclasses.field(repr=False)
    """Its file."""


@dataclasses.dataclass(frozen=True)
class Delivery:
    """An object for one destination."""

    id: int
    object_uid: str
    sop_class_uid: str
    kind: str
    study_instance_uid: str
    source_uid: str
    """SOP Instance UID of the radiograph."""
    path: Path
    destination: str
    """Name of the destination in the settings."""
    state: str
    attempts: int
    """That did not succeed, so far."""
    transaction_uid: str | None
    """Of the storage commitment that was asked last."""
    error: str
    """Of the last attempt."""


def row_of(kind: type[Row], values: sqlite3.Row, files: Path) -> Row:
    """A row of the database; its file lies in the folder `files`."""
    known: dict[str, Any] = {**values, "path": files / values["file"]}
    return kind(**{field.name: known[field.name] for field in dataclasses.fields(kind)})
