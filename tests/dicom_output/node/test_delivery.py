"""Delivery to archives that behave as real ones do: nothing is lost, nothing is there twice, and the spool says the truth."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import archive_stand_in
import pytest
from archive_stand_in import StandIn
from deliveries import Events, deliver, fill, rows, spool_in, states, store_destination
from pydicom.uid import ImplicitVRLittleEndian, SecondaryCaptureImageStorage

from bone_age_tf.dicom_output.node import delivery as module
from bone_age_tf.dicom_output.node.delivery import Deliveries
from bone_age_tf.dicom_output.node.destinations import answer_of
from bone_age_tf.dicom_output.node.outcomes import wait_after
from bone_age_tf.dicom_output.node.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path) as one:
        yield one


def _deliveries(
    spool: Spool, port: int, events: Events | None = None, **settings: Any
) -> Deliveries:
    destination = store_destination(port, **settings)
    on_event = Events() if events is None else events
    return Deliveries(spool, [destination], on_event, ae_title="NODE")


def _deliver(spool: Spool, archive: StandIn, **settings: Any) -> Events:
    events = Events()
    deliver(spool, _deliveries(spool, archive.port, events, **settings).senders[0])
    return events


def test_objects_arrive_as_they_are_in_the_spool(spool: Spool) -> None:
    uids = fill(spool, studies=2)
    with archive_stand_in.running(StandIn()) as archive:
        events = _deliver(spool, archive)
    assert states(spool) == {"sent": 4}
    assert sorted(archive.stored) == sorted(uids)
    assert archive.most_times() == 1
    for row in rows(spool):
        file = (spool.folder / "files" / row["file"]).read_bytes()
        assert file.endswith(archive.stored[row["object_uid"]])
    assert events.names() == ["delivered"] * 4
    fields = events[0][1]
    assert fields["object_uid"] == uids[0] and fields["destination"] == "archive"
    assert fields["attempts"] == 1 and 0 < fields["seconds"] < 5


def test_an_archive_that_takes_implicit_vr_alone_gets_it(spool: Spool) -> None:
    uids = fill(spool)
    with archive_stand_in.running(StandIn(), syntaxes=[ImplicitVRLittleEndian]) as archive:
        _deliver(spool, archive)
    assert sorted(archive.stored) == sorted(uids)
    assert b"OT" in archive.stored[uids[0]] and b"CS\x02\x00OT" not in archive.stored[uids[0]]


def test_a_refused_sop_class_fails_at_once_and_holds_up_nothing(spool: Spool) -> None:
    report, picture = fill(spool)
    archive = StandIn()
    with archive_stand_in.running(archive, sop_classes=(SecondaryCaptureImageStorage,)):
        events = _deliver(spool, archive)
    assert list(archive.stored) == [picture]
    found = {row["object_uid"]: row for row in rows(spool)}
    assert found[picture]["state"] == "sent"
    assert found[report]["state"] == "failed" and found[report]["attempts"] == 1
    assert found[report]["error"] == (
        "the archive does not accept Comprehensive 3D SR Storage in Explicit VR Little Endian"
    )
    assert ("given_up", "not_accepted") in [(name, f.get("reason")) for name, f in events]


def test_an_archive_that_takes_none_of_the_sop_classes(spool: Spool) -> None:
    fill(spool)
    with archive_stand_in.running(StandIn(), sop_classes=()) as archive:
        _deliver(spool, archive)
    assert states(spool) == {"failed": 2}
    assert all("does not accept" in row["error"] for row in rows(spool))


def test_failures_are_tried_again_with_longer_and_longer_waits(spool: Spool) -> None:
    fill(spool)
    archive = StandIn()
    archive.statuses = [0xA700, 0xC000, 0xA701]
    with archive_stand_in.running(archive):
        events = _deliver(spool, archive)
    assert states(spool) == {"sent": 2}
    assert len(archive.stored) == 2
    reasons = [fields["reason"] for name, fields in events if name == "delivery_failed"]
    assert reasons == ["status_A700", "status_C000", "status_A701"]


@pytest.mark.parametrize("status", [0x0122, 0x0117, 0xA900])
def test_a_permanent_failure_is_not_tried_again(spool: Spool, status: int) -> None:
    fill(spool)
    archive = StandIn()
    archive.statuses = [status]
    with archive_stand_in.running(archive):
        _deliver(spool, archive)
    first, second = rows(spool)
    assert (first["state"], first["attempts"], second["state"]) == ("failed", 1, "sent")
    assert f"answered {status:04X}H" in first["error"]
    assert set(archive.stored) == {second["object_uid"]}


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007, 0x0107, 0x0111])
def test_warnings_and_duplicates_are_stored(status: int) -> None:
    assert answer_of(status).state == "stored"


def test_what_cannot_be_delivered_in_time_has_failed_and_is_kept_for_a_rerun(spool: Spool) -> None:
    uids = fill(spool)
    with archive_stand_in.closed() as port:
        sender = _deliveries(spool, port).senders[0]
        deliver(spool, sender)
        assert states(spool) == {"failed": 2}
        assert all("Connection refused; tried for" in row["error"] for row in rows(spool))
        assert all(row["attempts"] > 3 for row in rows(spool))
    assert spool.rerun_failed() == 2
    with archive_stand_in.running(StandIn()) as archive:
        _deliver(spool, archive)
    assert sorted(archive.stored) == sorted(uids)


def test_an_archive_that_comes_back_gets_all(spool: Spool) -> None:
    uids = fill(spool)
    with archive_stand_in.closed() as port:
        sender = _deliveries(spool, port).senders[0]
        sender.step()
        assert states(spool) == {"waiting": 2}
    with archive_stand_in.running(StandIn(), port=port) as archive:
        deliver(spool, sender)
    assert sorted(archive.stored) == sorted(uids) and archive.most_times() == 1


def test_the_wait_doubles_up_to_the_longest_and_ends() -> None:
    settings = store_destination(
        104, retry_seconds=10.0, max_retry_seconds=60.0, give_up_hours=4 / 60
    )
    waits = [wait_after(failures, settings) for failures in range(1, 9)]
    assert waits == [10, 20, 40, 60, 60, 60, None, None]


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_an_abort_in_the_middle_of_a_study(spool: Spool, at: int) -> None:
    uids = fill(spool, of_study=2)
    archive = StandIn()
    archive.aborts = lambda uid, times: uid == uids[at] and times == 1
    with archive_stand_in.running(archive):
        _deliver(spool, archive)
    assert states(spool) == {"sent": 4} and sorted(archive.stored) == sorted(uids)
    assert dict(archive.stores) == {uid: 1 + (uid == uids[at]) for uid in uids}


def test_an_object_at_which_the_archive_always_aborts_keeps_back_no_other(spool: Spool) -> None:
    uids = fill(spool, of_study=2)
    archive = StandIn()
    archive.aborts = lambda uid, times: uid == uids[0]
    with archive_stand_in.running(archive):
        sender = _deliveries(spool, archive.port).senders[0]
        sender.step()
        assert sorted(archive.stored) == sorted(uids[1:])
        deliver(spool, sender)
    found = {row["object_uid"]: row for row in rows(spool)}
    assert found[uids[0]]["state"] == "failed"
    assert "aborted the association at this object" in found[uids[0]]["error"]
    assert states(spool) == {"failed": 1, "sent": 3} and archive.most_times() > 3


def test_an_answer_that_comes_too_late_makes_a_second_attempt_of_the_same_object(
    spool: Spool,
) -> None:
    uids = fill(spool)
    archive = StandIn()
    archive.pauses = lambda uid, times: 1.4 if times == 1 else 0.0
    with archive_stand_in.running(archive):
        sender = _deliveries(spool, archive.port, timeout_seconds=0.9).senders[0]
        sender.step()
        assert {row["error"] for row in rows(spool)} == {"no answer within 0.9 s"}
        time.sleep(0.6)
        deliver(spool, sender)
    assert states(spool) == {"sent": 2} and sorted(archive.stored) == sorted(uids)
    assert archive.most_times() == 2


@pytest.mark.parametrize(
    ("peer", "words"),
    [
        (archive_stand_in.silent, "did not answer within 0.3 s"),
        (archive_stand_in.closed, "Connection refused"),
        (archive_stand_in.deaf, "no answer within 0.3 s"),
    ],
)
def test_a_dead_archive_holds_no_thread(spool: Spool, peer: Any, words: str) -> None:
    fill(spool, filling=10_000_000 if peer is archive_stand_in.deaf else 0)
    with peer() as port:
        sender = _deliveries(spool, port, timeout_seconds=0.3).senders[0]
        start = time.monotonic()
        sender.step()
        assert time.monotonic() - start < 8
    assert states(spool) == {"waiting": 2}
    assert all(words in row["error"] for row in rows(spool))


def test_a_rejected_association_is_tried_again_and_says_why(spool: Spool) -> None:
    uids = fill(spool)
    with archive_stand_in.running(StandIn(), called_ae_title="OTHER") as archive:
        sender = _deliveries(spool, archive.port).senders[0]
        sender.step()
        assert states(spool) == {"waiting": 2}
        assert (
            "rejected the association (Called AE title not recognised)" in rows(spool)[0]["error"]
        )
        deliver(spool, _deliveries(spool, archive.port, ae_title="OTHER").senders[0])
    assert sorted(archive.stored) == sorted(uids)


def test_a_name_that_does_not_resolve_is_tried_again(spool: Spool) -> None:
    fill(spool)
    _deliveries(spool, 104, host="archive.invalid").senders[0].step()
    assert states(spool) == {"waiting": 2} and "archive.invalid" in rows(spool)[0]["error"]


def test_a_file_that_is_gone_has_failed(spool: Spool) -> None:
    fill(spool)
    for file in (spool.folder / "files").iterdir():
        file.write_bytes(b"damaged")
    with archive_stand_in.running(StandIn()) as archive:
        _deliver(spool, archive)
    assert states(spool) == {"failed": 2} and not archive.stores
    assert "the file in the spool cannot be read" in rows(spool)[0]["error"]


def test_one_that_is_dead_or_slow_does_not_hold_up_the_others(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    uids = fill(spool, ("dead", "slow", "good"), studies=3)
    slow, good, events = StandIn(), StandIn(), Events()
    slow.pauses = lambda uid, times: 0.8
    with (
        archive_stand_in.silent() as port,
        archive_stand_in.running(slow),
        archive_stand_in.running(good),
    ):
        ports = {"dead": port, "slow": slow.port, "good": good.port}
        seconds = {"dead": 1.0, "slow": 9.0, "good": 9.0}
        settings = [
            store_destination(at, name=name, timeout_seconds=seconds[name])
            for name, at in ports.items()
        ]
        deliveries = Deliveries(spool, settings, events, ae_title="NODE")
        deliveries.start()
        assert deliveries.is_alive()
        _wait(lambda: len(good.stored) == len(uids))
        assert len(slow.stored) < len(uids)
        assert deliveries.stop(10)
    assert states(spool, "good") == {"sent": 6} and states(spool, "dead") == {"waiting": 6}
    # It has finished the object that it was at, and says so.
    assert states(spool, "slow").get("sent", 0) == len(slow.stored) < 6


def test_a_thread_outlives_a_disk_that_fails(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    uids, failures = fill(spool), iter([OSError(28, "No space left on device")] * 2)
    sent = spool.sent

    def full_at_first(*arguments: Any) -> None:
        for error in failures:
            raise error
        sent(*arguments)

    monkeypatch.setattr(spool, "sent", full_at_first)
    with archive_stand_in.running(StandIn()) as archive:
        deliveries = _deliveries(spool, archive.port)
        deliveries.start()
        _wait(lambda: states(spool) == {"sent": 2})
        assert deliveries.stop(10)
    assert sorted(archive.stored) == sorted(uids) and archive.most_times() == 3
    assert "delivery to archive has stumbled over OSError" in caplog.text


def _wait(until: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.01)
