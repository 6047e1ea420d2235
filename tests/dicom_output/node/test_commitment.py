"""Storage commitment: an archive is believed only what it confirms."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import archive_stand_in
import pytest
from archive_stand_in import StandIn
from deliveries import COMMITMENT, Events, deliver, fill, rows, spool_in, states, store_destination
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, build_role
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from bone_age_tf.dicom_output.node import commitment
from bone_age_tf.dicom_output.node.commitment import add_context
from bone_age_tf.dicom_output.node.delivery import COMMITMENT_REQUESTS, Deliveries
from bone_age_tf.dicom_output.node.spool import Spool

CONFIRMED = ("committed", "failed")
SOON = {"commitment_hours": 1.2 / 3600}


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    monkeypatch.setattr(commitment, "SAME_ASSOCIATION_SECONDS", 0.2)
    with spool_in(tmp_path) as one:
        yield one


def _deliveries(
    spool: Spool, port: int, events: Events | None = None, **settings: Any
) -> Deliveries:
    settings = COMMITMENT | settings
    on_event = Events() if events is None else events
    destination = store_destination(port, **settings)
    return Deliveries(spool, [destination], on_event, ae_title="NODE")


@contextlib.contextmanager
def _port_of(deliveries: Deliveries) -> Iterator[int]:
    """A receiver as the node has one, for reports."""
    entity = AE(ae_title="NODE")
    add_context(entity)
    handlers = deliveries.commitments.handlers()
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=list(handlers))
    yield server.socket.getsockname()[1]
    server.shutdown()


@pytest.mark.parametrize("way", ["same association", "another association", "without a role"])
def test_the_report_is_taken(spool: Spool, way: str) -> None:
    uids, events, archive = fill(spool, studies=2), Events(), StandIn()
    archive.report_role = way != "without a role"
    with archive_stand_in.running(archive):
        deliveries = _deliveries(spool, archive.port, events)
        with _port_of(deliveries) as port:
            archive.reports_to = None if way == "same association" else port
            deliver(spool, deliveries.senders[0], until=CONFIRMED)
    assert states(spool) == {"committed": 4}
    assert sorted(archive.requests[0]) == sorted(uids) and len(archive.requests) == 1
    assert events.names() == ["delivered"] * 4 + ["committed"] * 4


def test_an_archive_that_answers_success_and_stores_nothing_is_found(spool: Spool) -> None:
    uids, events, archive = fill(spool, of_study=2), Events(), StandIn()
    archive.keeps = lambda uid, times: uid != uids[1] or times == 3
    with archive_stand_in.running(archive):
        deliver(spool, _deliveries(spool, archive.port, events).senders[0], until=CONFIRMED)
    assert states(spool) == {"committed": 4}
    assert sorted(archive.stored) == sorted(uids)
    assert dict(archive.stores) == {uid: 3 if uid == uids[1] else 1 for uid in uids}
    reasons = [fields["reason"] for name, fields in events if name == "not_committed"]
    assert reasons == ["commitment_0112"] * 2


def test_one_that_never_stores_has_failed_in_the_end(spool: Spool) -> None:
    uids, archive = fill(spool), StandIn()
    archive.keeps = lambda uid, times: uid != uids[0]
    with archive_stand_in.running(archive):
        deliver(spool, _deliveries(spool, archive.port).senders[0], until=CONFIRMED)
    lost, kept = rows(spool)
    assert (lost["state"], kept["state"]) == ("failed", "committed")
    assert "the archive does not keep it after all: no such object (0112H)" in lost["error"]


@pytest.mark.parametrize("status", [0xC001, 0x0122])
def test_an_archive_that_answers_failure_and_stores_is_found(spool: Spool, status: int) -> None:
    uids, archive = fill(spool), StandIn()
    archive.answers = lambda uid, times: status if uid == uids[0] else 0
    archive.keeps = lambda uid, times: True
    with archive_stand_in.running(archive):
        deliver(
            spool,
            _deliveries(spool, archive.port, retry_seconds=5.0, max_retry_seconds=5.0).senders[0],
            until=("committed",),
        )
    assert states(spool) == {"committed": 2}
    assert sorted(archive.stored) == sorted(uids) and archive.most_times() == 1


def test_what_is_answered_with_failure_and_not_stored_is_sent_again(spool: Spool) -> None:
    uids, archive = fill(spool), StandIn()
    archive.statuses = [0xA700]
    with archive_stand_in.running(archive):
        deliver(spool, _deliveries(spool, archive.port).senders[0], until=CONFIRMED)
    assert states(spool) == {"committed": 2} and sorted(archive.stored) == sorted(uids)
    assert archive.most_times() == 2


def test_without_a_report_it_is_asked_again_and_then_not_confirmed(spool: Spool) -> None:
    fill(spool)
    archive = StandIn()
    archive.reports = False
    with archive_stand_in.running(archive):
        deliver(spool, _deliveries(spool, archive.port, **SOON).senders[0], until=CONFIRMED)
    assert len(archive.requests) == COMMITMENT_REQUESTS
    assert states(spool) == {"failed": 2} and archive.most_times() == 1
    assert "asked 3 times, it did not report" in rows(spool)[0]["error"]
    assert "storage_commitment = false" in rows(spool)[0]["error"]


def test_a_report_that_comes_after_a_second_request(spool: Spool) -> None:
    fill(spool)
    archive = StandIn()
    archive.reports = False
    with archive_stand_in.running(archive):
        sender = _deliveries(spool, archive.port, **SOON).senders[0]
        while not archive.requests:
            sender.step()
        archive.reports = True
        deliver(spool, sender, until=CONFIRMED)
    assert states(spool) == {"committed": 2} and len(archive.requests) == 2


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("not offered", "does not offer storage commitment"),
        ("refused", "answered 0211H to the request for storage commitment"),
    ],
)
def test_an_archive_that_cannot_commit(
    spool: Spool, way: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    uids, archive = fill(spool), StandIn()
    archive.action_status = 0x0211
    with archive_stand_in.running(archive, commitment=way != "not offered"):
        deliver(spool, _deliveries(spool, archive.port, **SOON).senders[0], until=CONFIRMED)
        assert states(spool) == {"failed": 2} and sorted(archive.stored) == sorted(uids)
        assert words in rows(spool)[0]["error"] and words in caplog.text
        # What helps: to ask no more.
        spool.rerun_failed()
        deliver(spool, _deliveries(spool, archive.port, storage_commitment=False).senders[0])
    assert states(spool) == {"sent": 2} and sorted(archive.stored) == sorted(uids)


def test_a_restart_between_the_request_and_the_report(spool: Spool) -> None:
    fill(spool)
    archive = StandIn()
    archive.reports = False
    with archive_stand_in.running(archive):
        _deliveries(spool, archive.port).senders[0].step()
        transaction = rows(spool)[0]["transaction_uid"]
        assert states(spool) == {"sent": 2} and transaction
        after = _deliveries(spool, archive.port)
        with _port_of(after) as port:
            _report(port, _named(transaction, kept=[row["object_uid"] for row in rows(spool)]))
    assert states(spool) == {"committed": 2}


def test_a_report_of_another_transaction_changes_nothing(spool: Spool) -> None:
    fill(spool)
    archive, events = StandIn(), Events()
    archive.reports = False
    with archive_stand_in.running(archive):
        deliveries = _deliveries(spool, archive.port, events)
        deliveries.senders[0].step()
    before = rows(spool)
    uids = [row["object_uid"] for row in before]
    with _port_of(deliveries) as port:
        assert _report(port, _named("1.2.3", kept=uids)) == 0x0115
        assert _report(port, _named("1.2.3", failed=uids)) == 0x0115
        # One that says both of an object is no confirmation; one without the objects says nothing.
        transaction = before[0]["transaction_uid"]
        assert _report(port, _named(transaction)) == 0x0000
        assert rows(spool) == before
        assert _report(port, _named(transaction, kept=uids, failed=uids[:1])) == 0x0000
    assert [row["state"] for row in rows(spool)] == ["waiting", "committed"]
    assert events.names() == ["delivered"] * 2 + ["committed", "not_committed"]


def test_a_late_report_does_not_undo_a_confirmation(spool: Spool) -> None:
    uids, archive = fill(spool), StandIn()
    with archive_stand_in.running(archive):
        deliveries = _deliveries(spool, archive.port)
        deliver(spool, deliveries.senders[0], until=CONFIRMED)
    with _port_of(deliveries) as port:
        _report(port, _named(rows(spool)[0]["transaction_uid"], failed=uids))
    assert states(spool) == {"committed": 2}


def _named(transaction: str, kept: list[str] = (), failed: list[str] = ()) -> Dataset:
    def item(uid: str) -> Dataset:
        one = Dataset()
        one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = "1.2.3", uid
        return one

    report = Dataset()
    report.TransactionUID = transaction
    report.ReferencedSOPSequence = [item(uid) for uid in kept]
    report.FailedSOPSequence = [item(uid) for uid in failed]
    return report


def _report(port: int, report: Dataset) -> int:
    entity = AE(ae_title="ARCHIVE")
    role = [build_role(StorageCommitmentPushModel, scp_role=True)]
    contexts = [build_context(StorageCommitmentPushModel)]
    one = entity.associate("127.0.0.1", port, contexts=contexts, ext_neg=role)
    assert one.is_established
    assert one.accepted_contexts[0].as_scp  # the node has said that it is the SCU
    what = (1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
    status, _ = one.send_n_event_report(report, *what)
    one.release()
    return status.Status
