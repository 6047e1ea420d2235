"""`predict --dicomweb` against a stand-in of an archive."""

import csv
import io
import logging
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

pytest.importorskip("dicomweb_client", reason="the extra [dicom-output] is not installed")

from dicom_results import phantom_file
from dicomweb_stand_in import StandIn, read, running

from bone_age_tf.cli import main as cli
from bone_age_tf.config.dicomweb import DicomwebConfig
from bone_age_tf.dicom_output import archive as archive_module
from bone_age_tf.dicom_output import dicomweb
from bone_age_tf.dicom_output.dicomweb import Study, retrieve
from bone_age_tf.dicom_output.folder import STORED
from bone_age_tf.errors import EnvironmentFaultError, InputDataError, UsageError

STUDY = "1.2.826.0.1.3680043.9.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.34"


def file_of(number: int, **attributes: Any) -> bytes:
    """A phantom in the study of the tests, changed."""
    dataset = pydicom.dcmread(io.BytesIO(phantom_file(number)))
    dataset.StudyInstanceUID = STUDY
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


@pytest.fixture
def peer() -> Iterator[StandIn]:
    with running(StandIn([file_of(1), file_of(2)])) as one:
        yield one


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "FIRST_PAUSE", 0.01)


def files_of(peer: StandIn, folder: Path, **study: Any) -> list[bytes]:
    retrieve(DicomwebConfig(url=peer.url), Study(STUDY, **study), folder)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_radiographs_come_as_they_are(peer: StandIn, tmp_path: Path) -> None:
    for number in range(3, 6):  # the stand-in has pages of three
        peer.keep(file_of(number))
    assert set(files_of(peer, tmp_path)) == set(peer.stored.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"000{n}.dcm" for n in range(1, 6)]


OTHERS = {
    "report": {"SOPClassUID": REPORT, "Modality": "SR"},
    "chest": {"BodyPartExamined": "CHEST"},
    "raw": {"SOPClassUID": FOR_PROCESSING},
    "ct": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"},
    "picture": {"SOPClassUID": SECONDARY_CAPTURE, "ImageType": ["DERIVED", "SECONDARY"]},
}
"""Other objects of a study; the last one is a picture that this software made."""
REASONS = {"chest": "body_part", "raw": "for_processing"}


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_radiograph_of_a_hand_is_left_out(
    peer: StandIn, tmp_path: Path, other: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason = REASONS.get(other, "not_a_radiograph")
    wanted, (first, second) = set(peer.stored.values()), peer.stored
    peer.keep(file_of(3, **OTHERS[other]))
    with caplog.at_level(logging.INFO):
        assert set(files_of(peer, tmp_path)) == wanted
    assert f"Left out: 1 {reason}." in caplog.text
    del peer.stored[first], peer.stored[second]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputDataError, match="Received none") as caught:
        files_of(peer, tmp_path / "empty")
    assert reason in str(caught.value)


def test_what_is_accepted_or_named_is_retrieved(peer: StandIn, tmp_path: Path) -> None:
    chest, raw = file_of(3, BodyPartExamined="CHEST"), file_of(5, SOPClassUID=FOR_PROCESSING)
    for file in (chest, raw):
        peer.keep(file)
    for name in ("accepted", "named"):
        (tmp_path / name).mkdir()
    accepted = files_of(peer, tmp_path / "accepted", accept_dicom=("body_part", "for_processing"))
    assert set(accepted) == set(peer.stored.values())
    series = str(read(chest).SeriesInstanceUID)
    assert files_of(peer, tmp_path / "named", series=series) == [chest]


def test_a_file_that_cannot_be_used_costs_no_other(
    peer: StandIn, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = set(peer.stored.values())
    damaged = file_of(3)
    uid = peer.keep(damaged)
    elsewhere, other = peer.keep(file_of(5)), peer.keep(file_of(7))
    peer.served = {
        uid: b"no DICOM",
        elsewhere: file_of(5, StudyInstanceUID="1.2.3"),
        other: file_of(9),
    }
    with caplog.at_level(logging.INFO):
        assert set(files_of(peer, tmp_path)) == wanted
    assert "1 damaged, 1 not_given, 1 other_study" in caplog.text


def test_an_answer_has_a_limit(
    peer: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_ANSWER_BYTES", 100_000)
    with pytest.raises(InputDataError, match="2 too_large"):
        files_of(peer, tmp_path)


def test_an_answer_that_takes_too_long(
    peer: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_module, "MAX_ANSWER_SECONDS", -1)
    with pytest.raises(EnvironmentFaultError, match="no answer in time"):
        files_of(peer, tmp_path)


def test_passing_faults_are_tried_again(
    peer: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(archive_module.time, "sleep", pauses.append)
    peer.statuses, peer.retry_after = [503, 0, 503], "3600"
    assert len(files_of(peer, tmp_path)) == 2
    assert pauses == [30, 0.02, 30]  # an hour is too long
    peer.statuses, peer.retry_after = [503], "Wed, 21 Oct 2026 07:28:00 GMT"
    assert len(files_of(peer, tmp_path)) == 2
    assert pauses[3:] == [0.01]


def test_an_unknown_study_an_unknown_series_and_too_many(
    peer: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study in (Study("1.2.3"), Study(STUDY, series="1.2.3")):
        with pytest.raises(InputDataError, match="no such study|none of them"):
            retrieve(DicomwebConfig(url=peer.url), study, tmp_path)
    peer.statuses = [404]
    with pytest.raises(InputDataError, match="no such study"):
        files_of(peer, tmp_path)
    monkeypatch.setattr(dicomweb, "MAX_RADIOGRAPHS", 1)
    with pytest.raises(InputDataError, match="Received 2"):
        files_of(peer, tmp_path)


@pytest.mark.parametrize("status", [401, 403, 302, 500])
def test_an_archive_that_does_not_give_them(peer: StandIn, tmp_path: Path, status: int) -> None:
    peer.statuses = [status] * 9
    with pytest.raises((EnvironmentFaultError, UsageError)) as caught:
        files_of(peer, tmp_path)
    message = str(caught.value)
    expected = {401: "BONE_AGE_DICOMWEB_TOKEN", 403: "BONE_AGE_DICOMWEB_TOKEN", 302: "elsewhere"}
    assert expected.get(status, "status 500") in message
    assert STUDY not in message


@pytest.mark.parametrize("content", [b"<html>", b"[1]", b'[{"0020000E": 3}]', b'"x"'])
def test_an_answer_that_is_no_dicom_json(peer: StandIn, tmp_path: Path, content: bytes) -> None:
    peer.search_answer = content
    with pytest.raises((InputDataError, UsageError), match="JSON|valid UID"):
        files_of(peer, tmp_path)


@pytest.mark.parametrize("uid", ["", "1.2/../3", "1.2?x", "a", "1." * 40, "1.2 "])
def test_uids_are_checked(uid: str) -> None:
    with pytest.raises(UsageError, match="must be a UID"):
        Study(uid)
    with pytest.raises(UsageError, match="must be a UID"):
        Study(STUDY, series=uid)


@pytest.mark.parametrize(
    "url",
    [
        *("", "pacs", "ftp://pacs/x", "https://[::1/x", "https://pacs:99999/x", "https:///x"),
        *("https://user:secret@pacs/x", "https://pacs/x?token=secret"),
    ],
)
def test_urls_are_checked(url: str) -> None:
    with pytest.raises(UsageError, match="https://HOST") as caught:
        DicomwebConfig(url=url)
    assert "secret" not in str(caught.value)


def test_a_token_is_checked_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONE_AGE_DICOMWEB_TOKEN", "a-secret\n")  # as from a file
    assert DicomwebConfig(url="https://pacs.example").token == "a-secret"
    monkeypatch.setenv("BONE_AGE_DICOMWEB_TOKEN", "geheimnis-ü")
    with pytest.raises(UsageError, match="printable ASCII") as caught:
        DicomwebConfig(url="https://pacs.example")
    assert "geheimnis" not in str(caught.value)


def test_no_token_in_clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BONE_AGE_DICOMWEB_TOKEN", "a-secret-of-the-tests")
    DicomwebConfig(url="https://pacs.example/dicom-web")
    with pytest.raises(UsageError, match="in clear text") as caught:
        DicomwebConfig(url="http://pacs.example/dicom-web")
    assert "a-secret" not in str(caught.value)


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: there is no certificate")
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=127.0.0.1"
    name = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", *words.split(), *name], cwd=tmp_path, check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    folder = tmp_path / "files"
    folder.mkdir()
    with running(StandIn([file_of(1)]), tls=context) as peer:
        with pytest.raises(EnvironmentFaultError, match="REQUESTS_CA_BUNDLE"):
            files_of(peer, folder)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
        assert len(files_of(peer, folder)) == 1


# === The command ===


def predict(peer: StandIn, model: Path, output: Path, *options: str) -> int:
    words = ["predict", "--dicomweb", peer.url, "--study", STUDY, "--model", str(model)]
    return cli.run([*words, "--output", str(output), *options])


def test_a_study_is_predicted_and_its_reports_are_stored(
    peer: StandIn, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    radiographs = dict(peer.stored)
    assert predict(peer, exported, tmp_path / "1") == 0
    made = {uid: file for uid, file in peer.stored.items() if uid not in radiographs}
    assert [read(file).StudyInstanceUID for file in made.values()] == [STUDY] * 4
    assert {read(file).SOPClassUID for file in made.values()} == {REPORT, SECONDARY_CAPTURE}
    files = sorted((tmp_path / "1/dicom/objects").iterdir())
    assert sorted(path.read_bytes() for path in files) == sorted(made.values())
    assert predict(peer, exported, tmp_path / "2") == 0  # pictures are left out
    assert peer.stored == {**radiographs, **made}
    said = capfd.readouterr()
    results = (tmp_path / "1/predictions.csv").read_text()
    for text in (said.out, said.err, results):
        assert "PHANTOM" not in text
        assert STUDY not in text
    assert [row["file"] for row in csv.DictReader(io.StringIO(results))] == ["0001.dcm", "0002.dcm"]


def test_what_is_not_stored_is_named_and_stays_on_disk(
    peer: StandIn, exported: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    peer.refuses = lambda dataset: 0xA700 if "0001" in dataset.PatientID else None
    assert predict(peer, exported, tmp_path / "out", "--dicom-object", "report") == 7
    message = capfd.readouterr().err
    assert "1 of 2 objects are not known to be stored" in message
    assert "out of resources" in message
    folder = tmp_path / "out/dicom"
    with (folder / STORED).open(newline="") as stream:
        rows = {row["status"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"stored", "not_stored"}
    for status, row in rows.items():
        uid = row["sop_instance_uid"]
        assert (uid in peer.stored) == (status == "stored")
        assert read((folder / row["file"]).read_bytes()).SOPInstanceUID == uid


def test_no_store_stores_nothing(peer: StandIn, exported: Path, tmp_path: Path) -> None:
    options = ("--no-store", "--dicom-output", str(tmp_path / "objects"), "--sr", "comprehensive")
    assert predict(peer, exported, tmp_path / "out", *options) == 0
    assert peer.posts() == 0
    assert len([*(tmp_path / "objects/objects").iterdir()]) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--study", STUDY], "--study needs --dicomweb"),
        (["--no-store"], "--no-store needs --dicomweb"),
        (["--dicomweb", "https://pacs.example"], "--dicomweb needs --study"),
        (["--dicomweb", "https://pacs.example", "--study", STUDY, "."], "Received both"),
        ([], "--dicomweb with --study"),
    ],
)
def test_options_that_do_not_belong_together(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["predict", *words, "--output", str(tmp_path / "out")]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
