"""DICOM TLS of the node's port and to destinations (PS3.15, Basic TLS Secure Transport Connection Profiles: TLS 1.2 or
later)."""

import socket
import ssl
from typing import Any

from bone_age_tf.config import TlsSection
from bone_age_tf.errors import EnvironmentFaultError

HANDSHAKE_SECONDS = 10.0
"""For each message of a handshake."""


class _HandshakeLater(ssl.SSLContext):
    """Shakes hands at the first read of a connection, which its own thread does.

    pynetdicom wraps a connection where it accepts it: one that sends nothing would keep all others waiting for ever.
    """

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        sock.settimeout(HANDSHAKE_SECONDS)
        return super().wrap_socket(sock, *args, **options, do_handshake_on_connect=False)


def server_context(tls: TlsSection | None) -> ssl.SSLContext | None:
    """What `start_server` of pynetdicom takes; None where the node's port speaks plain DICOM.

    Raises `EnvironmentFaultError` where a file cannot be used.
    """
    if tls is None or not tls.listen:
        return None
    context = _HandshakeLater(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    if tls.require_client_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(tls: TlsSection) -> ssl.SSLContext:
    """For destinations: with the node's certificate; the certificate of the peer and its host name are checked.

    Raises `EnvironmentFaultError` where a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, tls)
    if tls.ca is None:
        context.load_default_certs()
    return context


def _load(context: ssl.SSLContext, tls: TlsSection) -> None:
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
        if tls.ca is not None:
            context.load_verify_locations(tls.ca)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise EnvironmentFaultError(
            f"[tls]: a certificate or key cannot be used ({error}). Expected PEM files, the key without a password. "
            f"Received: certificate {tls.certificate}, key {tls.key}, ca {tls.ca}."
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")  # instead of asking at the terminal
