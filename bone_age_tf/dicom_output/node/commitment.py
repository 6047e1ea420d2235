"""Storage commitment, push model (PS3.4, annex J): an archive is asked whether it keeps what it was sent.

The request names the objects and a transaction; the answer, an N-EVENT-REPORT, comes on the same association or on
another one that the archive makes, to the node's port. It finds an archive that answers success and stores nothing,
and one that answers failure and stores.
"""

import logging
import threading
from collections.abc import Mapping, Sequence

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from bone_age_tf.dicom_output.node.association import (
    Handlers,
    NoAssociationError,
    NoContextError,
    Peer,
    association_with,
)
from bone_age_tf.dicom_output.node.outcomes import Outcomes
from bone_age_tf.dicom_output.node.spool import Delivery, Spool

log = logging.getLogger(__name__)

SUCCESS, INVALID_ARGUMENT = 0x0000, 0x0115
SAME_ASSOCIATION_SECONDS = 1.0
"""How long the association of a request is kept for a report. Most archives make another one."""
_ACTION = 1  # Request Storage Commitment
_SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
_REASONS: Mapping[int, str] = {
    0x0110: "processing failure",
    0x0112: "no such object",
    0x0119: "its SOP class is another one",
    0x0122: "SOP class not supported",
    0x0131: "duplicate transaction",
    0x0213: "out of resources",
}
"""Failure Reason (0008,1197), PS3.3 C.14.1.1."""

ADVICE = "Where it cannot confirm, set storage_commitment = false"
MAX_DOUBTFUL = 1000
"""Transactions for objects that were answered with failure, kept in memory; the oldest is forgotten."""


def add_context(entity: ApplicationEntity) -> None:
    """Let archives report to this receiver: they take the role of the SCP, and the node is the SCU that it was."""
    entity.add_supported_context(
        StorageCommitmentPushModel, _SYNTAXES, scu_role=False, scp_role=True
    )


class Commitments:
    """Requests that were made to all destinations, and the reports that come for them, by any thread."""

    def __init__(self, spool: Spool, outcomes: Outcomes) -> None:
        self._spool, self._outcomes = spool, outcomes
        self._doubtful: dict[str, Sequence[Delivery]] = {}
        self._lock = threading.Condition()
        self._reported: set[str] = set()

    def handlers(self) -> Handlers:
        """For the associations on which reports may come, the node's receiver among them."""
        return [(evt.EVT_N_EVENT_REPORT, self._on_report)]

    def ask(self, peer: Peer, sent: Sequence[Delivery], doubtful: Sequence[Delivery] = ()) -> str:
        """Ask for objects that were answered with success, and for `doubtful` ones, answered with failure.

        Returns why the archive did not take the request, else an empty text. What was sent has the transaction in the
        spool before the archive can answer.
        """
        transaction = generate_uid(prefix=None)
        for delivery in sent:
            self._spool.sent(delivery, transaction)
        self._remember(transaction, doubtful)
        context = build_context(StorageCommitmentPushModel, _SYNTAXES)
        try:
            with association_with(peer, [context], self.handlers()) as association:
                request = _request(transaction, [*sent, *doubtful])
                status, _ = association.send_n_action(
                    request, _ACTION, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
                )
                if status.get("Status") != SUCCESS:
                    return _refusal(status)
                self._wait_for(transaction)
        except NoContextError:
            return "the archive does not offer storage commitment"
        except NoAssociationError as error:
            return str(error)
        except RuntimeError:
            return "the archive ended the association"
        return ""

    def expire(self, delivery: Delivery, reason: str) -> None:
        """No report has come for it, for this reason: it is not confirmed, unless that changes at this moment."""
        words = f"the archive answered success, but it is not confirmed that it keeps the object: {reason}. {ADVICE}"
        with self._lock:
            asked = self._spool.of_transaction(delivery.transaction_uid or "")
            if any(one.id == delivery.id and one.state == "sent" for one in asked):
                self._outcomes.give_up(delivery, "not_confirmed", words)

    def _remember(self, transaction: str, doubtful: Sequence[Delivery]) -> None:
        if doubtful:
            self._doubtful[transaction] = list(doubtful)
        while len(self._doubtful) > MAX_DOUBTFUL:
            self._doubtful.pop(next(iter(self._doubtful)), None)

    def _wait_for(self, transaction: str) -> None:
        with self._lock:
            self._lock.wait_for(lambda: transaction in self._reported, SAME_ASSOCIATION_SECONDS)
            self._reported.clear()

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        report = event.event_information
        transaction = str(report.get("TransactionUID", ""))
        with self._lock:
            asked = self._spool.of_transaction(transaction)
            doubtful = self._doubtful.pop(transaction, ())
            self._take(report, asked, doubtful)
            self._reported.add(transaction)
            self._lock.notify_all()
        if not asked and not doubtful:
            log.warning("A storage commitment report came for a transaction that is not known.")
            return INVALID_ARGUMENT, None
        return SUCCESS, None

    def _take(
        self, report: Dataset, asked: Sequence[Delivery], doubtful: Sequence[Delivery]
    ) -> None:
        kept, failed = _kept(report), _failed(report)
        for delivery in (*asked, *doubtful):
            if delivery.object_uid in kept and delivery.object_uid not in failed:
                self._outcomes.committed(delivery)
        for delivery in asked:
            if delivery.object_uid in failed and delivery.state == "sent":
                code, reason = failed[delivery.object_uid]
                self._outcomes.retry(delivery, code, reason, event="not_committed")


def _request(transaction: str, deliveries: Sequence[Delivery]) -> Dataset:
    request = Dataset()
    request.TransactionUID = transaction
    request.ReferencedSOPSequence = []
    for delivery in deliveries:
        item = Dataset()
        item.ReferencedSOPClassUID = delivery.sop_class_uid
        item.ReferencedSOPInstanceUID = delivery.object_uid
        request.ReferencedSOPSequence.append(item)
    return request


def _kept(report: Dataset) -> set[str]:
    items = report.get("ReferencedSOPSequence") or []
    return {str(item.get("ReferencedSOPInstanceUID", "")) for item in items}


def _failed(report: Dataset) -> dict[str, tuple[str, str]]:
    """SOP Instance UID -> code and reason."""
    found = {}
    for item in report.get("FailedSOPSequence") or []:
        code = int(item.get("FailureReason") or 0)
        words = _REASONS.get(code, "no reason given")
        reason = f"the archive does not keep it after all: {words} ({code:04X}H)"
        found[str(item.get("ReferencedSOPInstanceUID", ""))] = (f"commitment_{code:04X}", reason)
    return found


def _refusal(status: Dataset) -> str:
    if "Status" not in status:
        return "the archive did not answer the request for storage commitment"
    return f"the archive answered {status.Status:04X}H to the request for storage commitment"
