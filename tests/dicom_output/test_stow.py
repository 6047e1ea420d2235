"""STOW-RS to a stand-in of an archive: each object is what the answer says of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("dicomweb_client", reason="the extra [dicom-output] is not installed")

from dicom_results import phantom_file
from dicomweb_stand_in import StandIn, read, running

from bone_age_tf.config.dicomweb import DicomwebConfig
from bone_age_tf.dicom_output import archive as archive_module
from bone_age_tf.dicom_output import stow
from bone_age_tf.dicom_output.archive import Archive

TOKEN = "a-secret-of-the-tests"


@pytest.fixture
def peer() -> Iterator[StandIn]:
    with running(StandIn()) as one:
        yield one


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "FIRST_PAUSE", 0.01)


def objects(count: int) -> dict[str, bytes]:
    files = [phantom_file(number) for number in range(1, count + 1)]
    return {str(read(file).SOPInstanceUID): file for file in files}


def store(peer: StandIn, sent: dict[str, bytes], **settings: float) -> stow.Verdicts:
    return stow.store(Archive(DicomwebConfig(url=peer.url, **settings)), sent)


def test_objects_arrive_as_they_are(peer: StandIn) -> None:
    sent = objects(3)
    assert store(peer, sent) == dict.fromkeys(sent)
    assert peer.stored == sent
    assert peer.posts() == 1


@pytest.mark.parametrize("status", [200, 202, 400, 409])
@pytest.mark.parametrize("xml", [False, True])
def test_a_mixed_batch_is_read_object_by_object(peer: StandIn, status: int, xml: bool) -> None:
    sent = objects(3)
    bad = list(sent)[1]
    peer.refuses = lambda dataset: 0xC000 if dataset.SOPInstanceUID == bad else None
    peer.status_of_refusal, peer.xml = status, xml
    found = store(peer, sent)
    failed = found.pop(bad)
    assert failed is not None
    assert "C000" in failed.reason
    assert not failed.is_transient
    assert list(found.values()) == [None, None]
    assert set(peer.stored) == set(found)
    assert peer.posts() == 1


def test_an_answer_without_objects_is_asked_again_for_each(peer: StandIn) -> None:
    sent = objects(2)
    peer.stores_and_answers = 400
    found = store(peer, sent)
    assert {one.reason for one in found.values() if one} == {"the archive answered with status 400"}
    assert peer.posts() == 3
    peer.stores_and_answers = None
    assert store(peer, sent) == dict.fromkeys(sent)  # what it has is stored


def test_success_that_names_no_object_is_no_success(peer: StandIn) -> None:
    peer.stores_and_answers = 200
    found = store(peer, objects(1))
    assert [one is not None and "did not say" in one.reason for one in found.values()] == [True]


def test_what_the_archive_already_has_is_stored(peer: StandIn) -> None:
    peer.refuses = lambda dataset: stow.ALREADY_STORED[0]
    sent = objects(1)
    assert store(peer, sent) == dict.fromkeys(sent)


def test_out_of_resources_is_transient(peer: StandIn) -> None:
    peer.refuses = lambda dataset: 0xA700
    (found,) = store(peer, objects(1)).values()
    assert found is not None
    assert found.is_transient
    assert "out of resources" in found.reason


@pytest.mark.parametrize("fault", [503, 429, 0])
def test_a_passing_fault_is_tried_again_with_the_whole_body(peer: StandIn, fault: int) -> None:
    sent = objects(2)
    peer.statuses = [fault, fault]
    assert store(peer, sent) == dict.fromkeys(sent)
    assert peer.stored == sent
    assert peer.posts() == 3


def test_a_fault_that_stays_is_transient_and_lasts(peer: StandIn) -> None:
    peer.statuses = [503] * 20
    found = store(peer, objects(1), attempts=2)
    assert [one is not None and one.is_transient for one in found.values()] == [True]
    assert peer.posts() == 2


def test_a_slow_archive_and_one_that_is_away_are_transient(peer: StandIn) -> None:
    peer.delay_seconds = 0.3
    found = [*store(peer, objects(2), timeout_seconds=0.1, attempts=1).values()]
    assert [one is not None and one.is_transient for one in found] == [True, True]
    assert peer.posts() == 1  # not each by itself
    with running(StandIn()) as gone:
        pass
    (verdict,) = store(gone, objects(1), attempts=1).values()
    assert verdict is not None
    assert verdict.is_transient
    assert "cannot be reached" in verdict.reason


def test_a_redirection_is_not_followed(peer: StandIn) -> None:
    """A POST would become a GET, whose answer is a success."""
    peer.statuses = [301]
    (verdict,) = store(peer, objects(1)).values()
    assert verdict is not None
    assert "leads elsewhere" in verdict.reason
    assert not verdict.is_transient
    assert [method for method, _ in peer.requests] == ["POST"]


def test_the_token_is_sent_and_a_netrc_does_not_replace_it(
    peer: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.token = TOKEN
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    sent = objects(1)
    (verdict,) = store(peer, sent).values()
    assert verdict is not None
    assert not verdict.is_transient
    monkeypatch.setenv("BONE_AGE_DICOMWEB_TOKEN", TOKEN)
    assert store(peer, sent) == dict.fromkeys(sent)


def test_basic_authentication(peer: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    peer.user = "Basic bm9kZTpzZWNyZXQ="
    monkeypatch.setenv("BONE_AGE_DICOMWEB_USER", "node")
    monkeypatch.setenv("BONE_AGE_DICOMWEB_PASSWORD", "secret")
    sent = objects(1)
    assert store(peer, sent) == dict.fromkeys(sent)


def test_batches_are_bounded(peer: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = objects(3)
    monkeypatch.setattr(stow, "MAX_BATCH_BYTES", max(map(len, sent.values())) + 1)
    assert store(peer, sent) == dict.fromkeys(sent)
    assert peer.posts() == 3


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"3", b'{"00081199": 3}', b"<a", b"<a/>", b"[" * 100_000, b"\xff"]
)
def test_an_answer_of_any_bytes_is_no_success(
    peer: StandIn, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Archive, "post", lambda self, objects: _response(answer))
    (verdict,) = store(peer, objects(1)).values()
    assert verdict is not None


def _response(content: bytes):
    import requests

    response = requests.Response()
    response.status_code, response._content = 200, content
    return response
