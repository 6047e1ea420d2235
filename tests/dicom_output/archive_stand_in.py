"""A small archive on this machine, by pynetdicom: C-STORE and storage commitment, with the faults of real ones."""

import collections
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pydicom.dataset import Dataset
from pydicom.uid import (
    Comprehensive3DSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

Value = TypeVar("Value")
ByObject = Callable[[str, int], Value]
"""Of a SOP Instance UID, and how often the object has come."""

AE_TITLE = "ARCHIVE"
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
NO_SUCH_OBJECT = 0x0112


class StandIn:
    """What the archive holds, and how it behaves. Attributes may be set at any time."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        """SOP Instance UID -> data set as it came; the first content of a UID is kept."""
        self.stores = collections.Counter[str]()
        """SOP Instance UID -> how often it was to be stored, the times included where it was not."""
        self.requests: list[list[str]] = []
        """SOP Instance UIDs of each request for storage commitment."""
        self.statuses: list[int] = []
        """Of the next C-STORE requests; then as `answers` says."""
        self.answers: ByObject[int] = lambda uid, times: 0x0000
        """Status of an object that comes for the n-th time."""
        self.keeps: ByObject[bool | None] = lambda uid, times: None
        """Whether it stores the object, whatever it answers; None: as it answers."""
        self.aborts: ByObject[bool] = lambda uid, times: False
        self.pauses: ByObject[float] = lambda uid, times: 0.0
        """Seconds before the answer."""
        self.reports_to: int | None = None
        """Port of the node; None: on the association of the request."""
        self.calls = "ANY-SCP"
        """AE title of the node, where it reports to another port."""
        self.reports = True
        self.report_role = True
        """Whether it asks for the role of the SCP when it reports, as the standard says."""
        self.action_status = 0x0000
        self.port = 0

    def most_times(self) -> int:
        """How often the object that came most often has come."""
        return max(self.stores.values(), default=0)

    # === What pynetdicom calls ===

    def on_store(self, event: evt.Event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.stores[uid] += 1
        about = uid, self.stores[uid]
        time.sleep(self.pauses(*about))
        if self.aborts(*about):
            event.assoc.abort()
            return 0xA700
        status = self.statuses.pop(0) if self.statuses else self.answers(*about)
        keeps = self.keeps(*about)
        if keeps or (keeps is None and (status == 0 or status >> 12 == 0xB)):
            self.stored.setdefault(uid, event.request.DataSet.getvalue())
        return status

    def on_action(self, event: evt.Event) -> tuple[int, None]:
        request = event.action_information
        self.requests.append(
            [str(i.ReferencedSOPInstanceUID) for i in request.ReferencedSOPSequence]
        )
        if self.reports and self.action_status == 0:
            threading.Thread(target=self._report, args=(event.assoc, request)).start()
        return self.action_status, None

    def _report(self, association: Any, request: Dataset) -> None:
        report = report_of(request, self.stored)
        event_type = 2 if report.FailedSOPSequence else 1
        what = (event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance)
        if self.reports_to is None:
            time.sleep(0.05)  # after the answer to the request
            association.send_n_event_report(report, *what)
            return
        role = [build_role(StorageCommitmentPushModel, scp_role=True)] if self.report_role else []
        entity = AE(ae_title=AE_TITLE)
        contexts = [build_context(StorageCommitmentPushModel)]
        one = entity.associate(
            "127.0.0.1", self.reports_to, contexts=contexts, ae_title=self.calls, ext_neg=role
        )
        if one.is_established:
            one.send_n_event_report(report, *what)
            one.release()


def report_of(request: Dataset, stored: Any) -> Dataset:
    """The truth."""
    report = Dataset()
    report.TransactionUID = request.TransactionUID
    items = list(request.ReferencedSOPSequence)
    report.ReferencedSOPSequence = [i for i in items if i.ReferencedSOPInstanceUID in stored]
    report.FailedSOPSequence = [i for i in items if i.ReferencedSOPInstanceUID not in stored]
    for item in report.FailedSOPSequence:
        item.FailureReason = NO_SUCH_OBJECT
    return report


@contextlib.contextmanager
def running(
    archive: StandIn,
    *,
    sop_classes: tuple[str, ...] = (Comprehensive3DSRStorage, SecondaryCaptureImageStorage),
    syntaxes: Any = UNCOMPRESSED,
    commitment: bool = True,
    called_ae_title: str | None = None,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[StandIn]:
    """The archive on a port of this machine, `archive.port`. It takes the SOP classes of report and picture."""
    entity = AE(ae_title=called_ae_title or AE_TITLE)
    entity.require_called_aet = called_ae_title is not None
    for sop_class in sop_classes:
        entity.add_supported_context(sop_class, syntaxes)
    if commitment:
        entity.add_supported_context(StorageCommitmentPushModel, UNCOMPRESSED)
    handlers = [(evt.EVT_C_STORE, archive.on_store), (evt.EVT_N_ACTION, archive.on_action)]
    server = entity.start_server((host, port), block=False, evt_handlers=handlers, ssl_context=tls)
    archive.port = server.socket.getsockname()[1]
    try:
        yield archive
    finally:
        server.shutdown()


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def closed() -> Iterator[int]:
    """A port that takes no connections."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """A port that accepts every association and reads nothing of what comes then."""
    connections = []

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                connection.sendall(_accepted(connection.recv(65536)))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in connections:
        connection.close()


def _accepted(request: bytes) -> bytes:
    """The bytes of an answer that accepts all presentation contexts."""
    asked = A_ASSOCIATE_RQ()
    asked.decode(request)
    primitive = asked.to_primitive()
    results = primitive.presentation_context_definition_list
    for context in results:
        context.result, context.transfer_syntax = 0x00, context.transfer_syntax[:1]
    primitive.presentation_context_definition_results_list = results
    primitive.result, primitive.result_source = 0x00, 0x01
    answer = A_ASSOCIATE_AC()
    answer.from_primitive(primitive)
    return answer.encode()
