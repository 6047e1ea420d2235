import contextlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom-output] is not installed")
from certificates import Authority, Certificate
from pynetdicom.ae import ApplicationEntity

from bone_age_tf.config import TlsSection
from bone_age_tf.dicom_output.node.tls import server_context
from bone_age_tf.errors import EnvironmentFaultError

VERIFICATION = "1.2.840.10008.1.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Certificate:
    return authority.certificate("node")


@pytest.fixture(scope="module")
def sender(authority: Authority) -> Certificate:
    return authority.certificate("sender")


def section(authority: Authority, node: Certificate, **settings: Any) -> TlsSection:
    given = {"certificate": node.certificate, "key": node.key, "ca": authority.ca}
    return TlsSection(**{**given, **settings})


@contextlib.contextmanager
def listening(tls: TlsSection) -> Iterator[int]:
    entity = ApplicationEntity(ae_title="NODE")
    entity.add_supported_context(VERIFICATION)
    server = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=server_context(tls))
    assert server is not None
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def echo(port: int, authority: Authority, sender: Certificate | None) -> bool:
    context = ssl.create_default_context(cafile=authority.ca)
    if sender is not None:
        context.load_cert_chain(sender.certificate, sender.key)
    entity = ApplicationEntity(ae_title="CR1")
    entity.add_requested_context(VERIFICATION)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 5
    association = entity.associate("127.0.0.1", port, tls_args=(context, "127.0.0.1"))
    if not association.is_established:
        return False
    status = association.send_c_echo()
    association.release()
    return status.Status == 0


def test_a_sender_needs_a_certificate_of_the_authority(
    authority: Authority, node: Certificate, sender: Certificate, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "elsewhere").certificate("stranger")
    with listening(section(authority, node)) as port:
        assert echo(port, authority, sender)
        assert not echo(port, authority, None)
        assert not echo(port, authority, stranger)
        assert echo(port, authority, sender)


def test_senders_without_a_certificate_where_that_is_allowed(
    authority: Authority, node: Certificate
) -> None:
    tls = section(authority, node, ca=None, require_client_certificate=False)
    with listening(tls) as port:
        assert echo(port, authority, None)


def test_a_connection_that_says_nothing_keeps_nobody_waiting(
    authority: Authority, node: Certificate, sender: Certificate
) -> None:
    with listening(section(authority, node)) as port:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as silent:
            assert echo(port, authority, sender)
            silent.sendall(b"\x16\x03\x01")
            assert echo(port, authority, sender)
        with contextlib.closing(socket.create_connection(("127.0.0.1", port))) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert echo(port, authority, sender)


def test_old_versions_of_tls_are_refused(authority: Authority, node: Certificate) -> None:
    context = server_context(section(authority, node))
    assert context is not None
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_plain_dicom_needs_no_context(authority: Authority, node: Certificate) -> None:
    assert server_context(None) is None
    assert server_context(section(authority, node, listen=False)) is None


def test_files_that_cannot_be_used_are_named(
    authority: Authority, node: Certificate, sender: Certificate, tmp_path: Path
) -> None:
    for settings in (
        {"certificate": "absent.pem"},
        {"key": sender.key},
        {"ca": str(Path(__file__))},
    ):
        with pytest.raises(EnvironmentFaultError, match=r"\[tls\]: a certificate or key cannot"):
            server_context(section(authority, node, **settings))
