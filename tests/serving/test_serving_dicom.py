"""DICOM files at every way in of the server: REST, gRPC and the routes of the page."""

import base64
import json
import threading
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from conftest import draw_phantom
from dicom_files import dicom_of
from running_server import Running

from bone_age_tf.cli import main as cli
from bone_age_tf.dicom import admission, packages, process, reader
from bone_age_tf.preprocessing.conversion import as_png

HAND = draw_phantom(120, 1)
TWELVE_BITS = (HAND.astype(np.uint16) << 4) | (HAND >> 4)
BITS = {"BitsStored": 12, "HighBit": 11}
CANARY = {
    **dict.fromkeys(("PatientName", "ReferringPhysicianName", "OperatorsName"), "CANARY^NAME"),
    **dict.fromkeys(("PatientID", "AccessionNumber", "InstitutionName"), "CANARY"),
    **dict.fromkeys(("StudyDescription", "ProtocolName", "PatientComments"), "CANARY"),
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), "19990909"),
    **dict.fromkeys(("BodyPartExamined", "ViewPosition", "DeviceSerialNumber"), "CANARY"),
    **dict.fromkeys(("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"), "1.2.3.4567890"),
}
CHEST = dicom_of(HAND, **CANARY | {"BodyPartExamined": "CHEST"})


def dicom(**attributes: Any) -> bytes:
    return dicom_of(TWELVE_BITS, **BITS, **attributes)


def has_canary(text: str) -> bool:
    return any(each in text for each in ("CANARY", "19990909", "4567890"))


def row(encoded: bytes, sex: str = "F") -> dict[str, Any]:
    return {"image_bytes": {"b64": base64.b64encode(encoded).decode()}, "sex": sex}


def predicted(client: httpx.Client, server: Running, *rows: Any) -> list[dict[str, Any]]:
    answer = client.post(f"{server.model}:predict", json={"instances": rows})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def opened(client: httpx.Client, server: Running, encoded: bytes) -> Any:
    answer = client.post(f"{server.page}/header", content=encoded)
    assert answer.status_code == 200, answer.text
    return answer.json()


def read(client: httpx.Client, server: Running, encoded: bytes, **query: Any) -> Any:
    answer = client.post(f"{server.page}/read", params={"sex": "F", **query}, content=encoded)
    assert answer.status_code == 200, answer.text
    return answer.json()


def picture(address: str) -> np.ndarray:
    encoded = base64.b64decode(address.partition(",")[2])
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


@pytest.fixture
def without_pydicom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "pydicom", lambda: None)


# === REST and gRPC ===


def test_dicom_is_answered_as_a_png_of_its_pixels(client: httpx.Client, server: Running) -> None:
    pixels = reader.read_pixels(dicom())
    assert isinstance(pixels, np.ndarray)
    rows = predicted(client, server, row(dicom()), row(as_png(pixels)), row(dicom(), "M"))
    assert rows[0] == rows[1]
    assert rows[0]["status"] == "ok"
    assert rows[2]["bone_age_months"] != rows[0]["bone_age_months"]


def test_grpc_takes_dicom(client: httpx.Client, server: Running) -> None:
    grpc = pytest.importorskip("grpc")
    from test_serving_grpc import asked
    from test_serving_grpc import predicted as predicted_by_grpc

    with grpc.insecure_channel(server.grpc) as channel:
        outputs = predicted_by_grpc(channel, asked([dicom(), CHEST], ["F", "F"]))
    (same,) = predicted(client, server, row(dicom()))
    assert outputs["bone_age_months"][0] == pytest.approx(same["bone_age_months"], abs=0.01)
    assert outputs["status"].tolist() == [b"ok", b"body_part"]


def test_a_file_refused_by_its_header_is_a_row(client: httpx.Client, server: Running) -> None:
    two_frames = dicom(NumberOfFrames=2)
    ct = dicom(SOPClassUID="1.2.840.10008.5.1.4.1.1.2", Modality="CT")
    good, *refused = predicted(client, server, *map(row, (dicom(), CHEST, ct, two_frames)))
    assert good["status"] == "ok"
    assert [one["status"] for one in refused] == ["body_part", "not_a_radiograph", "multi_frame"]
    assert {one["bone_age_months"] for one in refused} == {-1}


def test_a_request_of_refused_files_alone_fails_as_one_of_others(
    client: httpx.Client, server: Running
) -> None:
    answer = client.post(f"{server.model}:predict", json={"instances": [row(CHEST)]})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("rejected (body_part): ")
    assert not has_canary(answer.text)


def test_the_sex_is_never_taken_from_the_header(client: httpx.Client, server: Running) -> None:
    for given in ({}, {"sex": ""}, {"sex": "header"}):
        asked = {"image_bytes": row(dicom())["image_bytes"], **given}
        answer = client.post(f"{server.model}:predict", json={"instances": [asked]})
        assert answer.status_code == 400


def test_other_signatures_take_dicom(client: httpx.Client, server: Running) -> None:
    asked = {"signature_name": "prepare", "instances": [row(dicom())["image_bytes"]]}
    answer = client.post(f"{server.model}:predict", json=asked)
    assert answer.json()["predictions"][0]["status"] == "ok"


def test_a_decoder_that_dies_costs_one_row(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = dicom(StudyDescription="dies"), dicom()
    decode = process.decode
    monkeypatch.setattr(
        process, "decode", lambda file: process.CRASHED if file == dead else decode(file)
    )
    assert [one["status"] for one in predicted(client, server, row(dead), row(alive))] == [
        "damaged",
        "ok",
    ]


def test_decoders_that_hang_delay_dicom_alone(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def hang(encoded: bytes) -> Any:
        begun.release()
        assert go_on.wait(60)
        return process.TOO_SLOW

    monkeypatch.setattr(process, "decode", hang)
    files = [row(dicom())] * 2 * process.MOST
    answers: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: answers.append(
            client.post(f"{server.model}:predict", json={"instances": files})
        )
    )
    asking.start()
    try:
        assert all(begun.acquire(timeout=30) for _ in range(process.MOST))
        assert httpx.get(f"{server.rest}/healthz", timeout=10).text == "ok\n"
        with httpx.Client(timeout=30) as other:
            assert predicted(other, server, row(as_png(HAND)))[0]["status"] == "ok"
            assert read(other, server, as_png(HAND))["prediction"]["status"] == "ok"
    finally:
        go_on.set()
        asking.join(60)
    assert "too long to decode" in answers[0].json()["error"]


@pytest.mark.usefixtures("without_pydicom")
def test_the_extra_is_named_where_it_is_not_installed(
    client: httpx.Client, server: Running
) -> None:
    png = as_png(HAND)
    assert [one["status"] for one in predicted(client, server, row(dicom()), row(png))] == [
        "dicom_not_installed",
        "ok",
    ]
    assert "pip install 'bone-age-tf[dicom]'" in opened(client, server, dicom())["reason"]
    assert client.get(f"{server.rest}/healthz").status_code == 200
    assert client.get(f"{server.rest}/readyz").status_code == 200


def test_a_reason_may_be_accepted(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "_accepted", {"body_part"})
    assert predicted(client, server, row(CHEST))[0]["status"] == "ok"
    said = read(client, server, CHEST)
    assert "The header names another body part, which was accepted." in said["warnings"]


# === The page ===


def test_the_page_is_told_what_the_header_says(client: httpx.Client, server: Running) -> None:
    said = opened(client, server, dicom())
    assert said["reason"] == ""
    assert said["header"] == {
        "sex": "F",
        "chronological_age_months": pytest.approx(120, abs=0.5),
        "age_in_words": "10 y 0 m",
        "laterality": "left",
        "view": "PA",
        "warnings": [],
    }


def test_a_header_that_is_silent_is_none_of_a_child_s(
    client: httpx.Client, server: Running
) -> None:
    silent = dict.fromkeys(
        ("PatientSex", "PatientAge", "PatientBirthDate", "ImageLaterality", "ViewPosition")
    )
    header = opened(client, server, dicom(**silent))["header"]
    assert header == dict.fromkeys(header) | {"warnings": []}


def test_warnings_of_a_header_are_sentences(client: httpx.Client, server: Running) -> None:
    odd = dicom(
        PatientSex="O",
        PatientAge="003Y",
        ImageLaterality="R",
        BurnedInAnnotation="YES",
        LossyImageCompression="01",
    )
    said = opened(client, server, odd)["header"]["warnings"]
    for words in ("O (other)", "Patient's Age", "right hand", "burned into", "with loss"):
        assert any(words in text for text in said), words
    assert all(text[0].isupper() and text.endswith(".") for text in said)
    (seen,) = set(read(client, server, odd)["warnings"]) - set(said)
    assert seen.startswith("The thumb is not on the side"), "a left hand is drawn"


def test_what_the_person_says_wins_and_is_said(client: httpx.Client, server: Running) -> None:
    as_header = read(client, server, dicom(), chronological_age_months="120")
    otherwise = read(client, server, dicom(), sex="M", chronological_age_months="100")
    assert as_header["warnings"] == []
    assert otherwise["prediction"]["sex"] == "M"
    assert otherwise["prediction"]["chronological_age_months"] == 100
    assert otherwise["prediction"]["warning"] == "sex_differs chronological_age_differs"
    assert len(otherwise["warnings"]) == 2
    assert otherwise["header"]["sex"] == "F"


@pytest.mark.parametrize("route", ["header", "read"])
def test_a_refusal_is_in_plain_words(route: str, client: httpx.Client, server: Running) -> None:
    answer = client.post(f"{server.page}/{route}", params={"sex": "F"}, content=CHEST).json()
    assert answer["reason"].startswith("the header names another body part (chest)")
    assert answer["header"] is None


def test_bone_is_bright_in_every_picture(client: httpx.Client, server: Running) -> None:
    """12 bits, where white is stored as 0."""
    inverse = dicom_of(4095 - TWELVE_BITS, PhotometricInterpretation="MONOCHROME1", **BITS)
    said, plain = read(client, server, inverse), read(client, server, dicom())
    assert said["prediction"]["bone_age_months"] == pytest.approx(
        plain["prediction"]["bone_age_months"], abs=0.01
    )
    for address in (said["view"]["radiograph"], opened(client, server, inverse)["radiograph"]):
        shown = picture(address).astype(float)
        assert shown.shape == HAND.shape
        assert np.corrcoef(shown.ravel(), HAND.ravel())[0, 1] > 0.95
    assert picture(said["view"]["heat"]).shape[:2] == HAND.shape
    report = client.post(f"{server.page}/report", params={"sex": "F"}, content=inverse).text
    first = picture(report.partition('<img src="')[2].partition('"')[0])
    assert np.corrcoef(first[..., 2].ravel(), HAND.ravel())[0, 1] > 0.9


def test_nothing_of_a_header_leaves_the_server(
    client: httpx.Client, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    said: list[str] = []
    for encoded in (
        dicom(**CANARY),
        dicom(**CANARY)[:-5000],
        CHEST,
        dicom(**CANARY, Modality="CT"),
    ):
        said += [json.dumps(opened(client, server, encoded))]
        for route in ("read", "report"):
            answer = client.post(f"{server.page}/{route}", params={"sex": "F"}, content=encoded)
            assert answer.status_code == 200
            said.append(answer.text)
        said.append(client.post(f"{server.model}:predict", json={"instances": [row(encoded)]}).text)
    said += [client.get(f"{server.rest}/metrics").text, caplog.text]
    assert not any(map(has_canary, said))


def test_what_a_browser_shows_itself_is_not_sent_back(
    client: httpx.Client, server: Running
) -> None:
    assert opened(client, server, as_png(HAND)) == {
        "header": None,
        "reason": "",
        "radiograph": None,
    }
    tiff = cv2.imencode(".tif", HAND)[1].tobytes()
    assert picture(opened(client, server, tiff)["radiograph"]).shape == HAND.shape
    assert "PDF" in opened(client, server, b"%PDF-1.4")["reason"]


def test_opening_is_one_radiograph_in_flight_and_wants_the_token(
    client: httpx.Client, guarded: Running
) -> None:
    right = {"Authorization": f"Bearer {guarded.config.token}"}
    assert client.post(f"{guarded.page}/header", content=dicom()).status_code == 401
    answer = client.post(f"{guarded.page}/header", content=dicom(), headers=right)
    assert answer.json()["header"]["sex"] == "F"


def test_the_command_takes_reasons_to_accept() -> None:
    words = ["--accept-dicom", "body_part", "--accept-dicom", "for_processing"]
    context = cli.load_command("serve").make_context("serve", words)
    assert context.params["accept_dicom"] == ("body_part", "for_processing")
