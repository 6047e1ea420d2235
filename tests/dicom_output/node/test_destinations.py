"""DICOM TLS to an archive, and DICOMweb servers that behave as real ones do."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import archive_stand_in
import dicomweb_stand_in
import pytest
from certificates import Authority, Certificate
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
from pydicom.uid import Comprehensive3DSRStorage

from bone_age_tf.config import TlsSection
from bone_age_tf.dicom_output.node.delivery import Deliveries, Sender
from bone_age_tf.dicom_output.node.spool import Spool
from bone_age_tf.errors import EnvironmentFaultError, UsageError


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with spool_in(tmp_path) as one:
        yield one


# === DICOM TLS ===


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"))


def _server(authority: Authority, own: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    context.load_cert_chain(own.certificate, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _sender(spool: Spool, port: int, own: Certificate, ca: str, host: str = "127.0.0.1") -> Sender:
    tls = TlsSection(certificate=own.certificate, key=own.key, ca=ca)
    destination = store_destination(port, host=host, tls=True)
    return Deliveries(spool, [destination], Events(), ae_title="NODE", tls=tls).senders[0]


def test_by_tls_with_certificates_of_both_sides(spool: Spool, authority: Authority) -> None:
    uids = fill(spool)
    context = _server(authority, authority.certificate("archive"))
    with archive_stand_in.running(archive_stand_in.StandIn(), tls=context) as archive:
        own = authority.certificate("node")
        deliver(spool, _sender(spool, archive.port, own, authority.ca, "localhost"))
    assert states(spool) == {"sent": 2} and sorted(archive.stored) == sorted(uids)


@pytest.mark.parametrize("fault", ["other authority", "other host", "node not trusted", "no tls"])
def test_tls_that_fails_sends_nothing_and_says_why(
    spool: Spool, authority: Authority, tmp_path: Path, fault: str
) -> None:
    fill(spool)
    other = Authority(tmp_path, "other")
    own = (other if fault == "node not trusted" else authority).certificate("node")
    ca = (other if fault == "other authority" else authority).ca
    host = "127.0.0.2" if fault == "other host" else "127.0.0.1"
    context = None if fault == "no tls" else _server(authority, authority.certificate("archive"))
    archive = archive_stand_in.StandIn()
    with archive_stand_in.running(archive, tls=context, host=host):
        _sender(spool, archive.port, own, ca, host).step()
    assert states(spool) == {"waiting": 2} and not archive.stores
    words = {
        "other authority": "its certificate is not accepted: self-signed certificate",
        "other host": "its certificate is not accepted: IP address mismatch",
        "node not trusted": "does it accept the node's certificate?",
        "no tls": "no connection to ARCHIVE",
    }
    assert words[fault] in rows(spool)[0]["error"]


def test_certificates_that_cannot_be_used(spool: Spool, tmp_path: Path) -> None:
    with pytest.raises(
        EnvironmentFaultError, match=r"\[tls\]: a certificate or key cannot be used"
    ):
        _sender(spool, 104, Certificate(str(tmp_path / "a"), str(tmp_path / "b")), "none.pem")


# === DICOMweb ===


@pytest.fixture
def server() -> Iterator[dicomweb_stand_in.StandIn]:
    with dicomweb_stand_in.running(dicomweb_stand_in.StandIn()) as one:
        yield one


def _to(spool: Spool, url: str, **settings: Any) -> Sender:
    destination = web_destination(url, **settings)
    return Deliveries(spool, [destination], Events(), ae_title="NODE").senders[0]


def test_stow_stores_each_once(spool: Spool, server: dicomweb_stand_in.StandIn) -> None:
    uids = fill(spool, studies=2)
    deliver(spool, _to(spool, server.url))
    assert states(spool) == {"sent": 4} and sorted(server.stored) == sorted(uids)
    assert server.posts() == 2


def test_a_mixed_answer_is_read_object_by_object(
    spool: Spool, server: dicomweb_stand_in.StandIn
) -> None:
    report, picture = fill(spool)
    refused = Comprehensive3DSRStorage
    server.refuses = lambda dataset: 0x0122 if dataset.SOPClassUID == refused else None
    deliver(spool, _to(spool, server.url))
    found = {row["object_uid"]: row for row in rows(spool)}
    assert (found[report]["state"], found[report]["attempts"]) == ("failed", 1)
    assert "SOP class not supported" in found[report]["error"]
    assert found[picture]["state"] == "sent" and list(server.stored) == [picture]
    assert server.posts() == 1


def test_400_for_an_object_that_is_stored_already_or_for_lack_of_space(
    spool: Spool, server: dicomweb_stand_in.StandIn
) -> None:
    first, second = fill(spool)
    reasons = iter([0xA700])
    server.status_of_refusal = 400
    server.refuses = lambda dataset: (
        0x0111 if dataset.SOPInstanceUID == first else next(reasons, None)
    )
    deliver(spool, _to(spool, server.url))
    assert states(spool) == {"sent": 2} and list(server.stored) == [second]


@pytest.mark.parametrize("status", [503, 500, 401, 404, 0])
def test_a_status_that_names_no_object_is_tried_again(
    spool: Spool, server: dicomweb_stand_in.StandIn, status: int
) -> None:
    uids = fill(spool)
    server.statuses = [status] * 4
    deliver(spool, _to(spool, server.url))
    assert states(spool) == {"sent": 2} and sorted(server.stored) == sorted(uids)


@pytest.mark.parametrize("status", [400, 409, 500])
def test_a_server_that_stores_and_answers_failure_without_a_word_gets_nothing_twice(
    spool: Spool, server: dicomweb_stand_in.StandIn, status: int
) -> None:
    uids = fill(spool)
    server.stores_and_answers = status
    sender = _to(spool, server.url)
    sender.step()
    assert states(spool) == {"waiting": 2}
    posts = server.posts()
    deliver(spool, sender)
    assert states(spool) == {"sent": 2} and sorted(server.stored) == sorted(uids)
    assert server.posts() == posts


def test_a_server_that_answers_success_and_stores_nothing_is_found_by_a_search(
    spool: Spool, server: dicomweb_stand_in.StandIn
) -> None:
    uids, events = fill(spool), Events()
    server.lies = True
    settings = web_destination(server.url, search_stored=True, give_up_hours=1.0)
    sender = Deliveries(spool, [settings], events, ae_title="NODE").senders[0]
    Sender.step(sender)  # sends, and does not search yet
    assert states(spool) == {"sent": 2} and not server.stored
    while "not_committed" not in events.names():
        sender.step()
    server.lies = False
    deliver(spool, sender, until=("committed",))
    assert sorted(server.stored) == sorted(uids)


def test_a_server_that_cannot_be_searched_is_asked_again_later(
    spool: Spool, server: dicomweb_stand_in.StandIn
) -> None:
    fill(spool)
    sender = _to(spool, server.url, search_stored=True)
    Sender.step(sender)
    server.statuses = [404, 500]
    deliver(spool, sender, until=("committed",))
    assert len(server.requests) == 1 + 2 + 2


def test_a_dead_or_slow_server(spool: Spool, server: dicomweb_stand_in.StandIn) -> None:
    uids = fill(spool)
    with archive_stand_in.closed() as port:
        _to(spool, f"http://127.0.0.1:{port}/dicom-web").step()
    assert states(spool) == {"waiting": 2} and "cannot be reached" in rows(spool)[0]["error"]
    time.sleep(0.1)  # until it is due again
    with archive_stand_in.silent() as port:
        start = time.monotonic()
        _to(spool, f"http://127.0.0.1:{port}/dicom-web", timeout_seconds=0.2).step()
        assert time.monotonic() - start < 2
    assert states(spool) == {"waiting": 2} and "no answer in time" in rows(spool)[0]["error"]
    server.delay_seconds = 0.4
    deliver(spool, _to(spool, server.url))
    assert states(spool) == {"sent": 2} and sorted(server.stored) == sorted(uids)


def test_a_server_that_says_nothing_is_tried_with_two_studies_a_round(spool: Spool) -> None:
    fill(spool, studies=6)
    events = Events()
    with archive_stand_in.silent() as port:
        url = f"http://127.0.0.1:{port}/dicom-web"
        settings = web_destination(url, timeout_seconds=0.3, give_up_hours=1.0, retry_seconds=9.0)
        sender = Deliveries(spool, [settings], events, ae_title="NODE").senders[0]
        start = time.monotonic()
        sender.step()
        assert time.monotonic() - start < 6 * 0.3
    assert states(spool) == {"waiting": 12} and spool.due("archive") == []
    assert events.names().count("unreachable") == 1
    assert events.names().count("delivery_failed") == 2  # of the first study


def test_a_token_of_the_environment(
    spool: Spool, server: dicomweb_stand_in.StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(spool)
    with pytest.raises(UsageError, match="the environment variable ARCHIVE_TOKEN is not set"):
        _to(spool, server.url, token_variable="ARCHIVE_TOKEN")
    monkeypatch.setenv("ARCHIVE_TOKEN", "secret")
    server.token = "secret"
    deliver(spool, _to(spool, server.url, token_variable="ARCHIVE_TOKEN"))
    assert states(spool) == {"sent": 2}
