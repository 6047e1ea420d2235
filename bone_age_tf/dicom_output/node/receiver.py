"""The receiver of the node: an SCP of C-STORE and C-ECHO that puts what comes into the spool and answers at once.

It takes every storage class, also those that no bone age can come from: what is of no use is ignored later, with a reason,
while a sender that cannot send a part of a study gives up the whole. Of transfer syntaxes it takes those that can be read,
so that an archive converts others before it sends. Pixels are never decoded here.

| answer | |
|---|---|
| 0000H | the object is on the disk |
| A700H | the disk is full or fails: the sender tries again |
| A900H | the data set is another object, or of another class, than the request says |
| C000H | the data set cannot be read, or is larger than a radiograph is |
"""

import io
import logging
import re
import ssl
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AllStoragePresentationContexts, StoragePresentationContexts, evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from pynetdicom.sop_class import Verification

from bone_age_tf.config import NodeSection
from bone_age_tf.dicom.decoders import SYNTAXES
from bone_age_tf.dicom.elements import read_elements
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.inflate import inflated
from bone_age_tf.dicom_output.attributes import IMPLEMENTATION_VERSION
from bone_age_tf.dicom_output.identifiers import uid_of
from bone_age_tf.dicom_output.node.audit import OnEvent
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.errors import EnvironmentFaultError
from bone_age_tf.files.images import MAX_FILE_BYTES
from bone_age_tf.files.quiet import without_messages_of

log = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, OTHER_OBJECT, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
"""Status of a C-STORE response, PS3.4 table B.2-1."""
MAX_PDU_BYTES = 2**17
"""That the receiver asks for."""
MAX_RECEIVED_PDU_BYTES = 2**20
"""That it takes: pynetdicom would read the 4 GB that a PDU may announce into memory, also before it knows who sends."""
TIMEOUT_SECONDS = 60.0
"""For the next PDU of an association, and for the next bytes of one that has begun."""
ABORT_SECONDS = 1.0
"""For the end of aborted associations."""

_HEADER_BYTES = 2**22
_UID = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*")
_IDENTITY = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")


class Refusal(NamedTuple):
    """Why an object is not taken."""

    status: int
    code: str
    """For the audit."""
    comment: str
    """For the sender, at most 64 characters."""


_FULL = Refusal(
    OUT_OF_RESOURCES, "out_of_resources", "The disk is full or fails. Send again later."
)
_DAMAGED = Refusal(NOT_UNDERSTOOD, "damaged", "The data set cannot be read.")
_NO_UID = Refusal(NOT_UNDERSTOOD, "no_uid", "SOP, study or series UID is missing or is none.")
_OTHER_CLASS = Refusal(OTHER_OBJECT, "other_class", "SOP class differs from that of the request.")
_OTHER_UID = Refusal(
    OTHER_OBJECT, "other_uid", "SOP Instance UID differs from that of the request."
)
_TOO_LARGE = Refusal(
    NOT_UNDERSTOOD, "too_large", f"Larger than a radiograph: over {MAX_FILE_BYTES >> 20} MB."
)


class Receiver:
    """Listens on the port of the settings until it is stopped. Make one, add contexts to its `entity`, and start it."""

    def __init__(
        self,
        spool: Spool,
        settings: NodeSection,
        on_event: OnEvent,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._spool, self._settings, self._on_event, self._tls = spool, settings, on_event, tls
        self._too_large: weakref.WeakSet[Association] = weakref.WeakSet()
        self._server: Any = None
        self.entity = _entity(settings)

    def start(self, handlers: Sequence[tuple[Any, Callable[..., Any]]] = ()) -> None:
        """Listen, with more handlers of pynetdicom's events. Raises `EnvironmentFaultError` where the port is taken."""
        own = [
            (evt.EVT_CONN_OPEN, _bound),
            (evt.EVT_DATA_RECV, self._drop_excess),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_REJECTED, self._on_rejected),
        ]
        address = (self._settings.host, self._settings.port)
        try:
            self._server = self.entity.start_server(
                address,
                block=False,
                ssl_context=self._tls,
                evt_handlers=[*own, *handlers],
                contexts=_Contexts(self.entity.supported_contexts),
            )
        except OSError as error:
            raise EnvironmentFaultError(
                f"Cannot listen at {address[0]}, port {address[1]}: {error.strerror or error}. Name another host or "
                "port under [node], or stop what uses it."
            ) from error

    @property
    def port(self) -> int:
        """That it listens on."""
        return self._server.server_address[1]

    def stop(self, seconds: float = 5.0) -> None:
        """Take no more associations, let those that are there end for so long, and abort the rest.

        What was answered is in the spool; what was not is sent again by its sender.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        _wait_for_end(server, seconds)
        for association in server.active_associations:
            association.abort(block=False)  # one that is stuck would hold up the stop
        _wait_for_end(server, ABORT_SECONDS)

    # === Events of pynetdicom ===

    def _on_store(self, event: evt.Event) -> Dataset:
        start = time.monotonic()
        calling_ae = event.assoc.requestor.ae_title
        refusal, identity, size = self._keep(event, calling_ae)
        about = {
            "radiograph_uid": str(event.request.AffectedSOPInstanceUID or ""),
            "study_uid": identity.get("StudyInstanceUID", ""),
            "calling_ae": calling_ae,
        }
        if refusal is None:
            sop_class = identity["SOPClassUID"]
            seconds = time.monotonic() - start
            self._on_event("received", **about, sop_class=sop_class, bytes=size, seconds=seconds)
            return _answer(SUCCESS)
        log.warning(
            f"An object of {calling_ae} was refused with {refusal.status:04X}H: {refusal.comment}"
        )
        self._on_event("refused", **about, reason=refusal.code)
        return _answer(refusal.status, refusal.comment)

    def _keep(
        self, event: evt.Event, calling_ae: str
    ) -> tuple[Refusal | None, dict[str, str], int]:
        """Why the object was not taken, what it is, and its bytes."""
        if event.assoc in self._too_large:
            self._too_large.discard(event.assoc)
            return _TOO_LARGE, {}, 0
        encoded = _file_of(event)
        try:
            identity = _identity_of(encoded)
        except Exception:  # whatever pydicom stumbled over
            return _DAMAGED, {}, 0
        refusal = _refusal_of(identity, event.request)
        if refusal is None:
            try:
                self._spool.receive(
                    encoded,
                    sop_instance_uid=identity["SOPInstanceUID"],
                    study_instance_uid=identity["StudyInstanceUID"],
                    series_instance_uid=identity["SeriesInstanceUID"],
                    sop_class_uid=identity["SOPClassUID"],
                    calling_ae=calling_ae,
                )
            except OSError as error:
                log.error(f"The spool cannot be written to: {error.strerror or error}")
                refusal = _FULL
        return refusal, identity, len(encoded)

    def _drop_excess(self, event: evt.Event) -> None:
        """Keep no more of an object in memory than a radiograph can have; its end is awaited and answered."""
        message = event.assoc.dimse.message
        if message is not None and message.data_set.tell() > MAX_FILE_BYTES:
            message.data_set = io.BytesIO()
            self._too_large.add(event.assoc)

    def _on_rejected(self, event: evt.Event) -> None:
        request = event.assoc.requestor.primitive
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        allowed = self._settings.calling_ae_titles
        reason = "too_many_associations"
        # In this order: where both titles are wrong, pynetdicom tells the sender of the called one.
        if self._settings.check_called_ae_title and called != self._settings.ae_title:
            reason = "called_ae"
        elif allowed and calling not in allowed:
            reason = "calling_ae"
        log.warning(f"An association of {calling!r} for {called!r} was refused ({reason}).")
        self._on_event("association_refused", calling_ae=calling, called_ae=called, reason=reason)


def _wait_for_end(server: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while server.active_associations and time.monotonic() < end:
        time.sleep(0.02)


def _entity(settings: NodeSection) -> ApplicationEntity:
    entity = ApplicationEntity(ae_title=settings.ae_title)
    entity.implementation_class_uid = uid_of("implementation", uid_root=None)
    entity.implementation_version_name = IMPLEMENTATION_VERSION
    entity.require_calling_aet = list(settings.calling_ae_titles)
    entity.require_called_aet = settings.check_called_ae_title
    entity.maximum_associations = settings.max_associations
    entity.maximum_pdu_size = MAX_PDU_BYTES
    entity.network_timeout = entity.dimse_timeout = TIMEOUT_SECONDS
    entity.add_supported_context(Verification)
    known = [*AllStoragePresentationContexts, *StoragePresentationContexts]  # neither has all
    for sop_class in dict.fromkeys(context.abstract_syntax for context in known):
        entity.add_supported_context(sop_class, _SYNTAXES)
    return entity


_SYNTAXES = list(dict.fromkeys([ExplicitVRLittleEndian, *SYNTAXES]))
"""The first that the sender proposes, too, is taken: the one that keeps the VR of private elements."""


class _Contexts(list[Any]):
    def __deepcopy__(self, memo: Any) -> list[Any]:
        """Of each association; pynetdicom changes none. A deep copy of them all took 0.1 s."""
        return list(self)


def _bound(event: evt.Event) -> None:
    """Bounds of a new connection: pynetdicom waits for ever for the rest of a PDU, and for one of any length."""
    connection = event.assoc.dul.socket
    connection.socket.settimeout(TIMEOUT_SECONDS)
    receive = connection.recv

    def receive_bounded(size: int) -> bytearray:
        if size > MAX_RECEIVED_PDU_BYTES:
            raise OSError(f"a PDU of {size} bytes")
        return receive(size)

    connection.recv = receive_bounded


def _file_of(event: evt.Event) -> bytes:
    """The data set as it came, below a meta header that depends on nothing else: the same object is the same file."""
    meta = create_file_meta(
        sop_class_uid=event.request.AffectedSOPClassUID,
        sop_instance_uid=event.request.AffectedSOPInstanceUID,
        transfer_syntax=event.context.transfer_syntax,
        implementation_uid=uid_of("implementation", uid_root=None),  # type: ignore[arg-type]
        implementation_version=IMPLEMENTATION_VERSION,
    )
    data_set = event.encoded_dataset(include_meta=False)
    return b"".join((bytes(128), b"DICM", encode_file_meta(meta), data_set))


def _identity_of(encoded: bytes) -> dict[str, str]:
    """Keyword of a UID -> UID, empty where there is none. Raises whatever pydicom does of a damaged file."""
    with without_messages_of("pydicom"):
        file = inflated(encoded, first=_HEADER_BYTES)
        if isinstance(file, Fault):
            raise ValueError(file.reason)
        elements = read_elements(file, _IDENTITY).elements
    return {keyword: elements.text(keyword) for keyword in _IDENTITY}


def _refusal_of(identity: dict[str, str], request: Any) -> Refusal | None:
    if not all(map(_UID.fullmatch, identity.values())):
        return _NO_UID
    if identity["SOPInstanceUID"] != request.AffectedSOPInstanceUID:
        return _OTHER_UID
    return None if identity["SOPClassUID"] == request.AffectedSOPClassUID else _OTHER_CLASS


def _answer(status: int, comment: str = "") -> Dataset:
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment
    return answer
