"""The spool of the node: radiographs and results on the disk, and what is to be done with them as rows of a database.

A file is on the disk, whole, before the row that names it; a row and all that follows from it change in one transaction.
After a kill or a power cut everything that was received is there, in the state of its last transaction, and files without
a row are removed. Files are called by hashes, never by what came from the network.

A radiograph is `waiting`, then `done`, `failed` or `ignored`. A delivery, one object for one destination, is `waiting`, then
`sent`, then `committed` where the destination confirms that it keeps the object; or `failed`. An object is sent at
least once, and again where the answer was lost: its UID is derived, so that an archive keeps one.
"""

import contextlib
import errno
import math
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from bone_age_tf.dicom_output.node import queries
from bone_age_tf.dicom_output.node.database import Database
from bone_age_tf.dicom_output.node.files import (
    DATABASE,
    FILES,
    LOCK,
    make_private_folder,
    name_of,
    rename_synced,
    write_synced,
)
from bone_age_tf.dicom_output.node.rows import Delivery, NewObject, Received, row_of
from bone_age_tf.files.locks import held

RESERVE_BYTES = 256 * 2**20
"""Of the disk, kept free of radiographs: their results and the database need it."""


class Spool:
    """A folder (mode 700) with a database and files. Every method may be called by any thread, and raises `OSError` where
    the disk is full or fails; then nothing has changed.

    `shared` opens it beside a running node, as `rerun --failed` does; otherwise this process is the only node in it.
    Raises `EnvironmentFaultError` where another node runs in it, where it is damaged or made by another version, and
    `UsageError` where the folder holds something else.
    """

    def __init__(
        self, folder: str | Path, *, shared: bool = False, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        self.folder = Path(folder)
        self._files = self.folder / FILES
        self._reserve_bytes = reserve_bytes
        with contextlib.ExitStack() as stack:
            make_private_folder(self.folder)
            if not shared:
                busy = f"{self.folder}: another dicom-node runs in this spool. Stop it, or name another folder."
                stack.enter_context(held(self.folder / LOCK, busy))
                (self.folder / LOCK).chmod(0o600)
            self._files.mkdir(mode=0o700, exist_ok=True)
            self._database = Database(self.folder / DATABASE)
            stack.callback(self._database.close)
            if not shared:
                self._remove_leftovers()
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Close the database and let another node have the folder."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # === Radiographs ===

    def receive(
        self,
        encoded: bytes,
        *,
        sop_instance_uid: str,
        study_instance_uid: str,
        series_instance_uid: str,
        sop_class_uid: str,
        calling_ae: str,
    ) -> None:
        """Keep an object that came from the network; it is on the disk when this returns.

        The same bytes again are no new work, unless they were ignored or failed. Other bytes with the same UID are: they
        take the place of the earlier ones.
        """
        self._require_space(len(encoded))
        uid = sop_instance_uid
        name = name_of("radiograph", uid.encode(), encoded)
        query = "SELECT file, state FROM radiographs WHERE sop_instance_uid = ?"
        with (
            self._written({name: encoded}) as give_name,
            self._database.transaction() as connection,
        ):
            give_name()
            row = connection.execute(query, (uid,)).fetchone()
            if row is None or row["file"] != name or row["state"] in ("failed", "ignored"):
                values = (uid, study_instance_uid, series_instance_uid, sop_class_uid, name)
                connection.execute(queries.RECEIVE, (*values, calling_ae, time.time()))
        if row is not None and row["file"] != name:
            self._remove_without_row([row["file"]])

    def quiet_studies(self, seconds: float, max_seconds: float = math.inf) -> list[str]:
        """Study Instance UIDs with waiting radiographs to which nothing came for so long, or of which one waits for
        `max_seconds`: the oldest first, and last those with a radiograph whose work was begun before."""
        rows = self._database.rows(queries.QUIET, time.time(), seconds, max_seconds)
        return [row["study_instance_uid"] for row in rows]

    def waiting_of(self, study_instance_uid: str) -> list[Received]:
        """The waiting radiographs of a study, in the order of attempts and UIDs."""
        rows = self._database.rows(queries.WAITING, study_instance_uid)
        return [row_of(Received, row, self._files) for row in rows]

    def begin(self, received: Received) -> bool:
        """Count an attempt, before the work. False, here and below: it does not wait any more, or has other bytes now."""
        return self._change(received, "attempts = attempts + 1")

    def put_back(self, received: Received) -> None:
        """The attempt was ended by a stop of the node, and does not count."""
        self._change(received, "attempts = ?", received.attempts)

    def finish(
        self, received: Received, objects: Sequence[NewObject], destinations: Sequence[str]
    ) -> bool:
        """The radiograph is done, and each object is to be delivered to each destination.

        Does nothing where other bytes with the same UID came during the work: those wait. An object that was delivered is
        not delivered again; one whose delivery failed is.
        """
        named = {name_of("object", one.encoded): one for one in objects}
        files = {name: one.encoded for name, one in named.items()}
        with self._written(files) as give_names, self._database.transaction() as connection:
            give_names()
            is_done = self._change(received, "state = 'done', reason = ''")
            if is_done:
                for name, one in named.items():
                    about = (one.object_uid, one.sop_class_uid, one.kind)
                    source = (received.study_instance_uid, received.sop_instance_uid)
                    for destination in destinations:
                        values = (*about, *source, name, destination, time.time())
                        connection.execute(queries.DELIVER, values)
        return is_done

    def fail(self, received: Received, reason: str) -> bool:
        """No result; `rerun_failed` tries again."""
        return self._change(received, "state = 'failed', reason = ?", reason)

    def ignore(self, received: Received, reason: str) -> bool:
        """Not a radiograph for this node: nothing leaves."""
        return self._change(received, "state = 'ignored', reason = ?", reason)

    # === Deliveries ===

    def due(self, destination: str) -> list[Delivery]:
        """What is to be sent now, the oldest first. A clock that was set back makes nothing wait for longer."""
        condition = "destination = ?1 AND state = 'waiting' AND (next_at <= ?2 OR changed_at > ?2)"
        return self._deliveries(condition, destination, time.time())

    def sent(self, delivery: Delivery, transaction_uid: str | None = None) -> None:
        """The destination has answered success. `transaction_uid`: a storage commitment is asked by it."""
        values = "state = 'sent', error = '', transaction_uid = ?"
        self._set(delivery, values, transaction_uid)

    def committed(self, delivery: Delivery) -> None:
        """The destination has confirmed that it keeps the object."""
        self._set(delivery, "state = 'committed', error = ''")

    def retry(self, delivery: Delivery, error: str, after_seconds: float) -> None:
        """It did not succeed, or the destination does not keep it after all: due again after so long."""
        values = "state = 'waiting', attempts = attempts + 1, error = ?, next_at = ?"
        self._set(delivery, values, error, time.time() + after_seconds)

    def give_up(self, delivery: Delivery, error: str) -> None:
        """It has failed; `rerun_failed` tries again."""
        self._set(delivery, "state = 'failed', attempts = attempts + 1, error = ?", error)

    def of_transaction(self, transaction_uid: str) -> list[Delivery]:
        """What a storage commitment was asked for."""
        return self._deliveries("transaction_uid = ?", transaction_uid)

    def uncommitted(self, destination: str, seconds: float) -> list[Delivery]:
        """What was sent, or asked a commitment for, longer ago than that and is not confirmed."""
        condition = "destination = ? AND state = 'sent' AND abs(? - changed_at) >= ?"
        return self._deliveries(condition, destination, time.time(), seconds)

    def has_made(self, object_uid: str) -> bool:
        """Whether an object is one of this node's own results."""
        query = "SELECT 1 FROM deliveries WHERE object_uid = ?"
        return bool(self._database.rows(query, object_uid))

    # === All ===

    def rerun_failed(self) -> int:
        """Let failed radiographs and deliveries wait again. Returns how many there are."""
        with self._database.transaction() as connection:
            count = connection.execute(queries.RERUN_RADIOGRAPHS).rowcount
            return count + connection.execute(queries.RERUN_DELIVERIES, (time.time(),)).rowcount

    def hurry(self) -> int:
        """Let waiting deliveries be due at once. Returns how many there are."""
        return self._database.change(queries.HURRY_DELIVERIES, time.time())

    def by_state(self) -> dict[str, int]:
        """State -> how many radiographs."""
        return {row["state"]: row["number"] for row in self._database.rows(queries.BY_STATE)}

    def by_destination(self) -> dict[str, dict[str, int]]:
        """Destination -> state -> how many deliveries."""
        found: dict[str, dict[str, int]] = {}
        for row in self._database.rows(queries.BY_DESTINATION):
            found.setdefault(row["destination"], {})[row["state"]] = row["number"]
        return found

    def oldest_waiting(self) -> dict[str, float]:
        """Seconds since the oldest was received of the `radiographs` that wait, or have an object that waits for a
        destination, `to NAME`."""
        rows = self._database.rows(queries.OLDEST)
        return {row["what"]: max(0.0, time.time() - row["received_at"]) for row in rows}

    def faults(self) -> list[tuple[str, str, str, int]]:
        """Of what has failed, and of deliveries that are tried again: `radiographs` or `to NAME`, state, reason, how
        many."""
        return [tuple(row) for row in self._database.rows(queries.FAULTS)]

    def remove_older_than(self, days: float) -> int:
        """Remove radiographs with their results that were received longer ago and are done or ignored, with every delivery
        sent or committed. Returns how many. What waits or has failed stays."""
        with self._database.transaction() as connection:
            rows = connection.execute(queries.OLD, (time.time() - days * 86400,)).fetchall()
            uids = [(row["sop_instance_uid"],) for row in rows]
            files = [
                row["file"] for uid in uids for row in connection.execute(queries.FILES_OF, uid)
            ]
            connection.executemany("DELETE FROM radiographs WHERE sop_instance_uid = ?", uids)
            connection.executemany("DELETE FROM deliveries WHERE source_uid = ?", uids)
        self._remove_without_row(files)
        return len(uids)

    # === Inside ===

    def _remove_leftovers(self) -> None:
        """Files that were written when the process ended."""
        self._remove_without_row(path.name for path in list(self._files.iterdir()))

    def _change(self, received: Received, assignments: str, *values: Any) -> bool:
        """Of a radiograph that waits still, with the bytes that were worked on."""
        statement = f"UPDATE radiographs SET {assignments} WHERE sop_instance_uid = ? AND file = ? AND state = 'waiting'"
        values = (*values, received.sop_instance_uid, received.path.name)
        return bool(self._database.change(statement, *values))

    def _set(self, delivery: Delivery, assignments: str, *values: Any) -> None:
        statement = f"UPDATE deliveries SET {assignments}, changed_at = ? WHERE id = ?"
        self._database.change(statement, *values, time.time(), delivery.id)

    def _deliveries(self, condition: str, *values: Any) -> list[Delivery]:
        query = f"SELECT * FROM deliveries WHERE {condition} ORDER BY id"
        rows = self._database.rows(query, *values)
        return [row_of(Delivery, row, self._files) for row in rows]

    @contextlib.contextmanager
    def _written(self, files: Mapping[str, bytes]) -> Iterator[Callable[[], None]]:
        """Write the files under other names; the call gives them their names, inside of the transaction of their rows.

        Afterwards, those without a row are removed.
        """
        asides = {name: self._files / f".{uuid.uuid4().hex}" for name in files}
        try:
            for name, encoded in files.items():
                write_synced(asides[name], encoded)
            yield lambda: rename_synced(asides, self._files)
        finally:
            for aside in asides.values():
                aside.unlink(missing_ok=True)
            self._remove_without_row(files)

    def _remove_without_row(self, names: Iterable[str]) -> None:
        with self._database.transaction() as connection:  # nobody adds a row meanwhile
            for name in names:
                if connection.execute(queries.HAS_ROW, (name,)).fetchone() is None:
                    (self._files / name).unlink(missing_ok=True)

    def _require_space(self, size: int) -> None:
        free = shutil.disk_usage(self._files).free
        if free - size < self._reserve_bytes:
            text = f"{free} bytes are free; {self._reserve_bytes} are kept for results"
            raise OSError(errno.ENOSPC, text, str(self.folder))
