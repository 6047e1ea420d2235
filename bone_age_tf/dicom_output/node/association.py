"""Associations that the node requests: a timeout on every step, DICOM TLS, and in words why there is none."""

import contextlib
import dataclasses
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from bone_age_tf.config import StoreDestination, TlsSection
from bone_age_tf.dicom_output.node.tls import client_context

Handlers = Sequence[tuple[Any, Callable[..., Any]]]
"""Events of pynetdicom with what handles them."""


class NoAssociationError(Exception):
    """There is none, for a reason that may pass; `code` names it in one word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class NoContextError(NoAssociationError):
    """The peer takes none of the presentation contexts, whose answers are `contexts`."""

    def __init__(self, contexts: Sequence[PresentationContext]) -> None:
        super().__init__("no_context", "the archive accepts none of the SOP classes")
        self.contexts = list(contexts)


@dataclasses.dataclass(frozen=True)
class Peer:
    """An application entity that the node talks to."""

    host: str
    port: int
    ae_title: str
    calling_ae_title: str
    timeout_seconds: float
    """Of a connection, of the answer to an association request or a message, and of a write that nobody reads."""
    tls: ssl.SSLContext | None = None

    @property
    def address(self) -> str:
        """For messages."""
        return f"{self.ae_title} at {self.host}:{self.port}"


def peer_of(settings: StoreDestination, calling_ae_title: str, tls: TlsSection | None) -> Peer:
    """The peer that a destination is. Raises `EnvironmentFaultError` for certificates that cannot be used."""
    return Peer(
        host=settings.host,
        port=settings.port,
        ae_title=settings.ae_title,
        calling_ae_title=calling_ae_title,
        timeout_seconds=settings.timeout_seconds,
        tls=client_context(tls) if settings.tls and tls is not None else None,
    )


@contextlib.contextmanager
def association_with(
    peer: Peer, contexts: Sequence[PresentationContext], handlers: Handlers = ()
) -> Iterator[Association]:
    """An association, released at the end. Raises `NoAssociationError` where there is none.

    `contexts` may differ in what the peer accepts of them; at least one is accepted.
    """
    association = _request(peer, contexts, handlers)
    try:
        yield association
    finally:
        association.release()


def _request(
    peer: Peer, contexts: Sequence[PresentationContext], handlers: Handlers
) -> Association:
    opened: list[Association] = []

    def on_open(event: evt.Event) -> None:
        # pynetdicom clears the timeout of the socket here. Without one, a peer that stops to read or sends half a PDU holds
        # a thread, and with it abort() and the process, for ever.
        event.assoc.dul.socket.socket.settimeout(peer.timeout_seconds)
        opened.append(event.assoc)

    entity, start = _entity(peer), time.monotonic()
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, on_open), *handlers],
            tls_args=None if peer.tls is None else (peer.tls, peer.host),
        )
    except OSError as error:  # of the name's resolution
        raise NoAssociationError("unreachable", f"{peer.host}: {_words(error)}") from error
    if association.is_established:
        return association
    if not opened:
        raise NoAssociationError("unreachable", f"no connection to {peer.address}: {_why(peer)}")
    raise _why_not(association, peer, time.monotonic() - start)


def _entity(peer: Peer) -> ApplicationEntity:
    entity = ApplicationEntity(ae_title=peer.calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = peer.timeout_seconds
    entity.network_timeout = 2 * peer.timeout_seconds  # of idleness: never before an answer's
    return entity


def _why_not(association: Association, peer: Peer, seconds: float) -> NoAssociationError:
    """After the connection was made."""
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = f"{peer.address} rejected the association ({answer.reason_str})"
        return NoAssociationError("rejected", reason)
    if association.rejected_contexts and not association.accepted_contexts:
        return NoContextError(association.rejected_contexts)
    if seconds < peer.timeout_seconds:
        tls = ": does it accept the node's certificate?" if peer.tls else ": does it expect TLS?"
        reason = f"{peer.address} closed the connection before it answered{tls}"
        return NoAssociationError("closed", reason)
    reason = f"{peer.address} did not answer within {peer.timeout_seconds:g} s"
    return NoAssociationError("timeout", reason)


def _why(peer: Peer) -> str:
    """pynetdicom only logs why there is no connection: one more attempt says it."""
    try:
        address = (peer.host, peer.port)
        with socket.create_connection(address, peer.timeout_seconds) as connection:
            if peer.tls is not None:
                peer.tls.wrap_socket(connection, server_hostname=peer.host).close()
    except OSError as error:
        return _words(error)
    return "the attempt failed"


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer"
    return error.strerror or str(error)
