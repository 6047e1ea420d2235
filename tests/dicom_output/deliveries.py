"""A spool with results to deliver, for tests of delivery; no model and no radiograph is needed."""

import collections
import io
import sys
import time
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from bone_age_tf.config import StoreDestination, WebDestination
from bone_age_tf.dicom_output.node.delivery import Deliveries, Sender
from bone_age_tf.dicom_output.node.spool import NewObject, Spool

CLASSES = {"report": Comprehensive3DSRStorage, "picture": SecondaryCaptureImageStorage}
FAST: dict[str, Any] = {
    "timeout_seconds": 1.0,
    "retry_seconds": 0.02,
    "max_retry_seconds": 0.1,
    "give_up_hours": 0.4 / 3600,
    "name": "archive",
}


COMMITMENT: dict[str, Any] = {"storage_commitment": True, "commitment_hours": 1.0}
PATIENT: dict[str, Any] = {"give_up_hours": 1.0}


def store_destination(port: int, **settings: Any) -> StoreDestination:
    """An archive on this machine; all waits are short."""
    settings = {"host": "127.0.0.1", "port": port, "ae_title": "ARCHIVE"} | FAST | settings
    return StoreDestination(**settings)


def web_destination(url: str, **settings: Any) -> WebDestination:
    """The same for a DICOMweb server."""
    return WebDestination(**(FAST | {"url": url} | settings))


def new_object(kind: str, study: str, number: int = 0, filling: int = 0) -> NewObject:
    """A small object of a kind; its UID says which. `filling`: bytes that it holds besides."""
    uid = generate_uid(entropy_srcs=[kind, study, str(number)])
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CLASSES[kind], uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, generate_uid(entropy_srcs=[uid])
    dataset.PatientName, dataset.PatientID, dataset.Modality = "Phantom^One", "phantom-1", "OT"
    if filling:
        dataset.EncapsulatedDocument = bytes(filling)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CLASSES[kind], uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta = meta
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return NewObject(kind, str(uid), CLASSES[kind], stream.getvalue())


def fill(
    spool: Spool,
    destinations: tuple[str, ...] = ("archive",),
    *,
    studies: int = 1,
    of_study: int = 1,
    filling: int = 0,
) -> list[str]:
    """Put a report and a picture of each of `of_study` radiographs into the spool; the UIDs of the objects."""
    uids = []
    for number in range(studies):
        study = f"1.2.3.{number}"
        for radiograph in range(of_study):
            _receive(spool, study, f"1.2.4.{number}.{radiograph}")
        for received, radiograph in zip(spool.waiting_of(study), range(of_study), strict=True):
            objects = [new_object(kind, study, radiograph, filling) for kind in CLASSES]
            spool.finish(received, objects, destinations)
            uids += [one.object_uid for one in objects]
    return uids


def _receive(spool: Spool, study: str, uid: str) -> None:
    spool.receive(
        uid.encode(),
        sop_instance_uid=uid,
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        calling_ae="MODALITY",
    )


def spool_in(folder: Path) -> Spool:
    """An empty one."""
    return Spool(folder / "spool", reserve_bytes=0)


def rows(spool: Spool) -> list[dict[str, Any]]:
    """All deliveries, as the database has them."""
    return [dict(row) for row in spool._database.rows("SELECT * FROM deliveries ORDER BY id")]


def states(spool: Spool, destination: str = "") -> dict[str, int]:
    """State -> number of deliveries, of all destinations or one."""
    of_one = [row for row in rows(spool) if destination in ("", row["destination"])]
    return dict(collections.Counter(row["state"] for row in of_one))


class Events(list[tuple[str, dict[str, Any]]]):
    """What the audit would get."""

    def __call__(self, event: str, **fields: Any) -> None:
        self.append((event, fields))

    def names(self) -> list[str]:
        return [event for event, _ in self]


def deliver(
    spool: Spool,
    sender: Sender,
    *,
    until: tuple[str, ...] = ("sent", "failed"),
    seconds: float = 20,
) -> None:
    """Let a sender work until every delivery is in one of the states."""
    end = time.monotonic() + seconds
    while set(states(spool)) - set(until):
        assert time.monotonic() < end, rows(spool)
        sender.step()
        time.sleep(0.01)


def main(folder: Path, port: int) -> None:
    """Deliver until all is committed; to be killed meanwhile."""
    with spool_in(folder) as spool:
        destination = store_destination(port, **COMMITMENT, **PATIENT)
        deliveries = Deliveries(spool, [destination], Events(), ae_title="NODE")
        deliveries.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while set(states(spool)) != {"committed"}:
            time.sleep(0.05)
        deliveries.stop(10)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
