"""The SQLite database of a spool: its tables, its version, and its errors as `OSError`."""

import contextlib
import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bone_age_tf.errors import EnvironmentFaultError

VERSION = 1
"""Of the tables."""
BUSY_SECONDS = 30
"""How long a transaction waits for that of another process, as `rerun --failed`."""

_TABLES = """
CREATE TABLE radiographs (
    sop_instance_uid TEXT PRIMARY KEY,
    study_instance_uid TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    file TEXT NOT NULL,
    calling_ae TEXT NOT NULL,
    received_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed', 'ignored')),
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX radiographs_by_study ON radiographs (study_instance_uid);
CREATE INDEX radiographs_by_state ON radiographs (state);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    object_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    source_uid TEXT NOT NULL,
    file TEXT NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'committed', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    changed_at REAL NOT NULL,
    next_at REAL NOT NULL DEFAULT 0,
    transaction_uid TEXT,
    error TEXT NOT NULL DEFAULT '',
    UNIQUE (object_uid, destination)
);
CREATE INDEX deliveries_by_state ON deliveries (destination, state);
CREATE INDEX deliveries_by_source ON deliveries (source_uid);
CREATE INDEX deliveries_by_transaction ON deliveries (transaction_uid);
"""


class Database:
    """One connection for all threads of a process; each transaction is on the disk when it ends (WAL, `synchronous=FULL`).

    Raises `EnvironmentFaultError` where the file is damaged or was made by another version, and `OSError` later on.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # the files beside it get its mode
        try:
            self._connection = _opened(path)
        except sqlite3.OperationalError as error:
            raise EnvironmentFaultError(
                f"{path}: the database of the spool cannot be opened ({error}). Expected a local disk with some space, "
                "where this user may write. Free some, or name another folder in the settings."
            ) from error
        except sqlite3.DatabaseError as error:
            raise EnvironmentFaultError(
                f"{path}: the database of the spool is damaged ({error}). Expected one that dicom-node made. Restore the "
                "folder from a backup, or keep it aside and name another one in the settings: senders send again."
            ) from error

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one thread at a time; one inside another is a part of it. Raises `OSError` where the disk is
        full or fails."""
        with self._lock, _as_os_errors():
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """The rows of a query. Raises `OSError` where the disk fails."""
        with self._lock, _as_os_errors():
            return self._connection.execute(query, values).fetchall()

    def change(self, statement: str, *values: Any) -> int:
        """One statement as a transaction; the number of rows changed."""
        with self.transaction() as connection:
            return connection.execute(statement, values).rowcount

    def close(self) -> None:
        """Writes the log into the database."""
        with self._lock:
            self._connection.close()


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        _make_or_check_tables(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_or_check_tables(path: Path, connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        for statement in filter(str.strip, _TABLES.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    elif version != VERSION:
        raise EnvironmentFaultError(
            f"{path}: the spool was made by another version of this package. Expected tables of version {VERSION}. "
            f"Received {version}. Let the version that made it deliver what waits, or name another folder in the settings."
        )
    connection.execute("COMMIT")


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # a fault of ours
    except sqlite3.DatabaseError as error:
        is_full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        raise OSError(errno.ENOSPC if is_full else errno.EIO, str(error)) from error
