import base64
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_phantom
from dicom_files import dicom_of
from page_reader import Page

from bone_age_tf.config import CalibrationConfig
from bone_age_tf.dicom.warnings import WARNINGS as HEADER_WARNINGS
from bone_age_tf.errors import InputDataError
from bone_age_tf.export.calibrate import calibrate
from bone_age_tf.inference import saliency
from bone_age_tf.inference.predict import predict
from bone_age_tf.inference.saliency import ZONES
from bone_age_tf.inference.sentences import warning_sentences, years
from bone_age_tf.report.page import signed
from bone_age_tf.report.patient_report import BRIGHTNESS, _ticks, write_patient_reports


@pytest.fixture(scope="module")
def with_intervals(exported: Path, local: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("calibrated") / "model"
    calibrate(
        model=str(exported),
        data=str(local),
        split="train",
        output=str(output),
        config=CalibrationConfig(correction="none"),
    )
    return str(output)


@pytest.fixture
def hands(tmp_path: Path) -> str:
    folder = tmp_path / "hands"
    folder.mkdir()
    cv2.imwrite(str(folder / "a b&c.png"), draw_phantom(120, 1))
    cv2.imwrite(str(folder / "grey.png"), np.full((300, 200), 90, np.uint8))
    return str(folder)


def pages(hands: str, model: str, output: Path, **settings: object) -> dict[str, Page]:
    predict([hands], model=model, output=str(output), **settings)
    folder = write_patient_reports([hands], model=model, predictions=str(output))
    return {path.name: Page(path.read_text(encoding="utf-8")) for path in folder.iterdir()}


def test_a_page_says_what_was_predicted(hands: str, with_intervals: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    made = pages(hands, with_intervals, output, sex="M", chronological_age_months=100)
    assert set(made) == {"0001-a_b_c.html", "0002-grey.html", "index.html"}
    row, _ = map(json.loads, (output / "predictions.jsonl").read_text().splitlines())
    page = made["0001-a_b_c.html"]
    words = " ".join(page.text.split())
    assert f"{years(row['bone_age_months'])} " in words
    ends = [years(row[f"bone_age_{end}_months"]) for end in ("low", "high")]
    assert f"90 % prediction interval: {ends[0]} to {ends[1]}" in words
    assert row["verdict"] in words
    assert f"probability of {100 * row['verdict_probability']:.0f} %" in words
    assert "chronological age 8 y 4 m" in words
    assert all(zone in words for zone in ZONES)
    assert len(page.named("img")) == 3
    assert words.count("Not a medical device") == 1
    assert re.search(r"· reported 20\d\d-\d\d-\d\d \d\d:\d\d ", words)


def test_bars_agree_with_their_numbers_and_colours(
    hands: str, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    falls = {"radius and ulna": 36.4, "carpals": -2.7}
    monkeypatch.setattr(saliency, "without_zones", lambda *given: falls)
    page = pages(hands, str(exported), tmp_path / "out", sex="F")["0001-a_b_c.html"]
    assert "radius and ulna+36.4 months" in page.text
    assert "carpals\N{MINUS SIGN}2.7 months" in page.text
    longer, shorter = (bar for bar in page.named("i"))
    assert (longer["class"], longer["style"]) == ("older", "width: 37.9%; left: 50%")
    assert (shorter["class"], shorter["style"]) == ("younger", "width: 2.8%; right: 50%")
    assert "\N{MINUS SIGN}48\N{MINUS SIGN}240+24+48youngerolder" in page.text  # the axis


@pytest.mark.parametrize(
    ("contributions", "end"), [([], 24), ([0.5, -3], 24), ([24.0], 24), ([-24.1], 48), ([50], 72)]
)
def test_reports_share_an_axis_as_far_as_possible(contributions: list[float], end: int) -> None:
    assert _ticks(contributions) == [-end, -end // 2, 0, end // 2, end]


def test_grad_cam_is_behind_a_click_and_all_pictures_have_a_brightness(
    hands: str, exported: Path, tmp_path: Path
) -> None:
    pages(hands, str(exported), tmp_path / "out", sex="F")
    text = (tmp_path / "out/reports/0001-a_b_c.html").read_text(encoding="utf-8")
    before, _, rest = text.partition("<details>")
    inside, _, after = rest.partition("</details>")
    assert [part.count("<img") for part in (before, inside, after)] == [2, 1, 0]
    assert "Grad-CAM" not in before + after
    assert "may disagree with the" in inside
    levels = [one["id"] for one in Page(text).named("input")]
    assert levels == [f"b{level}" for level in BRIGHTNESS]
    assert [one["id"] for one in Page(text).named("input") if "checked" in one] == ["b100"]
    for level in BRIGHTNESS:
        assert f"#b{level}:checked ~ * img {{ filter: brightness({level / 100}); }}" in text


def test_the_model_is_named_with_its_error(hands: str, exported: Path, tmp_path: Path) -> None:
    for page in pages(hands, str(exported), tmp_path / "out", sex="F").values():
        assert "Model bone_age, version 1." in page.text


def test_the_index_leads_to_every_page(hands: str, with_intervals: str, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("id,sex,boneage\na b&c,F,100\n")
    settings = {"sex": "F", "labels": str(table), "chronological_age_months": 110}
    made = pages(hands, with_intervals, tmp_path / "out", **settings)
    index = made["index.html"]
    links = [link["href"] for link in index.named("a")]
    assert links == sorted(set(made) - {"index.html"})
    words = " ".join(index.text.split())
    rows = [json.loads(line) for line in (tmp_path / "out/predictions.jsonl").open()]
    error = signed(rows[0]["bone_age_months"] - 100)
    for said in ("1 estimated, 1 rejected", "a b&c.png girl", f"100{error}9 y 2 m", "true"):
        assert said.replace(" ", "") in words.replace(" ", "")
    assert "rejected: all pixels have nearly the same grey level" in words


def test_a_rejected_radiograph_has_a_page_with_the_reason(
    hands: str, exported: Path, tmp_path: Path
) -> None:
    page = pages(hands, str(exported), tmp_path / "out", sex="F")["0002-grey.html"]
    assert "No estimate." in page.text
    row = json.loads((tmp_path / "out/predictions.jsonl").read_text().splitlines()[1])
    assert row["reason"].partition(": ")[2] in page.text
    assert page.named("img") == []
    assert "Contribution of each group" not in page.text


def test_without_age_and_interval_nothing_is_said_of_them(
    hands: str, exported: Path, tmp_path: Path
) -> None:
    page = pages(hands, str(exported), tmp_path / "out", sex="unknown")["0001-a_b_c.html"]
    assert "Comparison with chronological age" not in page.text
    assert "This model has no prediction interval" in page.text
    assert "sex unknown" in page.text


def test_warnings_are_in_words(hands: str, exported: Path, tmp_path: Path) -> None:
    settings = {"sex": "F", "chronological_age_months": 12}
    page = pages(hands, str(exported), tmp_path / "out", **settings)["0001-a_b_c.html"]
    assert "Below two years" in page.text


def test_a_dicom_file_s_name_and_header_stay_out_of_its_report(
    hands: str, exported: Path, tmp_path: Path
) -> None:
    inverse = (4095 - (draw_phantom(120, 1).astype(np.uint16) << 4)).astype(np.uint16)
    attributes = {"BitsStored": 12, "HighBit": 11, "PhotometricInterpretation": "MONOCHROME1"}
    for name, part in (("z CANARY^NAME", "HAND"), ("z CANARY CHEST.dcm", "CHEST")):
        encoded = dicom_of(inverse, BodyPartExamined=part, PatientName="CANARY", **attributes)
        (Path(hands) / name).write_bytes(encoded)
    made = pages(hands, str(exported), tmp_path / "out", sex="F")
    assert sorted(made)[-3:] == ["0003-dicom-0001.html", "0004-dicom-0002.html", "index.html"]
    texts = [path.read_text() for path in (tmp_path / "out/reports").iterdir()]
    assert not any("CANARY" in text for text in texts)
    assert "dicom-0001" in made["index.html"].text
    assert "numbered in the order of predictions.csv" in made["index.html"].text
    (hand,) = (page for page in made.values() if "Bone age: dicom-0002" in page.text)
    (first, *_) = (image["src"] for image in hand.named("img"))
    encoded = np.frombuffer(base64.b64decode(str(first).partition(",")[2]), np.uint8)
    picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert picture is not None
    bright = draw_phantom(120, 1) > 100
    assert picture[bright].mean() > 2 * picture[~bright].mean()


def test_warnings_of_a_header_are_sentences() -> None:
    (right, lossy) = warning_sentences("right_hand lossy")
    assert right.startswith("The header says right hand")
    assert lossy == "The picture was compressed with loss."
    assert len(warning_sentences(" ".join(HEADER_WARNINGS))) == len(HEADER_WARNINGS)


def test_a_page_needs_nothing_else(hands: str, exported: Path, tmp_path: Path) -> None:
    pages(hands, str(exported), tmp_path / "out", sex="F")
    for path in (tmp_path / "out/reports").glob("0*.html"):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", text):
            assert address.startswith("data:")
        assert "<script" not in text
        assert len(text) < 1_500_000


def test_predictions_of_other_files_are_refused(hands: str, exported: Path, tmp_path: Path) -> None:
    predict([hands], model=str(exported), output=str(tmp_path / "out"), sex="F")
    cv2.imwrite(f"{hands}/more.png", draw_phantom(100, 2))
    with pytest.raises(InputDataError, match="2 predictions for 3 files"):
        write_patient_reports([hands], model=str(exported), predictions=str(tmp_path / "out"))
