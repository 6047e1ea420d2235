"""A node that is killed at random instants, or whose disk is full, while four senders send to it.

What was answered with success is there afterwards, is processed once, and its result is delivered.
"""

import collections
import io
import logging
import random
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom-output] is not installed")
from archive_stand_in import StandIn, running
from dicom_results import phantom_file
from node_process import NodeProcess, Senders, wait_until

DRAWINGS = 4


@pytest.fixture(autouse=True)
def _silent_pynetdicom(caplog: pytest.LogCaptureFixture) -> None:
    """It logs each connection that a kill ends."""
    caplog.set_level(logging.CRITICAL + 1, "pynetdicom")


def require_all_results(database: Path, senders: Senders, archive: StandIn) -> None:
    """One row and one report of each object that was answered with success, and the archive holds these reports."""
    connection = sqlite3.connect(database)
    radiographs = dict(connection.execute("SELECT sop_instance_uid, state FROM radiographs"))
    sources = connection.execute("SELECT source_uid FROM deliveries").fetchall()
    states = {state for (state,) in connection.execute("SELECT state FROM deliveries")}
    connection.close()
    assert len(senders.kept) == len(set(senders.kept))
    assert set(senders.kept) <= set(
        radiographs
    )  # kept, too, without an answer: what a kill cut off
    assert set(radiographs.values()) == {"done"}
    assert states == {"sent"}
    reports = collections.Counter(source for (source,) in sources)
    assert reports == dict.fromkeys(radiographs, 1)
    assert len(archive.stored) == len(radiographs)
    assert {_evidence(content) for content in archive.stored.values()} == set(radiographs)


def _evidence(report: bytes) -> str:
    """SOP Instance UID of the radiograph that a report is about."""
    dataset = pydicom.dcmread(io.BytesIO(report), force=True)
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    return str(study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def is_all_delivered(database: Path) -> bool:
    connection = sqlite3.connect(database)
    query = "SELECT (SELECT count(*) FROM {0} WHERE state = 'waiting')"
    waiting = [
        connection.execute(query.format(table)).fetchone()[0]
        for table in ("radiographs", "deliveries")
    ]
    connection.close()
    return waiting == [0, 0]


@pytest.mark.release
def test_nothing_is_lost_when_the_node_is_killed(tmp_path: Path) -> None:
    chance, kills = random.Random(20), 20
    drawings = [phantom_file(number) for number in range(1, DRAWINGS + 1)]
    database = tmp_path / "spool" / "spool.sqlite"
    with running(StandIn()) as archive:
        node = NodeProcess(tmp_path, archive.port)
        node.start()
        senders = Senders(node.port, drawings)
        with senders.sending():
            for _ in range(kills):
                time.sleep(chance.uniform(0, 1.5))
                node.kill()
                node.start()
            time.sleep(1)
        wait_until(lambda: is_all_delivered(database), "results are missing", node.text)
        assert node.stop() == 0
    require_all_results(database, senders, archive)
    assert len(senders.kept) > kills
    twice = sum(count > 1 for count in archive.stores.values())
    logging.getLogger(__name__).info(
        f"{kills} kills: {len(senders.kept)} objects answered with success, {senders.broken} not answered and sent "
        f"again, {len(archive.stored)} results, {twice} sent twice, stored once"
    )


_FULL = """
mount -t tmpfs -o size=20m none {mount}
head -c 14000000 /dev/zero > {mount}/filler
exec "$@"
"""
OBJECTS = 24
"""10 MB."""


@pytest.mark.parametrize(
    "reserve",
    [
        pytest.param(0, marks=pytest.mark.large, id="no space for results"),
        pytest.param(2_000_000, marks=pytest.mark.release, id="some for results"),
    ],
)
def test_nothing_is_lost_when_the_disk_is_full(tmp_path: Path, reserve: int) -> None:
    _require_mounts()
    mount = tmp_path / "disk"
    mount.mkdir()
    drawings = [phantom_file(number) for number in range(1, DRAWINGS + 1)]
    with running(StandIn()) as archive:
        node = NodeProcess(tmp_path, archive.port, spool="disk/spool")
        inside = ["unshare", "-rm", "sh", "-c", _FULL.format(mount=mount), "sh", *node.command]
        node.start([*inside, "--reserve", str(reserve)])
        assert node.process is not None
        disk = Path(f"/proc/{node.process.pid}/root") / mount.relative_to("/")
        senders = Senders(node.port, drawings, count=OBJECTS)
        with senders.sending():
            wait_until(lambda: senders.refused > 10, "the disk has not become full", node.text)
            before = len(senders.kept)
            (disk / "filler").unlink()
            senders.join()
        wait_until(lambda: len(archive.stored) == OBJECTS, "results are missing", node.text)
        time.sleep(0.5)  # until the last answer is in the database
        for file in (disk / "spool").glob("spool.sqlite*"):
            shutil.copy(file, tmp_path)
        assert node.stop() == 0
    require_all_results(tmp_path / "spool.sqlite", senders, archive)
    assert before < OBJECTS
    logging.getLogger(__name__).info(
        f"full disk: {before} of {OBJECTS} objects answered with success, {senders.refused} refused with A700H and "
        f"sent again; {len(archive.stored)} results once there was space"
    )


def _require_mounts() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, of util-linux")
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a mount of its own: {done.stderr.strip()}")
