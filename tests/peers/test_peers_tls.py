"""DICOM TLS with certificates of both sides: to Orthanc, and its storage commitment reports back."""

from collections.abc import Iterator
from pathlib import Path

import orthanc_peer
import pytest
from certificates import Authority
from deliveries import Events, deliver, fill, rows, spool_in, states, store_destination
from orthanc_peer import AE_TITLE, DICOM_PORT, NODE_AE_TITLE, NODE_PORT, Orthanc
from pynetdicom import AE

from bone_age_tf.config import TlsSection
from bone_age_tf.dicom_output.node.commitment import add_context
from bone_age_tf.dicom_output.node.delivery import Deliveries
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.dicom_output.node.tls import server_context

pytestmark = pytest.mark.large


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path) as one:
        yield one


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def orthanc(network: None, authority: Authority, tmp_path: Path) -> Iterator[Orthanc]:
    orthanc_peer.require()
    own = authority.certificate("archive")
    node = {"AET": NODE_AE_TITLE, "Host": "127.0.0.1", "Port": NODE_PORT, "UseDicomTls": True}
    one = Orthanc(
        tmp_path,
        DicomModalities={"bone-age": node},
        DicomTlsEnabled=True,
        DicomTlsCertificate=own.certificate,
        DicomTlsPrivateKey=own.key,
        DicomTlsTrustedCertificates=authority.ca,
    )
    yield one
    one.close()


def _deliveries(spool: Spool, tls: TlsSection) -> Deliveries:
    destination = store_destination(
        DICOM_PORT, ae_title=AE_TITLE, tls=True, storage_commitment=True, timeout_seconds=10.0
    )
    return Deliveries(spool, [destination], Events(), ae_title=NODE_AE_TITLE, tls=tls)


def test_orthanc_confirms_by_tls_what_it_got_by_tls(
    spool: Spool, orthanc: Orthanc, authority: Authority
) -> None:
    uids = fill(spool)
    own = authority.certificate("node")
    tls = TlsSection(certificate=own.certificate, key=own.key, ca=authority.ca)
    deliveries = _deliveries(spool, tls)
    entity = AE(ae_title=NODE_AE_TITLE)
    add_context(entity)
    server = entity.start_server(
        ("127.0.0.1", NODE_PORT),
        block=False,
        evt_handlers=list(deliveries.commitments.handlers()),
        ssl_context=server_context(tls),
    )
    deliver(spool, deliveries.senders[0], until=("committed",))
    server.shutdown()
    assert orthanc.instances() == sorted(uids)


def test_orthanc_takes_nothing_from_a_node_of_another_authority(
    spool: Spool, orthanc: Orthanc, authority: Authority, tmp_path: Path
) -> None:
    fill(spool)
    own = Authority(tmp_path, "other").certificate("node")
    tls = TlsSection(certificate=own.certificate, key=own.key, ca=authority.ca)
    _deliveries(spool, tls).senders[0].step()
    assert states(spool) == {"waiting": 2} and orthanc.instances() == []
    assert "certificate" in rows(spool)[0]["error"]
