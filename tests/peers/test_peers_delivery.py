"""Delivery to Orthanc: C-STORE with storage commitment, and STOW-RS."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from deliveries import (
    Events,
    deliver,
    fill,
    rows,
    spool_in,
    states,
    store_destination,
    web_destination,
)
from orthanc_peer import AE_TITLE, DICOM_PORT, NODE_AE_TITLE, NODE_PORT, Orthanc
from pynetdicom import AE

from bone_age_tf.dicom_output.node.commitment import add_context
from bone_age_tf.dicom_output.node.delivery import Deliveries, Sender
from bone_age_tf.dicom_output.node.spool import Spool

pytestmark = pytest.mark.large


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path) as one:
        yield one


def _by_dimse(spool: Spool) -> Deliveries:
    settings: dict[str, Any] = {"storage_commitment": True, "timeout_seconds": 10.0}
    destination = store_destination(DICOM_PORT, ae_title=AE_TITLE, **settings)
    return Deliveries(spool, [destination], Events(), ae_title=NODE_AE_TITLE)


@contextlib.contextmanager
def _receiver(deliveries: Deliveries) -> Iterator[None]:
    """Where Orthanc sends its reports to."""
    entity = AE(ae_title=NODE_AE_TITLE)
    add_context(entity)
    handlers = list(deliveries.commitments.handlers())
    server = entity.start_server(("127.0.0.1", NODE_PORT), block=False, evt_handlers=handlers)
    yield
    server.shutdown()


def test_orthanc_confirms_what_it_keeps(spool: Spool, orthanc: Orthanc) -> None:
    uids = fill(spool, studies=2)
    deliveries = _by_dimse(spool)
    with _receiver(deliveries):
        deliver(spool, deliveries.senders[0], until=("committed",))
    assert states(spool) == {"committed": 4}
    assert orthanc.instances() == sorted(uids)


def test_what_orthanc_has_lost_is_sent_again(spool: Spool, orthanc: Orthanc) -> None:
    uids = fill(spool)
    deliveries = _by_dimse(spool)
    sender = deliveries.senders[0]
    Sender.step(sender)  # sends, and asks for no commitment yet
    assert states(spool) == {"sent": 2}
    orthanc.clear()
    with _receiver(deliveries):
        deliver(spool, sender, until=("committed",))
    assert orthanc.instances() == sorted(uids)
    assert [row["attempts"] for row in rows(spool)] == [1, 1]


def test_by_stow_and_found_by_a_search(spool: Spool, orthanc: Orthanc) -> None:
    uids = fill(spool, studies=2)
    destination = web_destination(orthanc.dicomweb, search_stored=True, timeout_seconds=10.0)
    sender = Deliveries(spool, [destination], Events(), ae_title=NODE_AE_TITLE).senders[0]
    Sender.step(sender)  # sends, and does not search yet
    assert states(spool) == {"sent": 4} and orthanc.instances() == sorted(uids)
    orthanc.clear()
    deliver(spool, sender, until=("committed",))
    assert orthanc.instances() == sorted(uids)
    assert [row["attempts"] for row in rows(spool)] == [1] * 4
