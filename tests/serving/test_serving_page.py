"""The routes of the web page, without a browser."""

import base64
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from conftest import draw_phantom, encode
from running_server import Running

from bone_age_tf import __version__
from bone_age_tf.errors import InputDataError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.report import patient_report
from bone_age_tf.serving import page_app, pictures
from bone_age_tf.serving.page_app import PageApp
from bone_age_tf.serving.served_model import ServedModel

HAND = encode(draw_phantom(120, 1))


def read(client: httpx.Client, server: Running, encoded: bytes = HAND, **query: Any) -> Any:
    answer = client.post(f"{server.page}/read", params={"sex": "F", **query}, content=encoded)
    assert answer.status_code == 200, answer.text
    return answer.json()


def pixels(address: str) -> np.ndarray:
    encoded = base64.b64decode(address.partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture


def test_the_page_asks_for_nothing_from_elsewhere(client: httpx.Client, server: Running) -> None:
    page = client.get(server.page)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert {"/", "/page.css", "/page.js", "/dicom.js", "/sample.png"} < set(PageApp.static_paths)
    for name in PageApp.static_paths:
        answer = client.get(f"{server.page}{name}")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        addresses = answer.content.replace(b"http://www.w3.org/2000/svg", b"")
        assert b"http://" not in addresses
        assert b"https://" not in addresses


def test_an_answer_is_that_of_the_model(
    client: httpx.Client, server: Running, exported: Path
) -> None:
    row = read(client, server)["prediction"]
    model = ExportedModel.open(exported)
    image = model.prepare(HAND)
    assert isinstance(image, np.ndarray)
    months = float(model.months_of_prepared(image[None], ["F"])[0])
    assert row["bone_age_months"] == pytest.approx(months, abs=0.01)
    assert (row["status"], row["sex"], row["file"]) == ("ok", "F", "radiograph")


def test_what_is_drawn_lies_on_the_hand(client: httpx.Client, server: Running) -> None:
    view = read(client, server)["view"]
    radiograph = pixels(view["radiograph"])
    assert radiograph.shape[:2] == (view["height"], view["width"])
    heat = pixels(view["heat"])
    assert heat.shape == (view["height"], view["width"], 4)
    assert len(view["points"]) == len(POINTS)
    mask = np.zeros(radiograph.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.array(line, np.int32) for line in view["outline"]], 1)
    for x, y in view["points"]:
        assert mask[round(y), round(x)]
    assert heat[..., 3][mask == 0].mean() < heat[..., 3][mask > 0].mean() / 4
    assert radiograph[mask > 0].mean() > 2 * radiograph[mask == 0].mean()


def test_a_version_draws_once_before_the_first_file(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    view = pictures.Viewer.view

    def seen(viewer: pictures.Viewer, encoded: bytes, sex: str) -> Any:
        drawn.append(view(viewer, encoded, sex))
        return drawn[-1]

    monkeypatch.setattr(pictures.Viewer, "view", seen)
    with ThreadPoolExecutor(1) as pool:
        model = ServedModel(exported / "1", 1, pool)
    assert not drawn  # for a server whose page nobody opens
    model.prepare_to_draw()
    model.prepare_to_draw()
    (made,) = drawn
    assert made["outline"]
    assert made["heat"]


def test_who_opens_the_page_starts_that(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = threading.Event()
    monkeypatch.setattr(page_app, "_prepare_to_draw", lambda models: is_asked.set())
    assert client.get(f"{server.page}/page.css").status_code == 200
    assert not is_asked.is_set()
    assert client.get(f"{server.page}/").status_code == 200
    assert is_asked.wait(10)


def test_the_age_is_compared_with(client: httpx.Client, server: Running) -> None:
    alone = read(client, server)
    beside = read(client, server, chronological_age_months="100")
    assert alone["prediction"]["difference_months"] is None
    row = beside["prediction"]
    assert row["difference_months"] == pytest.approx(row["bone_age_months"] - 100)
    assert beside["age_in_words"] == "8 y 4 m"
    assert beside["band"][0] < 100 < beside["band"][1]


def test_heights_are_answered_with_the_radiograph_and_without(
    client: httpx.Client, server: Running
) -> None:
    first = read(client, server, chronological_age_months="100", height_cm="1.3")
    assert first["growth"]["faults"] == [
        {"field": "height_cm", "unit": "metres", "centimetres": 130.0}
    ]
    assert "height_cm" not in first["prediction"]
    assert read(client, server)["growth"] is None
    names = ("sex", "bone_age_months", "bone_age_low_months", "bone_age_high_months")
    asked = {name: first["prediction"][name] for name in names} | {"height_cm": 130}
    answer = client.post(f"{server.page}/growth", json=asked | {"chronological_age_months": 100})
    assert answer.status_code == 200
    assert answer.json()["view"]["reason_code"] == "not_greulich_pyle"  # its manifest names none
    assert client.post(f"{server.page}/growth", content=b"x").status_code == 400


def test_a_refusal_has_its_reason_in_words(client: httpx.Client, server: Running) -> None:
    answer = read(client, server, encode(np.full((300, 200), 90, np.uint8)))
    assert answer["prediction"]["status"] == "rejected"
    assert answer["prediction"]["bone_age_months"] is None
    assert answer["reason"] == "all pixels have nearly the same grey level"
    assert answer["view"] is None
    answer = read(client, server, b"%PDF-1.4 and so on")
    assert "save the picture in it as PNG or JPEG" in answer["reason"]
    assert answer["view"] is None


def test_a_tiff_is_read_and_shown(client: httpx.Client, server: Running) -> None:
    png, tiff = (read(client, server, encode(draw_phantom(120, 1), e)) for e in (".png", ".tif"))
    assert tiff["prediction"]["bone_age_months"] == pytest.approx(
        png["prediction"]["bone_age_months"], abs=0.01
    )
    assert tiff["view"]["radiograph"] == png["view"]["radiograph"]
    assert tiff["view"]["points"] == png["view"]["points"]


def test_a_hand_that_is_refused_is_drawn_as_it_was_found(
    client: httpx.Client, server: Running
) -> None:
    picture = draw_phantom(120, 1, height=1200, width=960)[:750]
    answer = read(client, server, encode(picture))
    assert "a part of the hand is missing" in answer["reason"]
    view = answer["view"]
    assert (view["width"], view["height"], view["heat"]) == (960, 750, None)
    mask = np.zeros(picture.shape, np.uint8)
    cv2.fillPoly(mask, [np.array(line, np.int32) for line in view["outline"]], 1)
    assert picture[mask > 0].mean() > 3 * picture[mask == 0].mean()
    assert len(view["points"]) == len(POINTS)


def test_an_answer_names_what_made_it_and_its_performance(
    client: httpx.Client, server: Running
) -> None:
    answer = read(client, server)
    assert (answer["model"]["name"], answer["model"]["version"]) == ("bone_age", "1")
    assert answer["bone_age_tf"] == __version__
    assert answer["performance"].startswith("Trained on 24 radiographs. Not evaluated")


def test_the_report_is_that_of_predict(client: httpx.Client, server: Running) -> None:
    answer = client.post(f"{server.page}/report", params={"sex": "M"}, content=HAND)
    assert answer.status_code == 200
    assert "Bone age from a hand radiograph" in answer.text
    assert "Not a medical device" in answer.text


@pytest.mark.parametrize(
    "query",
    [
        {"sex": ""},
        {"sex": "H"},
        {"sex": "F", "chronological_age_months": "-1"},
        {"sex": "F", "chronological_age_months": "nan"},
        {"sex": "F", "chronological_age_months": "ten"},
    ],
)
def test_what_is_not_understood_is_said(
    query: dict[str, str], client: httpx.Client, server: Running
) -> None:
    answer = client.post(f"{server.page}/read", params=query, content=HAND)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_nothing_is_stored(
    client: httpx.Client,
    server: Running,
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger="bone_age_tf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    before = sorted((str(path), path.stat().st_mtime) for path in exported.rglob("*"))
    read(client, server, chronological_age_months="123.456")
    client.post(f"{server.page}/report", params={"sex": "M"}, content=HAND)
    assert before == sorted((str(path), path.stat().st_mtime) for path in exported.rglob("*"))
    assert not list(tmp_path.iterdir())
    assert "123.456" not in caplog.text
    assert "POST read" in caplog.text


def test_what_opencv_cannot_read_is_answered_without_pictures(
    client: httpx.Client, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(encoded: bytes) -> np.ndarray:
        raise InputDataError("no")

    monkeypatch.setattr(pictures, "grey_levels", cannot)
    monkeypatch.setattr(patient_report, "grey_levels", cannot)
    answer = read(client, server)
    assert answer["prediction"]["status"] == "ok"
    assert answer["view"] is None
    report = client.post(f"{server.page}/report", params={"sex": "F"}, content=HAND)
    assert "months" in report.text


def test_the_token_guards_what_is_read(guarded: Running, client: httpx.Client) -> None:
    assert client.get(guarded.page).status_code == 200
    answer = client.post(f"{guarded.page}/read", params={"sex": "F"}, content=HAND)
    assert answer.status_code == 401


def test_the_page_is_one_radiograph_in_flight(guarded: Running, client: httpx.Client) -> None:
    assert guarded.config.max_in_flight == 1
    right = {"Authorization": f"Bearer {guarded.config.token}"}
    for path in ("read", "report"):
        answer = client.post(
            f"{guarded.page}/{path}", params={"sex": "F"}, content=HAND, headers=right
        )
        assert answer.status_code == 200
