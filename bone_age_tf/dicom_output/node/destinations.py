"""Destinations of results, and an archive by C-STORE as one. Each object is answered for itself."""

import dataclasses
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.status import STORAGE_SERVICE_CLASS_STATUS, code_to_category

from bone_age_tf.dicom_output.node.association import (
    NoAssociationError,
    NoContextError,
    Peer,
    association_with,
)
from bone_age_tf.dicom_output.node.spool import Delivery

UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
DUPLICATE = 0x0111
"""Duplicate SOP Instance: the archive has it."""
PERMANENT = (0x0117, 0x0122, *range(0xA900, 0xAA00))
"""Statuses that the same bytes get again: invalid SOP instance, SOP class not supported, not of its SOP class."""
PERMANENT_RESULTS = (0x03, 0x04)
"""Of a presentation context: abstract syntax or transfer syntaxes not supported."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of one object."""

    state: Literal["stored", "retry", "failed"]
    """`retry`: it may be stored by another attempt; `failed`: not by the same bytes."""
    code: str
    """In one word, without anything that the archive wrote: for logs, audit and metrics."""
    reason: str = ""
    """In words."""

    @property
    def is_doubtful(self) -> bool:
        """The archive has answered failure: whether it keeps the object is another question."""
        return self.code.startswith("status_") and self.state != "stored"


STORED = Answer("stored", "stored")


Answers = Generator[tuple[Delivery, Answer], None, None]


class UnreachableError(Exception):
    """The destination takes nothing now; `code` says why in one word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Destination(Protocol):
    """Where objects are sent."""

    def send(self, items: Sequence[Delivery]) -> Answers:
        """Each object with its answer, once it is there; closing the iterator ends the transfer after an object.

        Raises `UnreachableError` for those that are left.
        """
        ...


class Archive:
    """A receiver of C-STORE; one association for each call of `send`, and another one after an abort."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def send(self, items: Sequence[Delivery]) -> Answers:
        """As `Destination.send` says."""
        left = []
        for item in items:
            syntax = _syntax_of(item.path)
            if isinstance(syntax, Answer):
                yield item, syntax
            else:
                left.append((item, syntax))
        while left:
            try:
                # An archive that aborts at one object gets the others by another association.
                with association_with(self.peer, _contexts(left)) as association:
                    while left and association.is_established:
                        item, syntax = left.pop(0)
                        yield item, self._store(association, item, syntax)
            except NoContextError as error:
                for item, syntax in left:
                    yield item, _refusal(error.contexts, item, syntax)
                return
            except NoAssociationError as error:
                raise UnreachableError(error.code, str(error)) from error

    def _store(self, association: Association, item: Delivery, syntax: UID) -> Answer:
        if not _is_among(association.accepted_contexts, item, syntax):
            return _refusal(association.rejected_contexts, item, syntax)
        start = time.monotonic()
        try:
            status = association.send_c_store(pydicom.dcmread(item.path))
        except RuntimeError:  # the association has ended since the last object
            return Answer("retry", "aborted", "the archive ended the association")
        except (OSError, InvalidDicomError, AttributeError, ValueError) as error:
            return unreadable(error)
        if "Status" in status:
            return answer_of(status.Status, str(status.get("ErrorComment", "")))
        association.join(self.peer.timeout_seconds)  # its end is noticed by its own thread
        if time.monotonic() - start < self.peer.timeout_seconds:
            return Answer("retry", "aborted", "the archive aborted the association at this object")
        return Answer("retry", "timeout", f"no answer within {self.peer.timeout_seconds:g} s")


def answer_of(status: int, comment: str = "") -> Answer:
    """The answer that a C-STORE status is (PS3.4, table B.2-1; PS3.7, annex C)."""
    category, meaning = STORAGE_SERVICE_CLASS_STATUS.get(status, (code_to_category(status), ""))
    if category in ("Success", "Warning") or status == DUPLICATE:
        return STORED if category == "Success" else Answer("stored", f"status_{status:04X}")
    words = ": ".join(filter(None, (meaning, comment)))
    reason = f"the archive answered {status:04X}H" + f" ({words})" * bool(words)
    return Answer("failed" if status in PERMANENT else "retry", f"status_{status:04X}", reason)


def _syntax_of(path: Path) -> UID | Answer:
    try:
        return UID(read_file_meta_info(path).TransferSyntaxUID)
    except (OSError, InvalidDicomError, AttributeError) as error:
        return unreadable(error)


def unreadable(error: Exception) -> Answer:
    """Of an object whose file cannot be sent."""
    reason = f"the file in the spool cannot be read ({type(error).__name__})"
    return Answer("failed", "unreadable", reason)


def _contexts(items: Sequence[tuple[Delivery, UID]]) -> list[PresentationContext]:
    """One for each SOP class and way of encoding: implicit VR is what every archive must take (PS3.5, 10.1)."""
    wanted = {(item.sop_class_uid, _syntaxes(syntax)) for item, syntax in items}
    return [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in sorted(wanted)]


def _syntaxes(syntax: UID) -> tuple[UID, ...]:
    return (syntax,) if syntax.is_compressed else UNCOMPRESSED


def _is_among(contexts: Sequence[PresentationContext], item: Delivery, syntax: UID) -> bool:
    syntaxes = _syntaxes(syntax)
    return any(
        one.abstract_syntax == item.sop_class_uid and one.transfer_syntax[0] in syntaxes
        for one in contexts
    )


def _refusal(contexts: Sequence[PresentationContext], item: Delivery, syntax: UID) -> Answer:
    """Of an object for which no presentation context was accepted."""
    name = UID(item.sop_class_uid).name
    results = [one.result for one in contexts if one.abstract_syntax == item.sop_class_uid]
    reason = f"the archive does not accept {name} in {syntax.name}"
    is_permanent = all(result in PERMANENT_RESULTS for result in results)
    return Answer("failed" if is_permanent else "retry", "not_accepted", reason)
